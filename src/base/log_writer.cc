#include "base/log_writer.h"

#include <poll.h>
#include <pthread.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/sink.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <string>

#include "absl/time/clock.h"
#include "base/log_format.h"

namespace base {
namespace {

// The queue and its thread. Signals are the main thread's, and a reader that left must be an EPIPE,
// not a SIGPIPE; so the thread is born with signals blocked: one that came before it could block
// them itself would end the process.
std::shared_ptr<spdlog::details::thread_pool> StartQueue(size_t lines) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  auto queue = std::make_shared<spdlog::details::thread_pool>(lines, 1);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return queue;
}

// True when all of `bytes` went out. Waits for a slow reader: only the log's thread calls it.
bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN) {
      pollfd writable{.fd = fd, .events = POLLOUT, .revents = 0};
      poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// Where the queue's thread delivers lines; only that thread calls log().
class DescriptorSink final : public spdlog::sinks::sink {
 public:
  DescriptorSink(int fd, LogFormat format) : fd_(fd), format_(format) {}

  void Watch(spdlog::details::thread_pool* queue) { queue_ = queue; }

  void log(const spdlog::details::log_msg& message) override {
    TellDropped();
    std::string line(message.payload.data(), message.payload.size());
    line += '\n';
    if (!WriteAll(fd_, line)) {
      refused_.fetch_add(1, std::memory_order_relaxed);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    ++finished_;
    changed_.notify_all();
  }
  void flush() override {}
  void set_pattern(const std::string& /*pattern*/) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter> /*formatter*/) override {}

  // Lines leave in order, so when as many are written or dropped as were queued, ours are.
  bool Await(uint64_t queued, std::chrono::steady_clock::time_point until) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_until(
        lock, until, [&] { return finished_ + queue_->overrun_counter() >= queued; });
  }
  uint64_t Dropped() const {
    return refused_.load(std::memory_order_relaxed) + queue_->overrun_counter();
  }

 private:
  void TellDropped() {
    const uint64_t dropped = Dropped();
    if (dropped == told_) {
      return;
    }
    const LogField fields[] = {{"lines", dropped - told_}};
    std::string line = FormatLogLine(
        format_,
        {.time = absl::Now(), .level = LogLevel::kWarn, .event = "log.dropped", .fields = fields});
    line += '\n';
    if (WriteAll(fd_, line)) {
      told_ = dropped;
    }
  }

  const int fd_;
  const LogFormat format_;
  spdlog::details::thread_pool* queue_ = nullptr;
  uint64_t told_ = 0;
  std::atomic<uint64_t> refused_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t finished_ = 0;
};

}  // namespace

// spdlog takes shared pointers; each has this one owner.
struct LogWriter::State {
  State(int fd, LogFormat format, size_t queue_lines)
      : sink(std::make_shared<DescriptorSink>(fd, format)),
        queue(StartQueue(queue_lines)),
        logger(std::make_shared<spdlog::async_logger>(
            "pgbraid", sink, queue, spdlog::async_overflow_policy::overrun_oldest)) {
    sink->Watch(queue.get());
    logger->set_level(spdlog::level::trace);
  }

  std::shared_ptr<DescriptorSink> sink;
  std::shared_ptr<spdlog::details::thread_pool> queue;
  std::shared_ptr<spdlog::async_logger> logger;
  std::atomic<uint64_t> queued{0};
};

LogWriter::LogWriter(int fd, LogFormat format, size_t queue_lines)
    : state_(std::make_unique<State>(fd, format, queue_lines)) {}

LogWriter::~LogWriter() = default;

void LogWriter::Write(std::string_view line) {
  state_->queued.fetch_add(1, std::memory_order_relaxed);
  state_->logger->log(spdlog::level::info,
                      spdlog::string_view_t(line.data(), line.size()));
}

bool LogWriter::Flush(absl::Duration bound) {
  return state_->sink->Await(state_->queued.load(std::memory_order_relaxed),
                             std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(bound));
}

uint64_t LogWriter::Dropped() const { return state_->sink->Dropped(); }

}  // namespace base
