// CaptureReader: the records of a capture, one shard's log after the other.
//
// Blocking; on the starting thread. It holds one segment of one log in memory. It takes no lock,
// and reads what a running pgbraid has written so far as well as what a killed one has left, which
// open_ends() tells. Errors: kInvalidArgument where there is no capture, kDataLoss where one is
// damaged before its end, kFailedPrecondition for another version's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "io/record_reader.h"
#include "mirror/capture_format.h"

namespace command {

class CaptureReader {
 public:
  static absl::StatusOr<std::unique_ptr<CaptureReader>> Open(const std::string& folder);

  // False at the end. Records of one session are in its order.
  absl::StatusOr<bool> Next(mirror::Captured* captured);

  // How many logs were not closed: pgbraid still writes them, or was killed. Each is read up to its
  // last whole record.
  uint32_t open_ends() const { return open_ends_; }

 private:
  explicit CaptureReader(std::vector<std::string> logs) : logs_(std::move(logs)) {}

  void CountOpenEnd();

  const std::vector<std::string> logs_;
  size_t opened_ = 0;
  std::unique_ptr<io::RecordReader> reader_;
  std::string newest_;  // the path of the log's newest segment; empty: there is none
  uint32_t open_ends_ = 0;
};

}  // namespace command
