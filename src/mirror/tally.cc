#include "mirror/tally.h"

#include "base/log.h"

namespace mirror {
namespace {

absl::Duration BetweenLines() { return absl::Minutes(1); }

}  // namespace

// The fields are those that operators of other mirrors know.
void Tally::Change(int64_t total, int64_t idle, std::string_view mirror, base::Instant now) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const int64_t all = total_.fetch_add(total, kRelaxed) + total;
  const int64_t free = idle_.fetch_add(idle, kRelaxed) + idle;
  int64_t next = next_.load(kRelaxed);
  if (now.nanoseconds() < next ||
      (all == told_total_.load(kRelaxed) && free == told_idle_.load(kRelaxed)) ||
      !next_.compare_exchange_strong(next, (now + BetweenLines()).nanoseconds(), kRelaxed)) {
    return;
  }
  told_total_.store(all, kRelaxed);
  told_idle_.store(free, kRelaxed);
  base::Log(base::LogLevel::kInfo, "mirror.connections",
            {{"mirror", mirror},
             {"acquired_conns", all - free},
             {"idle_conns", free},
             {"total_conns", all}});
}

}  // namespace mirror
