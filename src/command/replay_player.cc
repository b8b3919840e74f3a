#include "command/replay_player.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace command {
namespace {

// How long a server that was reached may be away.
absl::Duration Patience() { return absl::Seconds(30); }

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
    reserved_.insert(number);
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
  waiting_.insert(stamp);
  lane->Offer(std::move(unit), mirror::Cause::kNone);
  if (event.releases) {
    reserved_.erase(stamp);
    lane->Release(stamp);
  }
  if (captured.last) {
    lane->End();
    lanes_.erase(captured.session);
  }
}

void ReplayPlayer::OnOutcome(const mirror::UnitOutcome& outcome) {
  if (const auto one = waiting_.find(outcome.unit->place.stamp); one != waiting_.end()) {
    waiting_.erase(one);
  }
  report_->OnOutcome(outcome);
}

// Enough wait, and one of them can go on with what has been offered.
bool ReplayPlayer::Full() const {
  return waiting_.size() >= kWaitingMax &&
         (reserved_.empty() || *waiting_.begin() <= *reserved_.begin());
}

// A server that was never reached is given up at once.
bool ReplayPlayer::GivesUp() {
  if (mirrors_->reachable(0)) {
    away_from_ = base::Instant();
    return false;
  }
  if (away_from_ == base::Instant()) {
    away_from_ = loop_->now();
  }
  return report_->done() == 0 || loop_->now() - away_from_ > Patience();
}

// Turns the loop until `until`, and until there is room. False: the server cannot be reached.
bool ReplayPlayer::Hold(base::Instant until) {
  bool turned = waiting_.size() < kWaitingMax;
  while (loop_->now() < until || Full() || !turned) {
    const base::Instant now = loop_->now();
    const base::Instant next = Full() ? now + absl::Milliseconds(1) : std::max(until, now);
    loop_->RunOnce(std::min(next, now + absl::Milliseconds(10)));
    turned = true;
    progress_->Tick(loop_->now());
    if (GivesUp()) {
      return false;
    }
  }
  return true;
}

bool ReplayPlayer::Play(mirror::Mirrors* mirrors, double speed) {
  mirrors_ = mirrors;
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
