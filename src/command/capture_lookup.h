// CaptureLookup: units of a capture once more, each from where CaptureReader has found it.
//
// Blocking; on the thread that replays. It has one file of each log open and no unit in memory, and
// takes units in any order; what was written or damaged elsewhere in the meantime is none of its
// business. Errors: as of io::File, kDataLoss where the unit is no longer what it was.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "io/file.h"
#include "mirror/unit.h"

namespace command {

// One shard's log.
struct CaptureLog {
  std::string path;
  uint64_t id = 0;
};

// Of a record.
struct CapturePlace {
  uint32_t log = 0;      // index in the capture's logs
  uint32_t bytes = 0;    // of its payload
  uint64_t segment = 0;  // by its first sequence
  uint64_t offset = 0;   // within the segment
};

class CaptureLookup {
 public:
  explicit CaptureLookup(std::vector<CaptureLog> logs)
      : logs_(std::move(logs)), open_(logs_.size()) {}

  absl::StatusOr<mirror::Unit> Read(const CapturePlace& place);

 private:
  struct Segment {
    uint64_t first_sequence = 0;  // 0: none is open
    io::File file;
  };

  const std::vector<CaptureLog> logs_;
  std::vector<Segment> open_;  // of each log, the one that was read last
};

}  // namespace command
