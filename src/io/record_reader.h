// RecordReader: reads a record log from its oldest record to its newest. docs/record_log.md.
//
// Blocking, for a Worker's thread or a start. It holds one segment in memory. It takes no lock:
// read what nobody appends to, or what one has claimed oneself (RecordLog::Open).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "io/record_format.h"

namespace io {

inline constexpr std::string_view kIdentityName = "LOG";

// What is in a log's folder.
struct LogFolder {
  std::string path;
  LogHeader identity;                    // log_id 0: a log without records, never begun
  std::vector<uint64_t> first_sequences;  // of the segments, ascending
};

// Reads the identity and lists the segments. kDataLoss if the identity is damaged or missing
// although there are segments; kFailedPrecondition if another version of pgbraid wrote it.
absl::StatusOr<LogFolder> LookInto(const std::string& path);
std::string SegmentPath(const std::string& folder, uint64_t first_sequence);

class RecordReader {
 public:
  explicit RecordReader(LogFolder folder) : folder_(std::move(folder)) {}
  RecordReader(const RecordReader&) = delete;
  RecordReader& operator=(const RecordReader&) = delete;

  // False at the end. The record is good until the next call. kDataLoss, naming file and offset,
  // if anything before the end is missing or damaged: nothing is skipped, nothing guessed.
  absl::StatusOr<bool> Next(Record* record);

  uint64_t next_sequence() const { return next_sequence_; }
  // The first sequence of the segment that the newest record was read from.
  uint64_t segment() const { return folder_.first_sequences[opened_ - 1]; }
  // The newest segment, once Next() was false. `offset`: where its last group begins; empty bytes:
  // it holds no record.
  struct LastGroup {
    uint64_t offset = 0;
    std::string_view bytes;
  };
  LastGroup last_group() const;

 private:
  absl::StatusOr<bool> OpenNextSegment();
  absl::Status OpenScanner(uint64_t first_sequence);
  bool newest() const { return opened_ == folder_.first_sequences.size(); }
  absl::Status Damaged(std::string_view what) const;

  const LogFolder folder_;
  size_t opened_ = 0;  // segments
  std::string path_;   // of the segment that is open
  std::string bytes_;
  std::optional<SegmentScanner> scanner_;
  uint64_t next_sequence_ = 1;
};

}  // namespace io
