#include "server/watchdog.h"

#include <memory>

#include "base/log.h"

namespace server {

class Watchdog::Call final : public io::Message {
 public:
  explicit Call(std::atomic<bool>* answered) : answered_(answered) {}
  void Deliver() override { answered_->store(true, std::memory_order_release); }

 private:
  std::atomic<bool>* const answered_;
};

bool Watchdog::Look(base::Instant now) {
  const bool slept = now - looked_ > 2 * pause();
  looked_ = now;
  bool found = false;
  uint32_t stalled = 0;
  uint32_t shard = 0;
  for (Watched& each : shards_) {
    const bool answered = each.answered.load(std::memory_order_acquire);
    if (slept && !each.stalled) {
      each.called = now;
    }
    if (answered && each.stalled) {
      base::Log(base::LogLevel::kWarn, "server.shard_turns_again",
                {{"shard", shard}, {"seconds", absl::ToInt64Seconds(now - each.called)}});
      each.stalled = false;
    } else if (!answered && !each.stalled && now - each.called >= timeout_) {
      base::Log(base::LogLevel::kError, "server.shard_stalled",
                {{"shard", shard},
                 {"seconds", absl::ToInt64Seconds(now - each.called)},
                 {"what", "its loop does not turn; its clients wait, the others are served"}});
      each.stalled = found = true;
    }
    if (answered) {
      each.answered.store(false, std::memory_order_relaxed);
      each.called = now;
      each.loop->Post(std::make_unique<Call>(&each.answered));
    }
    stalled += each.stalled ? 1 : 0;
    ++shard;
  }
  stalled_->Store(stalled);
  return found;
}

}  // namespace server
