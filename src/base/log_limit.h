// The log's rate limit: so many lines of one event in a second, the rest counted.
//
// Owned by the log, used by any thread under its own lock, held for a look-up only. The time is
// an argument, so that tests need no clock. Bound: kEventsMax events have a window of their own;
// further ones share one.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/time/time.h"

namespace base {

class LogLimit {
 public:
  static constexpr size_t kEventsMax = 512;

  struct Verdict {
    bool write = false;
    uint64_t left_out = 0;  // of this event since the last line that was written
  };

  explicit LogLimit(int lines_per_second) : lines_per_second_(lines_per_second) {}

  // Whether a line of `event` may be written at `now`.
  Verdict Pass(std::string_view event, absl::Time now);

 private:
  struct Window {
    absl::Time start;
    int lines = 0;
    uint64_t left_out = 0;
  };

  Window* Find(std::string_view event, absl::Time now);

  const int lines_per_second_;
  std::mutex mutex_;
  std::unordered_map<std::string, Window> windows_;
  Window others_;
};

}  // namespace base
