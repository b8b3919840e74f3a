// The log: one line per event of a connection, a server or the process; none per query.
//
//   base::Log(base::LogLevel::kInfo, "session.opened", {{"session", id}, {"client", address}});
//
// A line is logfmt or JSON: time, level, event, then the fields, values quoted and escaped, cut at
// 1 KiB each. Lines are written by a thread of their own through a bounded queue; when nobody
// reads, lines are dropped and counted, never waited for. The same event more than
// kLinesPerSecond times in a second is cut, and the next line of it says how many were left out.
// Never put SQL text, parameters, passwords or URLs with credentials into a field.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace base {

enum class LogLevel : uint8_t { kError, kWarn, kInfo, kDebug };
enum class LogFormat : uint8_t { kLogfmt, kJson };

// One key=value. Views live during the call only.
class LogField {
 public:
  LogField(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  LogField(std::string_view key, const char* value) : key_(key), value_(value) {}
  LogField(std::string_view key, const std::string& value) : key_(key), value_(value) {}
  template <std::integral T>
  LogField(std::string_view key, T value) : key_(key), number_(std::to_string(value)) {}
  std::string_view key() const { return key_; }
  std::string_view value() const { return number_.empty() ? value_ : std::string_view(number_); }
  bool is_number() const { return !number_.empty(); }

 private:
  std::string_view key_;
  std::string_view value_;
  std::string number_;
};

inline constexpr int kLinesPerSecond = 20;  // of one event, per process

// Once, before the first thread starts; until then nothing is logged. `path` empty: stderr.
absl::Status StartLog(LogLevel level, LogFormat format, const std::string& path = "");
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);
// Waits until what was logged is written or dropped, at most two seconds. At exit.
void FlushLog();
// Lines lost since the start, because nobody read them or the file refused them.
uint64_t LogDropped();

// Any thread. `event` is "room.what".
void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// Surprising but survivable: an error line and a counter; the caller closes its session.
void Surprise(std::string_view event, std::string_view what);
uint64_t Surprises();

}  // namespace base
