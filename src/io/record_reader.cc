#include "io/record_reader.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "io/file.h"

namespace io {
namespace {

constexpr std::string_view kSegmentEnding = ".segment";
constexpr size_t kSegmentDigits = 16;

// The first sequence of the segment with this name; 0 if it is no segment's.
uint64_t SegmentOf(std::string_view name) {
  if (name.size() != kSegmentDigits + kSegmentEnding.size() || !name.ends_with(kSegmentEnding)) {
    return 0;
  }
  uint64_t sequence = 0;
  const char* const end = name.data() + kSegmentDigits;
  const auto [stopped, error] = std::from_chars(name.data(), end, sequence, 16);
  return error == std::errc() && stopped == end ? sequence : 0;
}

absl::Status OtherVersion(const std::string& path) {
  return base::Error(
      absl::StatusCode::kFailedPrecondition,
      path + " was written by another version of pgbraid: read the log with that one");
}

absl::Status ReadIdentity(LogFolder* folder) {
  const std::string path = folder->path + "/" + std::string(kIdentityName);
  std::string bytes;
  if (absl::StatusOr<File> file = File::OpenForReading(path); file.ok()) {
    ASSIGN_OR_RETURN(bytes, file->ReadAll());
  } else if (!absl::IsNotFound(file.status())) {
    return file.status();
  }
  switch (ParseLogHeader(bytes, LogFileKind::kIdentity, &folder->identity)) {
    case LogHeaderResult::kGood:
      return absl::OkStatus();
    case LogHeaderResult::kOtherVersion:
      return OtherVersion(path);
    case LogHeaderResult::kDamaged:
      break;
  }
  // The identity is synced before the first segment is made.
  return folder->first_sequences.empty()
             ? absl::OkStatus()
             : base::DataLoss(path + " is missing or damaged, but there are segments beside it");
}

}  // namespace

std::string SegmentPath(const std::string& folder, uint64_t first_sequence) {
  return absl::StrFormat("%s/%016x", folder, first_sequence) + std::string(kSegmentEnding);
}

absl::StatusOr<LogFolder> LookInto(const std::string& path) {
  LogFolder folder;
  folder.path = path;
  ASSIGN_OR_RETURN(const std::vector<std::string> names, ListFolder(path));
  for (const std::string& name : names) {
    if (const uint64_t first = SegmentOf(name); first > 0) {
      folder.first_sequences.push_back(first);
    }
  }
  std::sort(folder.first_sequences.begin(), folder.first_sequences.end());
  RETURN_IF_ERROR(ReadIdentity(&folder));
  return folder;
}

absl::Status RecordReader::Damaged(std::string_view what) const {
  const uint64_t offset = scanner_.has_value() ? scanner_->offset() : 0;
  return base::DataLoss(path_ + " at byte " + std::to_string(offset) + ": " + std::string(what));
}

absl::StatusOr<bool> RecordReader::Next(Record* record) {
  for (;;) {
    if (!scanner_.has_value()) {
      ASSIGN_OR_RETURN(const bool opened, OpenNextSegment());
      if (!opened) {
        return false;
      }
    }
    switch (scanner_->Next(record)) {
      case SegmentScanner::Result::kRecord:
        next_sequence_ = scanner_->next_sequence();
        return true;
      case SegmentScanner::Result::kDamaged:
        return Damaged("a record that was on stable storage is damaged");
      case SegmentScanner::Result::kTorn:
      case SegmentScanner::Result::kEnd:
        if (newest()) {
          return false;
        }
        scanner_.reset();  // if a record is missing here, the next segment's sequence tells
    }
  }
}

RecordReader::LastGroup RecordReader::last_group() const {
  LastGroup group;
  if (scanner_.has_value()) {
    group.offset = scanner_->group_offset();
    group.bytes = std::string_view(bytes_).substr(group.offset, scanner_->offset() - group.offset);
  }
  return group;
}

// False if there is none, or none that was begun.
absl::StatusOr<bool> RecordReader::OpenNextSegment() {
  if (newest()) {
    return false;
  }
  const uint64_t first = folder_.first_sequences[opened_++];
  path_ = SegmentPath(folder_.path, first);
  if (opened_ > 1 && first != next_sequence_) {
    return Damaged("the record before this segment is number " +
                   std::to_string(next_sequence_ - 1) +
                   ": one is damaged there, or a segment is missing or does not belong");
  }
  next_sequence_ = first;
  ASSIGN_OR_RETURN(const File file, File::OpenForReading(path_));
  std::string().swap(bytes_);  // gives it back before there is another one
  ASSIGN_OR_RETURN(bytes_, file.ReadAll());
  RETURN_IF_ERROR(OpenScanner(first));
  return scanner_.has_value();
}

absl::Status RecordReader::OpenScanner(uint64_t first_sequence) {
  LogHeader header;
  const LogHeaderResult result = ParseLogHeader(bytes_, LogFileKind::kSegment, &header);
  if (result == LogHeaderResult::kOtherVersion) {
    return OtherVersion(path_);
  }
  if (result == LogHeaderResult::kGood && header.log_id == folder_.identity.log_id &&
      header.first_sequence == first_sequence) {
    scanner_.emplace(bytes_, header);
    return absl::OkStatus();
  }
  // A header is synced before a record is written: without records it is a segment that was being
  // made when the machine stopped.
  const bool empty = bytes_.find_first_not_of('\0', kLogHeaderBytes) == std::string::npos;
  if (result == LogHeaderResult::kDamaged && newest() && empty) {
    return absl::OkStatus();
  }
  return Damaged("the segment's header is damaged or another's");
}

}  // namespace io
