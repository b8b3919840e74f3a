#include "command/replay_plan.h"

#include <algorithm>
#include <utility>

namespace command {

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
  if (!captured.timing.empty()) {
    unit.sent = captured.timing.front().sent;
    unit.answered = captured.timing.back().sent + captured.timing.back().took;
  }
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
