// ReplayPlayer: gives the units of a plan to the lanes of a server, each in its turn.
//
// On the thread that replays, whose loop it turns. All it is given outlives it. Bound: kWaitingMax
// units wait at a time, but for those without which none that waits may go on: where a COMMIT had
// been forwarded and not answered, all behind it wait for its unit, which comes later.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>

#include "base/instant.h"
#include "command/replay_plan.h"
#include "command/replay_progress.h"
#include "command/replay_report.h"
#include "io/loop.h"
#include "mirror/mirrors.h"

namespace command {

class ReplayPlayer final : public mirror::OutcomeTaker {
 public:
  static constexpr size_t kWaitingMax = 1000;

  ReplayPlayer(io::Loop* loop, mirror::Clock* clock, const ReplayPlan* plan, ReplayReport* report,
               ReplayProgress* progress)
      : loop_(loop), clock_(clock), plan_(plan), report_(report), progress_(progress) {}

  // `speed`: of 1, as it was; 0: as fast as the server takes it. False: the server cannot be
  // reached. Every lane has been told its session's end. `mirrors` tells this of outcomes.
  bool Play(mirror::Mirrors* mirrors, double speed);
  void OnOutcome(const mirror::UnitOutcome& outcome) override;

 private:
  mirror::Target* LaneOf(uint64_t session);
  void Do(const ReplayPlan::Event& event);
  // The number here of what had `number` at most in the capture.
  uint64_t Translate(uint64_t number) const;
  bool Hold(base::Instant until);
  bool Full() const;
  bool GivesUp();

  io::Loop* const loop_;
  mirror::Clock* const clock_;
  const ReplayPlan* const plan_;
  ReplayReport* const report_;
  ReplayProgress* const progress_;
  mirror::Mirrors* mirrors_ = nullptr;
  std::unordered_map<uint64_t, mirror::Target*> lanes_;
  std::map<uint64_t, uint64_t> numbers_;  // of the capture to the clock's
  std::multiset<uint64_t> waiting_;       // stamps of units that are not decided
  std::set<uint64_t> reserved_;           // stamps of which a unit is still to come
  base::Instant away_from_;               // while the server cannot be reached
};

}  // namespace command
