// ReplayReport: what came of a replay, for people or programs.
//
// Owned by the command; on the thread that replays. Bound: kDifferencesMax kinds of differences;
// what is of none of them is counted together.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "base/counters.h"
#include "mirror/unit.h"

namespace command {

class ReplayReport final : public mirror::OutcomeTaker {
 public:
  static constexpr size_t kDifferencesMax = 200;

  // -- of the capture -----------------------------------------------------------------------------
  uint64_t sessions = 0;
  uint64_t units = 0;                // transactions
  int64_t bytes = 0;                 // of their statements
  uint64_t lacking = 0;              // committed, and the capture could not keep them
  uint64_t order_unknown = 0;        // of those kept: nobody can tell their order with another's
  uint64_t open_ends = 0;            // logs that were not closed
  std::vector<std::string> damage;   // what could not be read
  base::Histogram original;          // how long the statements ran
  // -- of the replay ------------------------------------------------------------------------------
  absl::Duration took;

  void OnOutcome(const mirror::UnitOutcome& outcome) override;

  uint64_t done() const { return applied_ + refused_ + undecided_; }
  int64_t done_bytes() const { return done_bytes_; }
  uint64_t applied() const { return applied_; }
  uint64_t different() const { return different_; }
  uint64_t refused() const { return refused_; }
  uint64_t undecided() const { return undecided_; }
  // True exactly when all that was read came out as it did.
  bool same() const { return applied_ == units && different_ == 0; }
  // True exactly when the capture has all that was committed.
  bool whole() const { return lacking == 0 && open_ends == 0 && damage.empty(); }
  // `replayed`: false for a capture that was looked at only.
  std::string AsText(bool replayed) const;
  std::string AsJson(bool replayed) const;

 private:
  using Counts = std::map<std::pair<std::string, std::string>, uint64_t>;

  void CountDifference(std::string_view was, std::string_view is);

  uint64_t applied_ = 0;
  uint64_t different_ = 0;  // of those applied: with other tags
  uint64_t refused_ = 0;
  uint64_t undecided_ = 0;  // dropped: lost connections, time-outs
  int64_t done_bytes_ = 0;
  Counts differences_;  // by the tag there and the tag or SQLSTATE here
  uint64_t other_differences_ = 0;
  std::map<std::string, uint64_t> sqlstates_;  // of those refused
  std::array<uint64_t, mirror::kCauses> causes_{};  // of those not decided
  base::Histogram replayed_;
};

}  // namespace command
