#include "mirror/spill_cursor.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/status.h"
#include "io/record_reader.h"

namespace mirror {
namespace {

constexpr size_t kMarkBytes = 24;

}  // namespace

absl::Status SpillCursor::Damaged() const {
  return base::DataLoss(path_ + " is damaged at byte " +
                        std::to_string(scanner_.has_value() ? scanner_->offset() : 0));
}

// The newest segment is read again as it grows: what was read of it before ends where the log ended
// then.
absl::Status SpillCursor::Load(uint64_t sequence, uint64_t end) {
  Forget();
  path_ = folder_;
  ASSIGN_OR_RETURN(const io::LogFolder folder, io::LookInto(folder_));
  const auto behind = std::upper_bound(folder.first_sequences.begin(),
                                       folder.first_sequences.end(), sequence);
  if (behind == folder.first_sequences.begin()) {
    return base::DataLoss(folder_ + " has no record " + std::to_string(sequence));
  }
  path_ = io::SegmentPath(folder_, *std::prev(behind));
  ASSIGN_OR_RETURN(const io::File file, io::File::OpenForReading(path_));
  ASSIGN_OR_RETURN(bytes_, file.ReadAll());
  io::LogHeader header;
  if (io::ParseLogHeader(bytes_, io::LogFileKind::kSegment, &header) !=
          io::LogHeaderResult::kGood ||
      header.log_id != folder.identity.log_id || header.first_sequence != *std::prev(behind)) {
    return Damaged();
  }
  scanner_.emplace(bytes_, header);
  good_until_ = behind == folder.first_sequences.end() ? end : std::min(end, *behind);
  io::Record record;
  while (scanner_->next_sequence() < sequence) {
    if (scanner_->Next(&record) != io::SegmentScanner::Result::kRecord) {
      return Damaged();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> SpillCursor::Read(uint64_t sequence, uint64_t end) {
  if (!scanner_.has_value() || sequence >= good_until_ || scanner_->next_sequence() != sequence) {
    RETURN_IF_ERROR(Load(sequence, end));
  }
  io::Record record;
  if (scanner_->Next(&record) != io::SegmentScanner::Result::kRecord) {
    return Damaged();
  }
  return record.payload;
}

void SpillCursor::Forget() {
  scanner_.reset();
  bytes_ = std::string();
  good_until_ = 0;
}

// -- the mark -------------------------------------------------------------------------------------

absl::Status WriteSpillMark(io::File* file, const SpillMark& mark) {
  char raw[kMarkBytes];
  base::StoreLe64(raw, mark.handed);
  base::StoreLe64(raw + 8, mark.done);
  base::StoreLe64(raw + 16, base::Checksum(std::string_view(raw, 16)));
  RETURN_IF_ERROR(file->WriteAt(0, std::string_view(raw, sizeof raw)));
  return file->Sync();
}

absl::StatusOr<SpillMark> ReadSpillMark(const std::string& folder) {
  const std::string path = folder + "/" + std::string(kSpillMarkName);
  absl::StatusOr<io::File> file = io::File::OpenForReading(path);
  if (absl::IsNotFound(file.status())) {
    return SpillMark();
  }
  RETURN_IF_ERROR(file.status());
  ASSIGN_OR_RETURN(const std::string bytes, file->ReadAll());
  if (bytes.empty()) {
    return SpillMark();
  }
  char raw[kMarkBytes] = {};
  bytes.copy(raw, sizeof raw);
  const SpillMark mark{.handed = base::LoadLe64(raw), .done = base::LoadLe64(raw + 8)};
  if (bytes.size() != sizeof raw ||
      base::LoadLe64(raw + 16) != base::Checksum(std::string_view(raw, 16))) {
    return base::DataLoss(path + " is damaged");
  }
  return mark;
}

}  // namespace mirror
