// ReplayPlayer: gives the units of a plan to the lanes of a server, each in its turn.
//
// On the thread that replays, whose loop it turns; it blocks while it reads a unit, which it does
// when its turn has come. All it is given outlives it. Bound: 8 bytes for each event; and what
// waits, at most kWaitingMax units, and kWaitingBytesMax bytes and one unit, but for those without
// which none that waits may go on: where a COMMIT had been forwarded and not answered, all behind
// it wait for its unit, which comes later.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "base/instant.h"
#include "command/capture_lookup.h"
#include "command/replay_plan.h"
#include "command/replay_progress.h"
#include "command/replay_report.h"
#include "io/loop.h"
#include "mirror/mirrors.h"

namespace command {

class ReplayPlayer final : public mirror::OutcomeTaker {
 public:
  static constexpr size_t kWaitingMax = 1000;
  static constexpr int64_t kWaitingBytesMax = 64 << 20;

  ReplayPlayer(io::Loop* loop, mirror::Clock* clock, const ReplayPlan* plan, CaptureLookup* units,
               ReplayReport* report, ReplayProgress* progress)
      : loop_(loop),
        clock_(clock),
        plan_(plan),
        units_(units),
        report_(report),
        progress_(progress) {}

  // `speed`: of 1, as it was; 0: as fast as the server takes it. kUnavailable if the server cannot
  // be reached; or why a unit could not be read again. In any case every lane has been told its
  // session's end. `mirrors` tells this of outcomes.
  absl::Status Play(mirror::Mirrors* mirrors, double speed);
  void OnOutcome(const mirror::UnitOutcome& outcome) override;

 private:
  mirror::Target* LaneOf(uint64_t session);
  absl::Status PlayEvents(double speed);
  absl::Status Do(const ReplayPlan::Event& event);
  void Offer(mirror::Unit unit, const ReplayPlan::Event& event, mirror::Target* lane);
  // The number here of what had `number` at most in the capture.
  uint64_t Translate(uint64_t number) const;
  bool Hold(base::Instant until);
  bool Crowded() const;
  bool Full() const;
  bool GivesUp();

  io::Loop* const loop_;
  mirror::Clock* const clock_;
  const ReplayPlan* const plan_;
  CaptureLookup* const units_;
  ReplayReport* const report_;
  ReplayProgress* const progress_;
  mirror::Mirrors* mirrors_ = nullptr;
  std::unordered_map<uint64_t, mirror::Target*> lanes_;
  std::vector<uint64_t> numbers_;             // of the plan's first events, the clock's
  std::multimap<uint64_t, int64_t> waiting_;  // units not decided: their stamps and bytes
  int64_t waiting_bytes_ = 0;
  std::set<uint64_t> reserved_;  // stamps of which a unit is still to come
  base::Instant away_from_;      // while the server cannot be reached
};

// The server cannot be reached.
absl::Status Unreachable();

}  // namespace command
