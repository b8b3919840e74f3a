#include "io/sim_network.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "io/loop.h"
#include "io/sim_engine.h"

namespace io {
namespace {

constexpr int64_t kLatencyLeast = 10;        // microseconds
constexpr int64_t kLatencyMost = 3'000;
constexpr int64_t kStallLeast = 100'000;
constexpr int64_t kStallMost = 20'000'000;
constexpr size_t kWindowLeast = 200;
constexpr size_t kWindowMost = 64 * 1024;

}  // namespace

SimNetwork::SimNetwork(uint64_t seed, const SimFaultRates& rates) : prng_(seed), rates_(rates) {}

void SimNetwork::Detach(SimEngine* engine) { std::erase(engines_, engine); }

bool SimNetwork::Fires(uint64_t one_in, SimFault fault) {
  if (one_in == 0 || !prng_.OneIn(one_in)) {
    return false;
  }
  ++fired_[static_cast<size_t>(fault)];
  return true;
}

base::Instant SimNetwork::After(int64_t at_least_us, int64_t at_most_us) {
  const auto range = static_cast<uint64_t>(at_most_us - at_least_us + 1);
  const int64_t wait = at_least_us + static_cast<int64_t>(prng_.Below(range));
  const base::Instant at = now_ + absl::Microseconds(wait);
  NoteTime(at);
  return at;
}

SimNetwork::End* SimNetwork::Find(int end) {
  const auto found = ends_.find(end);
  return found == ends_.end() ? nullptr : &found->second;
}

std::pair<int, int> SimNetwork::Connect(const Address& dialler, const Address& listener) {
  const std::pair<int, int> both(next_end_, next_end_ + 1);
  next_end_ += 2;
  for (const int end : {both.first, both.second}) {
    End& made = ends_[end];
    made.window = kWindowLeast + prng_.Below(prng_.OneIn(2) ? 4096 : kWindowMost);
    made.peer = end == both.first ? both.second : both.first;
    made.remote = end == both.first ? listener : dialler;
  }
  return both;
}

size_t SimNetwork::Push(int from, std::string_view bytes) {
  const End& sender = *Find(from);
  End* receiver = Find(sender.peer);
  CHECK(receiver != nullptr && !sender.finished);
  const size_t room = receiver->window - std::min(receiver->window, receiver->unread);
  const size_t taken = std::min(room, bytes.size());
  if (taken == 0) {
    return 0;
  }
  const bool stalls = Fires(rates_.stall, SimFault::kStall);
  const base::Instant arrives = stalls ? After(kStallLeast, kStallMost)
                                       : After(kLatencyLeast, kLatencyMost);
  receiver->last_arrival = std::max(receiver->last_arrival, arrives);
  receiver->incoming.push_back(
      Segment{receiver->last_arrival, std::string(bytes.substr(0, taken))});
  receiver->unread += taken;
  return taken;
}

void SimNetwork::Finish(int from) {
  End* sender = Find(from);
  if (sender == nullptr || std::exchange(sender->finished, true)) {
    return;
  }
  if (End* receiver = Find(sender->peer); receiver != nullptr) {
    receiver->last_arrival =
        std::max(receiver->last_arrival, After(kLatencyLeast, kLatencyMost));
    receiver->incoming.push_back(Segment{receiver->last_arrival, ""});
  }
}

void SimNetwork::Reset(int end) {
  End* one = Find(end);
  for (End* each : {one, one == nullptr ? nullptr : Find(one->peer)}) {
    if (each != nullptr) {
      each->reset = true;
      each->incoming.clear();
      each->unread = 0;
    }
  }
}

// As TCP does: closing with bytes unread resets the connection, else it is an orderly end.
void SimNetwork::Close(int end) {
  End* closing = Find(end);
  CHECK(closing != nullptr);
  if (closing->unread > 0) {
    Reset(end);
  } else if (!closing->reset) {
    Finish(end);
  }
  if (End* other = Find(closing->peer); other != nullptr) {
    other->peer = -1;
  }
  ends_.erase(end);
}

SimNetwork::Listener* SimNetwork::PickListener(const Address& address) {
  const auto [first, last] = listeners_.equal_range(address.ToString());
  const auto count = static_cast<uint64_t>(std::distance(first, last));
  if (count == 0) {
    return nullptr;
  }
  return std::next(first, static_cast<std::ptrdiff_t>(prng_.Below(count)))->second;
}

// One turn of every loop that has something to do; if there is none, time passes.
bool SimNetwork::Step() {
  bool turned = false;
  std::vector<SimEngine*> order = engines_;
  std::erase_if(order, [](const SimEngine* engine) {
    return engine->loop_ == nullptr || engine->loop_->stopped();
  });
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1], order[prng_.Below(i)]);
  }
  for (SimEngine* engine : order) {
    if (engine->HasWork()) {
      engine->loop_->RunOnce(base::Instant::Never());
      turned = true;
    }
  }
  if (turned) {
    return true;
  }
  // A message that another loop (or the test) has posted shows only when its loop turns: all turn
  // once more before time passes.
  for (SimEngine* engine : order) {
    engine->loop_->RunOnce(base::Instant::Never());
    turned = turned || engine->HasWork();
  }
  if (turned) {
    return true;
  }
  base::Instant next = base::Instant::Never();
  const auto later = times_.upper_bound(now_);
  if (later != times_.end()) {
    next = *later;
  }
  for (const SimEngine* engine : order) {
    next = std::min(next, engine->wanted_);
  }
  if (next == base::Instant::Never()) {
    return false;
  }
  now_ = std::max(now_, next);
  times_.erase(times_.begin(), times_.lower_bound(now_));
  return true;
}

bool SimNetwork::Run(const std::function<bool()>& done, uint64_t steps_max) {
  for (uint64_t step = 0; !done(); ++step) {
    if (step == steps_max || !Step()) {
      return false;
    }
  }
  return true;
}

}  // namespace io
