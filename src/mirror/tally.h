// Tally: the connections of one mirror, over all shards, for the log.
//
// One per mirror, process-wide, any thread. How many there are is counted as they come and go; how
// many of them are idle each shard publishes for itself, since that changes with every transaction.
// A line at most once a minute, by whoever opens or closes a connection then, and only if the
// numbers differ from those told last.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string_view>

#include "base/instant.h"
#include "base/published.h"

namespace mirror {

class Tally {
 public:
  using Idle = base::Published<int64_t>;

  // A shard's place for its idle ones; it lives as long as this.
  Idle* Register();
  // So many connections more, or fewer. Then the line may go to the log.
  void Change(int64_t total, std::string_view mirror, base::Instant now);

 private:
  std::atomic<int64_t> total_{0};
  std::atomic<int64_t> next_{0};  // when a line may be written, by the clock of instants
  std::mutex mutex_;              // at the start of a shard, and for a line
  std::deque<Idle> idle_;
  int64_t told_total_ = 0;
  int64_t told_idle_ = 0;
};

}  // namespace mirror
