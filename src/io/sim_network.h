// SimNetwork: the simulated network and clock of one test, shared by its SimEngines.
//
// Made by a test, outlives its engines; everything runs on the test's one thread. Each engine
// belongs to one io::Loop; Run() turns the loops in an order drawn from the seed, and when none has
// anything to do moves the clock to the next instant at which one has. So a test of minutes takes
// milliseconds, and a seed repeats it exactly.
//
// A connection is two directions of bytes with a window each. Bytes take a latency to arrive and
// arrive in order; how they are cut is drawn from the seed, and so are the faults: short sends,
// stalls, resets, dials that are refused or never answered, accepts that fail.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/instant.h"
#include "base/random.h"
#include "io/address.h"

namespace io {

class Loop;
class SimEngine;

// How often faults happen: once in so many occasions; 0: never.
struct SimFaultRates {
  uint64_t short_send = 0;
  uint64_t stall = 0;
  uint64_t reset = 0;
  uint64_t refused_dial = 0;
  uint64_t unanswered_dial = 0;
  uint64_t failed_accept = 0;
};

enum class SimFault : uint8_t {
  kShortSend,
  kStall,
  kReset,
  kRefusedDial,
  kUnansweredDial,
  kFailedAccept,
};
inline constexpr size_t kSimFaults = 6;

class SimNetwork {
 public:
  SimNetwork(uint64_t seed, const SimFaultRates& rates);
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  base::Instant now() const { return now_; }
  // Turns the loops of all engines until `done()`. False if nothing can happen any more, or after
  // `steps_max` turns: the simulation is stuck.
  bool Run(const std::function<bool()>& done, uint64_t steps_max);

  void SetRates(const SimFaultRates& rates) { rates_ = rates; }
  uint64_t fired(SimFault fault) const { return fired_[static_cast<size_t>(fault)]; }
  size_t live_ends() const { return ends_.size(); }
  base::Prng& prng() { return prng_; }

 private:
  friend class SimEngine;

  struct Segment {
    base::Instant arrives;
    std::string bytes;  // empty: the end of the stream
  };
  // One end of a connection: what is on its way to it, and who it is.
  struct End {
    int peer = -1;  // -1: the other end is gone
    std::deque<Segment> incoming;
    size_t unread = 0;  // bytes of `incoming`
    size_t window = 0;  // at most so many of them
    base::Instant last_arrival;
    bool reset = false;
    bool finished = false;  // this end has sent its last byte
    Address remote;
  };
  struct Listener {
    SimEngine* engine = nullptr;
    std::deque<std::pair<base::Instant, int>> queue;  // ends, by when they arrive
  };

  void Attach(SimEngine* engine) { engines_.push_back(engine); }
  void Detach(SimEngine* engine);
  bool Fires(uint64_t one_in, SimFault fault);
  base::Instant After(int64_t at_least_us, int64_t at_most_us);
  void NoteTime(base::Instant at) { times_.insert(at); }
  // Both ends of a new connection; the first is the dialler's.
  std::pair<int, int> Connect(const Address& dialler, const Address& listener);
  End* Find(int end);
  // How many of `bytes` the window takes; they are on their way then.
  size_t Push(int from, std::string_view bytes);
  void Finish(int from);
  void Reset(int end);  // both sides find it reset
  void Close(int end);
  Listener* PickListener(const Address& address);
  bool Step();

  base::Instant now_{1'000'000'000};
  base::Prng prng_;
  SimFaultRates rates_;
  std::array<uint64_t, kSimFaults> fired_{};
  std::vector<SimEngine*> engines_;
  std::map<int, End> ends_;
  std::multimap<std::string, Listener*> listeners_;
  std::set<base::Instant> times_;  // when something arrives
  int next_end_ = 1000;
};

}  // namespace io
