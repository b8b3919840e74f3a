#include "command/replay_plan.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace command {
namespace {

// Sums of two of them are numbers.
constexpr int64_t kTimeMax = int64_t{1} << 60;  // nanoseconds
constexpr int64_t kBytesMax = int64_t{1} << 60;

ReplayPlan::Event EventOf(uint64_t number, size_t unit, bool reserves) {
  return {.number = number, .unit = unit & (~uint64_t{0} >> 2), .reserves = reserves};
}

// When the last step was answered, and how long the server had something to answer: steps of a
// pipeline are sent before those before them are answered. Steps that are pgbraid's own have no
// times.
void ReadTiming(const std::vector<mirror::StepTiming>& timing, ReplayPlan::Captured* unit) {
  for (const mirror::StepTiming& step : timing) {
    if (step.sent <= 0) {
      continue;
    }
    const int64_t sent = std::min(step.sent, kTimeMax);
    const int64_t answered = sent + std::clamp<int64_t>(step.took, 0, kTimeMax);
    unit->busy += std::max<int64_t>(answered - std::max(sent, unit->answered), 0);
    unit->answered = std::max(unit->answered, answered);
  }
}

}  // namespace

void ReplayPlan::Add(mirror::Captured captured, const CapturePlace& place) {
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
  unit.acked = captured.unit.place.acked;
  unit.stamp = std::min(captured.unit.place.stamp, unit.acked);  // nobody has written another one
  unit.place = place;
  ReadTiming(captured.timing, &unit);
  bytes_ = std::min(bytes_ + std::min(captured.unit.bytes, kUnitBytesMax), kBytesMax);
  order_unknown_ += captured.unit.meets ? 1 : 0;
}

void ReplayPlan::Finish() {
  std::sort(units_.begin(), units_.end(),
            [](const Captured& a, const Captured& b) { return a.acked < b.acked; });
  std::unordered_set<uint64_t> later;  // sessions of which a unit comes behind
  for (size_t i = units_.size(); i-- > 0;) {
    units_[i].last = later.insert(units_[i].session).second;
  }
  for (size_t i = 0; i < units_.size(); ++i) {
    events_.push_back(EventOf(units_[i].acked, i, false));
  }
  AddReservations();
  std::sort(events_.begin(), events_.end(),
            [](const Event& a, const Event& b) { return a.number < b.number; });
}

// One for each stamp that was taken before its units; the last of them gives it back.
void ReplayPlan::AddReservations() {
  std::vector<Event> stamps;
  for (size_t i = 0; i < units_.size(); ++i) {
    if (units_[i].stamp != units_[i].acked) {
      stamps.push_back(EventOf(units_[i].stamp, i, true));
    }
  }
  std::sort(stamps.begin(), stamps.end(), [](const Event& a, const Event& b) {
    return std::pair(a.number, uint64_t{a.unit}) < std::pair(b.number, uint64_t{b.unit});
  });
  for (size_t i = 0; i < stamps.size(); ++i) {
    if (i + 1 == stamps.size() || stamps[i].number != stamps[i + 1].number) {
      events_[stamps[i].unit].releases = true;
      events_.push_back(stamps[i]);
    }
  }
}

}  // namespace command
