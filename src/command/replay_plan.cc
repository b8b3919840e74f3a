#include "command/replay_plan.h"

#include <algorithm>
#include <utility>

namespace command {
namespace {

constexpr int64_t kTimeMax = int64_t{1} << 60;  // nanoseconds; sums of two of them are numbers

// When the first step was sent, when the last was answered, and how long the server had something
// to answer: steps of a pipeline are sent before those before them are answered. Steps that are
// pgbraid's own have no times.
void ReadTiming(const std::vector<mirror::StepTiming>& timing, ReplayPlan::Captured* unit) {
  for (const mirror::StepTiming& step : timing) {
    if (step.sent <= 0) {
      continue;
    }
    const int64_t sent = std::min(step.sent, kTimeMax);
    const int64_t answered = sent + std::clamp<int64_t>(step.took, 0, kTimeMax);
    unit->busy += std::max<int64_t>(answered - std::max(sent, unit->answered), 0);
    unit->sent = unit->sent == 0 ? sent : std::min(unit->sent, sent);
    unit->answered = std::max(unit->answered, answered);
  }
}

}  // namespace

void ReplayPlan::Add(mirror::Captured captured) {
  switch (captured.kind) {
    case mirror::Captured::Kind::kSession:
      sessions_[captured.session] = std::move(captured.facts);
      return;
    case mirror::Captured::Kind::kLost:
      ++lacking_;
      return;
    case mirror::Captured::Kind::kUnit:
      break;
  }
  Captured& unit = units_.emplace_back();
  unit.session = captured.session;
  unit.unit = std::move(captured.unit);
  mirror::Place* const place = &unit.unit.place;
  if (place->stamp > place->acked) {
    place->stamp = place->acked;  // nobody has written that
  }
  ReadTiming(captured.timing, &unit);
  bytes_ += unit.unit.bytes;
}

void ReplayPlan::Finish() {
  std::sort(units_.begin(), units_.end(), [](const Captured& a, const Captured& b) {
    return a.unit.place.acked < b.unit.place.acked;
  });
  std::map<uint64_t, size_t> last_of_session;
  std::map<uint64_t, size_t> last_of_stamp;  // of stamps that were taken before
  for (size_t i = 0; i < units_.size(); ++i) {
    const mirror::Place& place = units_[i].unit.place;
    last_of_session[units_[i].session] = i;
    if (place.stamp != place.acked) {
      last_of_stamp[place.stamp] = i;
    }
    events_.push_back({.number = place.acked, .unit = i});
  }
  for (const auto& [session, i] : last_of_session) {
    units_[i].last = true;
  }
  for (const auto& [stamp, i] : last_of_stamp) {
    events_[i].releases = true;
  }
  for (const auto& [stamp, i] : last_of_stamp) {
    events_.push_back({.number = stamp, .unit = i, .reserves = true});
  }
  std::sort(events_.begin(), events_.end(),
            [](const Event& a, const Event& b) { return a.number < b.number; });
}

}  // namespace command
