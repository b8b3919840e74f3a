#include "base/log_limit.h"

#include <utility>

namespace base {

LogLimit::Window* LogLimit::Find(std::string_view event, absl::Time now) {
  const std::string key(event);
  const auto found = windows_.find(key);
  if (found != windows_.end()) {
    return &found->second;
  }
  if (windows_.size() >= kEventsMax) {
    return &others_;
  }
  return &windows_.emplace(key, Window{.start = now}).first->second;
}

LogLimit::Verdict LogLimit::Pass(std::string_view event, absl::Time now) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Window* const window = Find(event, now);
  // A clock set back opens a new window too: else the event would be silent until it caught up.
  if (now < window->start || now - window->start >= absl::Seconds(1)) {
    window->start = now;
    window->lines = 0;
  }
  if (window->lines >= lines_per_second_) {
    ++window->left_out;
    return {};
  }
  ++window->lines;
  return {.write = true, .left_out = std::exchange(window->left_out, 0)};
}

}  // namespace base
