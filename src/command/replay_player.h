// ReplayPlayer: gives the units of a plan to the lanes of a server, each in its turn.
//
// On the thread that replays, whose loop it turns. All it is given outlives it.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>

#include "base/instant.h"
#include "command/replay_plan.h"
#include "command/replay_progress.h"
#include "io/loop.h"
#include "mirror/mirrors.h"

namespace command {

class ReplayPlayer {
 public:
  ReplayPlayer(io::Loop* loop, mirror::Mirrors* mirrors, mirror::Clock* clock,
               const ReplayPlan* plan, ReplayProgress* progress)
      : loop_(loop), mirrors_(mirrors), clock_(clock), plan_(plan), progress_(progress) {}

  // `speed`: of 1, as it was; 0: as fast as the server takes it. False: the server cannot be
  // reached. Every lane has been told its session's end.
  bool Play(double speed);

 private:
  mirror::Target* LaneOf(uint64_t session);
  void Do(const ReplayPlan::Event& event);
  // The number here of what had `number` at most in the capture.
  uint64_t Translate(uint64_t number) const;
  bool Hold(base::Instant until);

  io::Loop* const loop_;
  mirror::Mirrors* const mirrors_;
  mirror::Clock* const clock_;
  const ReplayPlan* const plan_;
  ReplayProgress* const progress_;
  std::unordered_map<uint64_t, mirror::Target*> lanes_;
  std::map<uint64_t, uint64_t> numbers_;  // of the capture to the clock's
};

}  // namespace command
