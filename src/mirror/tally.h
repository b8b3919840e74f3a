// Tally: the connections of one mirror, over all shards, for the log.
//
// One per mirror, process-wide, any thread, not locked. Never fails. A line at most once a minute,
// by whoever sees a change then, and only if the numbers differ from those told last.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/instant.h"

namespace mirror {

class Tally {
 public:
  // So many more, or fewer; `idle`: of those, that no transaction goes over. Then the line may go
  // to the log.
  void Change(int64_t total, int64_t idle, std::string_view mirror, base::Instant now);

 private:
  std::atomic<int64_t> total_{0};
  std::atomic<int64_t> idle_{0};
  std::atomic<int64_t> next_{0};  // when a line may be written, by the clock of instants
  std::atomic<int64_t> told_total_{0};
  std::atomic<int64_t> told_idle_{0};
};

}  // namespace mirror
