#include "mirror/tally.h"

#include "base/log.h"

namespace mirror {
namespace {

absl::Duration BetweenLines() { return absl::Minutes(1); }

}  // namespace

Tally::Idle* Tally::Register() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return &idle_.emplace_back();
}

// The fields are those that operators of other mirrors know.
void Tally::Change(int64_t total, std::string_view mirror, base::Instant now) {
  const int64_t all = total_.fetch_add(total, std::memory_order_relaxed) + total;
  if (now.nanoseconds() < next_.load(std::memory_order_relaxed)) {
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t idle = 0;
  for (const Idle& of_shard : idle_) {
    idle += of_shard.Load();
  }
  if (all == told_total_ && idle == told_idle_) {
    return;
  }
  next_.store((now + BetweenLines()).nanoseconds(), std::memory_order_relaxed);
  told_total_ = all;
  told_idle_ = idle;
  base::Log(base::LogLevel::kInfo, "mirror.connections",
            {{"mirror", mirror},
             {"acquired_conns", all - idle},
             {"idle_conns", idle},
             {"total_conns", all}});
}

}  // namespace mirror
