#include "command/capture_reader.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "io/file.h"

namespace command {
namespace {

bool IsNumber(std::string_view name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CaptureReader>> CaptureReader::Open(const std::string& folder) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, io::ListFolder(folder));
  std::erase_if(names, [](const std::string& name) { return !IsNumber(name); });
  if (names.empty()) {
    return base::InvalidArgument(folder + ": holds no capture");
  }
  std::sort(names.begin(), names.end());
  for (std::string& name : names) {
    name.insert(0, folder + "/");
  }
  return std::unique_ptr<CaptureReader>(new CaptureReader(std::move(names)));
}

// A segment that is closed ends with its last record.
void CaptureReader::CountOpenEnd() {
  std::error_code error;
  const uintmax_t size = newest_.empty() ? 0 : std::filesystem::file_size(newest_, error);
  const io::RecordReader::LastGroup last = reader_->last_group();
  open_ends_ += !newest_.empty() && !error && size > last.offset + last.bytes.size() ? 1 : 0;
}

absl::StatusOr<bool> CaptureReader::Next(mirror::Captured* captured) {
  for (;;) {
    if (reader_ == nullptr) {
      if (opened_ == logs_.size()) {
        return false;
      }
      ASSIGN_OR_RETURN(io::LogFolder log, io::LookInto(logs_[opened_++]));
      newest_ = log.first_sequences.empty() ? std::string()
                                            : io::SegmentPath(log.path, log.first_sequences.back());
      reader_ = std::make_unique<io::RecordReader>(std::move(log));
    }
    io::Record record;
    ASSIGN_OR_RETURN(const bool more, reader_->Next(&record));
    if (!more) {
      CountOpenEnd();
      reader_ = nullptr;
      continue;
    }
    switch (mirror::ParseCaptured(record.payload, captured)) {
      case mirror::CapturedResult::kGood:
        return true;
      case mirror::CapturedResult::kOtherVersion:
        return base::Error(absl::StatusCode::kFailedPrecondition,
                           "another version of pgbraid wrote this capture");
      case mirror::CapturedResult::kDamaged:
        return base::DataLoss(logs_[opened_ - 1] + ": a record is no capture's");
    }
  }
}

}  // namespace command
