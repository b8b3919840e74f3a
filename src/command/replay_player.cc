#include "command/replay_player.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/status.h"

namespace command {
namespace {

// How long a server that was reached may be away.
absl::Duration Patience() { return absl::Seconds(30); }

}  // namespace

absl::Status Unreachable() {
  return base::Unavailable("the server of --to cannot be reached; the log says why");
}

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
  const auto first = plan_->events().begin();
  const auto above = std::upper_bound(
      first, first + static_cast<ptrdiff_t>(numbers_.size()), number,
      [](uint64_t sought, const ReplayPlan::Event& event) { return sought < event.number; });
  return above == first ? 0 : numbers_[static_cast<size_t>(above - first) - 1];
}

absl::Status ReplayPlayer::Do(const ReplayPlan::Event& event) {
  const ReplayPlan::Captured& captured = plan_->units()[event.unit];
  mirror::Unit unit;
  if (!event.reserves) {
    ASSIGN_OR_RETURN(unit, units_->Read(captured.place));
  }
  mirror::Target* const lane = LaneOf(captured.session);
  lane->Expect();
  numbers_.push_back(clock_->Tick());
  if (event.reserves) {
    reserved_.insert(numbers_.back());
    lane->Reserve(numbers_.back());
  } else {
    Offer(std::move(unit), event, lane);
  }
  return absl::OkStatus();
}

void ReplayPlayer::Offer(mirror::Unit unit, const ReplayPlan::Event& event, mirror::Target* lane) {
  const ReplayPlan::Captured& captured = plan_->units()[event.unit];
  const uint64_t stamp = Translate(captured.stamp);
  unit.place.stamp = stamp;
  unit.place.acked = numbers_.back();
  unit.after = Translate(unit.after);
  unit.committed = loop_->now();
  unit.bytes = std::min(unit.bytes, ReplayPlan::kUnitBytesMax);
  waiting_.emplace(stamp, unit.bytes);
  waiting_bytes_ += unit.bytes;
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
    waiting_bytes_ -= one->second;
    waiting_.erase(one);
  }
  report_->OnOutcome(outcome);
}

bool ReplayPlayer::Crowded() const {
  return waiting_.size() >= kWaitingMax || waiting_bytes_ >= kWaitingBytesMax;
}

// Enough wait, and one of them can go on with what has been offered.
bool ReplayPlayer::Full() const {
  return Crowded() && (reserved_.empty() || waiting_.begin()->first <= *reserved_.begin());
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
  bool turned = !Crowded();
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

absl::Status ReplayPlayer::PlayEvents(double speed) {
  const base::Instant start = base::Instant::MonotonicNow();
  int64_t first = 0;
  for (const ReplayPlan::Captured& unit : plan_->units()) {
    if (unit.answered > 0) {
      first = first == 0 ? unit.answered : std::min(first, unit.answered);
    }
  }
  numbers_.reserve(plan_->events().size());
  for (const ReplayPlan::Event& event : plan_->events()) {
    const double behind = static_cast<double>(plan_->units()[event.unit].answered - first);
    const bool scheduled = speed > 0 && !event.reserves;
    const base::Instant due =
        scheduled ? start + absl::Nanoseconds(behind / speed) : base::Instant(0);
    if (!Hold(due)) {
      return Unreachable();
    }
    if (const absl::Status done = Do(event); !done.ok()) {
      return base::Error(done.code(), std::string(base::Message(done)) +
                                          "; the capture cannot be read again from there on");
    }
  }
  return absl::OkStatus();
}

absl::Status ReplayPlayer::Play(mirror::Mirrors* mirrors, double speed) {
  mirrors_ = mirrors;
  absl::Status played = PlayEvents(speed);
  for (const auto& [session, lane] : lanes_) {
    lane->End();
  }
  return played;
}

}  // namespace command
