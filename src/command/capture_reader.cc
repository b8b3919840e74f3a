#include "command/capture_reader.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "base/status.h"
#include "io/file.h"

namespace command {
namespace {

// The number of the log with this name: logs are numbered from 0.
std::optional<uint32_t> NumberOf(std::string_view name) {
  uint32_t number = 0;
  const char* const end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data(), end, number);
  const bool good = error == std::errc() && stopped == end;
  return good ? std::optional(number) : std::nullopt;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CaptureReader>> CaptureReader::Open(const std::string& folder) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, io::ListFolder(folder));
  std::erase_if(names, [](const std::string& name) { return !NumberOf(name).has_value(); });
  if (names.empty()) {
    return base::InvalidArgument(folder + ": holds no capture");
  }
  std::sort(names.begin(), names.end());
  uint64_t most = 0;
  std::vector<CaptureLog> logs;
  for (const std::string& name : names) {
    most = std::max<uint64_t>(most, *NumberOf(name));
    logs.push_back({.path = folder + "/" + name});
  }
  const uint64_t missing = most + 1 - std::min(most + 1, uint64_t{logs.size()});
  std::unique_ptr<CaptureReader> reader(new CaptureReader(std::move(logs)));
  if (missing > 0) {
    reader->damage_.push_back(folder + ": " + std::to_string(missing) +
                              " of its logs, numbered 0 to " + std::to_string(most) +
                              ", are missing");
  }
  return reader;
}

// A segment that is closed ends with its last record.
void CaptureReader::CountOpenEnd() {
  if (log_.first_sequences.empty()) {
    return;
  }
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(
      io::SegmentPath(log_.path, log_.first_sequences.back()), error);
  const io::RecordReader::LastGroup last = reader_->last_group();
  open_ends_ += !error && size > last.offset + last.bytes.size() ? 1 : 0;
}

std::string CaptureReader::Complaints() const {
  std::string text;
  for (const std::string& what : damage_) {
    text += "pgbraid: " + what + "\n";
  }
  if (open_ends_ > 0) {
    text += "pgbraid: the capture was not closed: it is still being written, or pgbraid was "
            "killed; it was read up to its last whole record\n";
  }
  return text;
}

absl::Status CaptureReader::OpenNextLog() {
  CaptureLog& opened = logs_[opened_++];
  absl::StatusOr<io::LogFolder> log = io::LookInto(opened.path);
  if (absl::IsFailedPrecondition(log.status())) {
    return log.status();
  }
  if (!log.ok()) {
    damage_.emplace_back(base::Message(log.status()));
    return absl::OkStatus();
  }
  log_ = *std::move(log);
  opened.id = log_.identity.log_id;
  reader_ = std::make_unique<io::RecordReader>(log_);
  return absl::OkStatus();
}

// Goes on with the segment behind the one that holds what cannot be read; of a log that has none,
// nobody knows how much there was.
void CaptureReader::StepOver(const absl::Status& why) {
  const uint64_t lost_from = reader_->next_sequence();
  std::erase_if(log_.first_sequences, [&](uint64_t first) { return first <= lost_from; });
  const std::string lost =
      log_.first_sequences.empty()
          ? "what is behind it in this log is lost"
          : std::to_string(log_.first_sequences.front() - lost_from) + " records are lost";
  damage_.push_back(std::string(base::Message(why)) + "; " + lost);
  reader_ = log_.first_sequences.empty() ? nullptr : std::make_unique<io::RecordReader>(log_);
}

absl::StatusOr<bool> CaptureReader::Next(mirror::Captured* captured) {
  for (;;) {
    if (reader_ == nullptr) {
      if (opened_ == logs_.size()) {
        return false;
      }
      RETURN_IF_ERROR(OpenNextLog());
      continue;
    }
    io::Record record;
    const absl::StatusOr<bool> more = reader_->Next(&record);
    if (!more.ok() && !absl::IsDataLoss(more.status())) {
      return more.status();
    }
    if (!more.ok()) {
      StepOver(more.status());
      continue;
    }
    if (!*more) {
      CountOpenEnd();
      reader_ = nullptr;
      continue;
    }
    switch (mirror::ParseCaptured(record.payload, captured)) {
      case mirror::CapturedResult::kGood:
        place_ = {.log = static_cast<uint32_t>(opened_ - 1),
                  .bytes = static_cast<uint32_t>(record.payload.size()),
                  .segment = reader_->segment(),
                  .offset = record.offset};
        return true;
      case mirror::CapturedResult::kOtherVersion:
        return base::Error(absl::StatusCode::kFailedPrecondition,
                           "another version of pgbraid wrote this capture");
      case mirror::CapturedResult::kDamaged:
        damage_.push_back(log_.path + ": record " + std::to_string(record.sequence) +
                          " is no capture's");
        break;
    }
  }
}

}  // namespace command
