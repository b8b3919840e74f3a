// LogWriter: a bounded queue of lines and the thread that writes them to a file descriptor.
//
// Owned by the log (and by tests). Write() may be called on any thread and never waits for the
// reader of the descriptor: when the queue is full the oldest line is dropped and counted, and
// the first line written afterwards is preceded by one that says how many. A line the kernel
// refuses (disk full, reader gone) is counted as dropped too. Bound: kLogQueueLines lines.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/time/time.h"
#include "base/log.h"

namespace base {

inline constexpr size_t kLogQueueLines = 4096;

class LogWriter {
 public:
  // `fd` stays the caller's and outlives this. `format` is that of the writer's own lines.
  LogWriter(int fd, LogFormat format, size_t queue_lines = kLogQueueLines);
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;
  // Writes what is queued; waits for the reader as long as that takes.
  ~LogWriter();

  // `line` without its newline; copied.
  void Write(std::string_view line);
  // True when all that was queued before is written or dropped; false when `bound` has passed.
  bool Flush(absl::Duration bound);
  uint64_t Dropped() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace base
