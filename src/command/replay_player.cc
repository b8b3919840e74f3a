#include "command/replay_player.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace command {
namespace {

// So many units wait at most; the rest of the capture is not offered yet.
constexpr int64_t kWaitingMax = 1000;

}  // namespace

mirror::Target* ReplayPlayer::LaneOf(uint64_t session) {
  mirror::Target*& lane = lanes_[session];
  if (lane == nullptr) {
    mirror::SessionFacts facts;
    facts.session = session;
    const auto known = plan_->sessions().find(session);
    if (known != plan_->sessions().end()) {
      facts.user = known->second.user;
      facts.database = known->second.database;
      facts.parameters = known->second.parameters;
    }
    lane = mirrors_->OpenForReplay(facts);
  }
  return lane;
}

uint64_t ReplayPlayer::Translate(uint64_t number) const {
  const auto above = numbers_.upper_bound(number);
  return above == numbers_.begin() ? 0 : std::prev(above)->second;
}

void ReplayPlayer::Do(const ReplayPlan::Event& event) {
  const ReplayPlan::Captured& captured = plan_->units()[event.unit];
  mirror::Target* const lane = LaneOf(captured.session);
  lane->Expect();
  const uint64_t number = clock_->Tick();
  numbers_[event.number] = number;
  if (event.reserves) {
    lane->Reserve(number);
    return;
  }
  mirror::Unit unit = captured.unit;
  const bool reserved = unit.place.stamp != unit.place.acked;
  unit.place.stamp = reserved ? numbers_.at(unit.place.stamp) : number;
  unit.place.acked = number;
  unit.after = Translate(unit.after);
  unit.committed = loop_->now();
  const uint64_t stamp = unit.place.stamp;
  lane->Offer(std::move(unit), mirror::Cause::kNone);
  if (event.releases) {
    lane->Release(stamp);
  }
  if (captured.last) {
    lane->End();
    lanes_.erase(captured.session);
  }
}

// Turns the loop until `until`, and until there is room. False: the server cannot be reached.
bool ReplayPlayer::Hold(base::Instant until) {
  while (loop_->now() < until || mirrors_->metrics(0).queued_units.value() >= kWaitingMax) {
    loop_->RunOnce(std::min(until, loop_->now() + absl::Milliseconds(10)));
    progress_->Tick(loop_->now());
    if (!mirrors_->reachable(0)) {
      return false;
    }
  }
  return true;
}

bool ReplayPlayer::Play(double speed) {
  const base::Instant start = base::Instant::MonotonicNow();
  bool reached = true;
  int64_t first = 0;
  for (const ReplayPlan::Captured& unit : plan_->units()) {
    if (unit.answered > 0) {
      first = first == 0 ? unit.answered : std::min(first, unit.answered);
    }
  }
  for (const ReplayPlan::Event& event : plan_->events()) {
    const double behind = static_cast<double>(plan_->units()[event.unit].answered - first);
    const bool scheduled = speed > 0 && !event.reserves;
    const base::Instant due =
        scheduled ? start + absl::Nanoseconds(behind / speed) : base::Instant(0);
    reached = Hold(due);
    if (!reached) {
      break;
    }
    Do(event);
  }
  for (const auto& [session, lane] : lanes_) {
    lane->End();
  }
  return reached;
}

}  // namespace command
