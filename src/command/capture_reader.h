// CaptureReader: the records of a capture, one shard's log after the other.
//
// Blocking; on the starting thread. It holds one segment of one log in memory. It takes no lock,
// and reads what a running pgbraid has written so far as well as what a killed one has left, which
// open_ends() tells. What is damaged is named by damage(), and reading goes on behind the segment
// that it is in. Errors: kInvalidArgument where there is no capture, kFailedPrecondition for one of
// another version.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "command/capture_lookup.h"
#include "io/record_reader.h"
#include "mirror/capture_format.h"

namespace command {

class CaptureReader {
 public:
  static absl::StatusOr<std::unique_ptr<CaptureReader>> Open(const std::string& folder);

  // False at the end. Records of one session are in its order.
  absl::StatusOr<bool> Next(mirror::Captured* captured);
  // Of the record that Next() has given last: CaptureLookup finds it there, with logs() of the end.
  const CapturePlace& place() const { return place_; }
  const std::vector<CaptureLog>& logs() const { return logs_; }

  // How many logs were not closed: pgbraid still writes them, or was killed. Each is read up to its
  // last whole record.
  uint32_t open_ends() const { return open_ends_; }
  // What could not be read: where, and how much if that is known. Empty: all was.
  const std::vector<std::string>& damage() const { return damage_; }
  // Both for people, a line each; empty: the capture is whole.
  std::string Complaints() const;

 private:
  explicit CaptureReader(std::vector<CaptureLog> logs) : logs_(std::move(logs)) {}

  absl::Status OpenNextLog();
  void CountOpenEnd();
  void StepOver(const absl::Status& why);

  std::vector<CaptureLog> logs_;  // `id`: of those opened
  size_t opened_ = 0;
  CapturePlace place_;
  io::LogFolder log_;                         // of the log that is being read
  std::unique_ptr<io::RecordReader> reader_;  // null: the next log is to be opened
  uint32_t open_ends_ = 0;
  std::vector<std::string> damage_;
};

}  // namespace command
