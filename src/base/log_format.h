// The text of one log line, as a pure function: logfmt or JSON, values escaped and cut.
//
// A line is one line whatever its values hold: control characters (newline, NUL, ANSI's escape, C1)
// and bytes that are not UTF-8 are escaped. Any thread; owns nothing; cannot fail. Bound: each
// value is cut at kLogValueBytes and then ends in "...".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "base/log.h"

namespace base {

inline constexpr size_t kLogValueBytes = 1024;

struct LogLine {
  absl::Time time = absl::UnixEpoch();
  LogLevel level = LogLevel::kInfo;
  std::string_view event;
  std::span<const LogField> fields;
  uint64_t left_out = 0;  // lines of this event the rate limit cut before this one
};

// Without the newline. Time is UTC with milliseconds (RFC 3339).
std::string FormatLogLine(LogFormat format, const LogLine& line);

}  // namespace base
