#include "base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "absl/time/clock.h"
#include "base/log_format.h"
#include "base/log_limit.h"
#include "base/log_writer.h"
#include "base/status.h"

namespace base {
namespace {

constexpr absl::Duration kFlushBound = absl::Seconds(2);

struct ProcessLog {
  ProcessLog(int fd, LogFormat lines_as) : format(lines_as), writer(fd, lines_as) {}
  const LogFormat format;
  LogLimit limit{kLinesPerSecond};
  LogWriter writer;
};

// The log is the process's, like its stderr: a line may come from any thread and any depth. It is
// never freed, since its thread may wait for a reader that never comes.
std::atomic<ProcessLog*> process_log{nullptr};
std::atomic<LogLevel> level_now{LogLevel::kInfo};
std::atomic<uint64_t> surprises{0};

}  // namespace

absl::Status StartLog(LogLevel level, LogFormat format, const std::string& path) {
  if (process_log.load(std::memory_order_acquire) != nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition, "the log was started before");
  }
  int fd = STDERR_FILENO;
  if (!path.empty()) {
    fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
      return ErrnoError("cannot open the log file \"" + path + "\"", errno);
    }
  }
  SetLogLevel(level);
  process_log.store(new ProcessLog(fd, format), std::memory_order_release);
  return absl::OkStatus();
}

void SetLogLevel(LogLevel level) { level_now.store(level, std::memory_order_relaxed); }

bool LogEnabled(LogLevel level) {
  return level <= level_now.load(std::memory_order_relaxed) &&
         process_log.load(std::memory_order_acquire) != nullptr;
}

void FlushLog() {
  if (ProcessLog* const log = process_log.load(std::memory_order_acquire)) {
    log->writer.Flush(kFlushBound);
  }
}

uint64_t LogDropped() {
  const ProcessLog* const log = process_log.load(std::memory_order_acquire);
  return log == nullptr ? 0 : log->writer.Dropped();
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) {
    return;
  }
  ProcessLog* const log = process_log.load(std::memory_order_acquire);
  const absl::Time now = absl::Now();
  const LogLimit::Verdict verdict = log->limit.Pass(event, now);
  if (!verdict.write) {
    return;
  }
  log->writer.Write(FormatLogLine(log->format, {.time = now,
                                                .level = level,
                                                .event = event,
                                                .fields = {fields.begin(), fields.size()},
                                                .left_out = verdict.left_out}));
}

void Surprise(std::string_view event, std::string_view what) {
  surprises.fetch_add(1, std::memory_order_relaxed);
  Log(LogLevel::kError, event, {{"what", what}});
}

uint64_t Surprises() { return surprises.load(std::memory_order_relaxed); }

}  // namespace base
