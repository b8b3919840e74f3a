// MirrorReport: what an operator is told of one mirror. Values; admin/ shows them, server/ fills
// them in.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace admin {

// What the mirror lacks of one table by one cause: an entry of its gap ledger.
struct GapReport {
  std::string table;  // empty: what was lost writes no table
  std::string_view cause;
  std::string sqlstate;
  absl::Time first;
  absl::Time last;
  uint64_t statements = 0;
  uint64_t transactions = 0;
};

struct MirrorReport {
  std::string name;
  std::string address;   // "host:port"
  std::string database;  // empty: each session's own
  bool reachable = true;
  uint64_t offered = 0;
  uint64_t delivered = 0;
  uint64_t refused = 0;
  std::vector<std::pair<std::string_view, uint64_t>> dropped;  // by cause
  uint64_t statements = 0;
  uint64_t retries = 0;
  uint64_t reconnects = 0;
  int64_t queued_units = 0;
  int64_t queued_bytes = 0;
  uint64_t spilled = 0;        // transactions that went to the disk
  uint64_t spilled_bytes = 0;
  uint64_t spill_failures = 0;
  int64_t spill_units = 0;     // on the disk now
  int64_t spill_bytes = 0;
  int64_t connections = 0;
  // Upper bounds in seconds; not finite where nothing can be told.
  double lag_p50 = std::numeric_limits<double>::quiet_NaN();
  double lag_p99 = std::numeric_limits<double>::quiet_NaN();
  bool gaps_kept = false;    // true exactly when a restart forgets no gap
  bool gaps_folded = false;  // true exactly when some stand under "*" for want of room
  std::vector<GapReport> gaps;
};

// An order of the operator: the gaps of a mirror are mended, so they are forgotten.
struct ClearGaps {
  std::string mirror;
  std::optional<std::string> table;  // nullopt: all of them
  absl::Time until = absl::InfiniteFuture();  // but those that went on after it
};

// True exactly for what the order is about.
bool IsCleared(const ClearGaps& order, const GapReport& gap);

}  // namespace admin
