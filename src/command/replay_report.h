// ReplayReport: what came of a replay, for people or programs.
//
// A value; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/counters.h"
#include "mirror/gap_ledger.h"
#include "mirror/mirror_metrics.h"

namespace command {

struct ReplayReport {
  // -- of the capture -----------------------------------------------------------------------------
  uint64_t sessions = 0;
  uint64_t units = 0;        // transactions
  uint64_t lacking = 0;      // committed, and the capture could not keep them
  uint64_t open_ends = 0;    // logs that were not closed
  base::Histogram original;  // first statement sent to last answer
  // -- of the replay ------------------------------------------------------------------------------
  uint64_t applied = 0;
  uint64_t different = 0;  // of those applied: with other tags
  uint64_t refused = 0;
  uint64_t dropped = 0;  // not decided: lost connections, time-outs
  std::vector<mirror::Gap> gaps;
  std::vector<uint64_t> replayed;  // buckets of the latency, as a Histogram's
  absl::Duration took;

  void Take(const mirror::MirrorMetrics& metrics, std::vector<mirror::Gap> ledger);
  // True exactly when everything came out as it did.
  bool same() const { return applied == units && different == 0; }
  std::string AsText() const;
  std::string AsJson() const;
};

}  // namespace command
