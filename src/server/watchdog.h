// Watchdog: notices a shard whose loop has stopped turning.
//
// Made by Run(), used by the main thread, which calls Look() a few times in each timeout; outlives
// the loops. Each shard is sent one message at a time: one that has not delivered it for the
// timeout is stalled, until it does. Time in which nobody looked does not count: then the whole
// process stood still. A query costs nothing for it.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>

#include "base/instant.h"
#include "base/published.h"
#include "io/loop.h"

namespace server {

class Watchdog {
 public:
  // `stalled`: how many there are, for the metrics; outlives this.
  explicit Watchdog(base::Published<uint32_t>* stalled) : stalled_(stalled) {}
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // The loop of the next shard. It must run as long as Look() is called.
  void Watch(io::Loop* loop) { shards_.emplace_back().loop = loop; }
  // Before the first look, and when it has changed; zero: nobody is to look.
  void SetTimeout(absl::Duration timeout) { timeout_ = timeout; }
  // Logs what has changed; true if a shard is stalled that was not before.
  bool Look(base::Instant now);
  // How long to wait between two looks.
  absl::Duration pause() const { return timeout_ / 4; }

 private:
  class Call;
  struct Watched {
    io::Loop* loop = nullptr;
    std::atomic<bool> answered{true};  // since it was called
    base::Instant called;
    bool stalled = false;
  };

  absl::Duration timeout_;
  base::Published<uint32_t>* const stalled_;
  std::deque<Watched> shards_;
  base::Instant looked_;
};

}  // namespace server
