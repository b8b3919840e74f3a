#include "config/text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "base/status.h"

namespace config {
namespace {

constexpr size_t kQuotedMax = 256;  // bytes of a value repeated in a message; paths are long
constexpr size_t kNameMax = 64;    // longer ones are compared with nothing

// Only ASCII letters fold; the locale has no say.
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string Lowered(std::string_view text) {
  std::string lowered(text);
  std::transform(lowered.begin(), lowered.end(), lowered.begin(), Lower);
  return lowered;
}

// Optimal string alignment distance.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1);
  std::vector<size_t> previous(b.size() + 1);
  std::vector<size_t> current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) {
    previous[j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({replaced, previous[j] + 1, current[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    before.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

// The digits at the front of `text` as a number; what follows them stays in `*unit`. False if
// there is none or it does not fit.
bool SplitNumber(std::string_view text, uint64_t* number, std::string_view* unit) {
  if (text.empty() || text.front() < '0' || text.front() > '9') {
    return false;
  }
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  if (error != std::errc()) {
    return false;
  }
  *unit = text.substr(static_cast<size_t>(end - text.data()));
  return true;
}

bool Multiply(uint64_t* number, uint64_t by) {
  return !__builtin_mul_overflow(*number, by, number);
}

absl::StatusOr<uint16_t> ParsePort(std::string_view text, std::string_view whole) {
  const absl::StatusOr<uint64_t> port = ParseInteger(text, 0, 65535);
  if (!port.ok()) {
    return base::InvalidArgument(Cat({Quote(whole), " has no port from 0 to 65535 at its end"}));
  }
  return static_cast<uint16_t>(*port);
}

constexpr size_t kUnixPathMax = 107;

}  // namespace

std::string Endpoint::Display() const {
  const std::string number = std::to_string(port);
  return host.find(':') == std::string::npos ? Cat({host, ":", number})
                                             : Cat({"[", host, "]:", number});
}

std::string Endpoint::SocketPath() const {
  return Cat({host, "/.s.PGSQL.", std::to_string(port)});
}

bool Endpoint::IsLoopback() const {
  return IsUnixSocket() || host == "::1" || (IsIpv4(host) && host.starts_with("127."));
}

std::string Cat(std::initializer_list<std::string_view> parts) {
  std::string joined;
  for (const std::string_view part : parts) {
    joined += part;
  }
  return joined;
}

std::string Quote(std::string_view text) {
  if (text.find('@') != std::string_view::npos || text.find("://") != std::string_view::npos ||
      (Lowered(text).find("pass") != std::string::npos &&
       text.find('=') != std::string_view::npos)) {
    return "the value (not shown, it could hold a password)";
  }
  std::string quoted = "\"";
  for (const char c : text.substr(0, kQuotedMax)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
      char escaped[5];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned>(byte));
      quoted += escaped;
    } else {
      quoted += c;
    }
  }
  quoted += text.size() > kQuotedMax ? "...\"" : "\"";
  return quoted;
}

std::string_view Nearest(std::string_view given, const std::vector<std::string_view>& known) {
  if (given.empty() || given.size() > kNameMax) {
    return {};
  }
  const std::string lowered = Lowered(given);
  std::string_view nearest;
  size_t nearest_distance = std::max<size_t>(1, std::min<size_t>(3, given.size() / 3)) + 1;
  for (const std::string_view name : known) {
    const size_t distance = Distance(lowered, name);
    if (distance < nearest_distance) {
      nearest = name;
      nearest_distance = distance;
    }
  }
  if (!nearest.empty() || given.size() < 3) {
    return nearest;
  }
  for (const std::string_view name : known) {
    if (name.find(lowered) != std::string_view::npos) {
      return name;
    }
  }
  return {};
}

std::string DidYouMean(std::string_view given, const std::vector<std::string_view>& known,
                       std::string_view prefix) {
  const std::string_view nearest = Nearest(given, known);
  return nearest.empty() ? std::string() : Cat({"; did you mean \"", prefix, nearest, "\"?"});
}

absl::StatusOr<uint64_t> ParseInteger(std::string_view text, uint64_t min, uint64_t max) {
  uint64_t number = 0;
  std::string_view rest;
  if (!SplitNumber(text, &number, &rest) || !rest.empty() || number < min || number > max) {
    return base::InvalidArgument(Cat({Quote(text), " is not a whole number from ",
                                      std::to_string(min), " to ", std::to_string(max)}));
  }
  return number;
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text, uint64_t min, uint64_t max) {
  uint64_t number = 0;
  std::string_view unit;
  bool good = SplitNumber(text, &number, &unit);
  const std::string lowered = Lowered(unit);
  if (lowered == "k") {
    good = good && Multiply(&number, uint64_t{1} << 10);
  } else if (lowered == "m") {
    good = good && Multiply(&number, uint64_t{1} << 20);
  } else if (lowered == "g") {
    good = good && Multiply(&number, uint64_t{1} << 30);
  } else {
    good = good && lowered.empty();
  }
  if (!good || number < min || number > max) {
    return base::InvalidArgument(Cat({Quote(text), " is not a size from ", BytesText(min), " to ",
                                      BytesText(max), " (bytes, or with k, m or g)"}));
  }
  return number;
}

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text, absl::Duration min,
                                             absl::Duration max) {
  uint64_t number = 0;
  std::string_view unit;
  bool good = SplitNumber(text, &number, &unit);
  uint64_t milliseconds = 1000;
  if (unit == "ms") {
    milliseconds = 1;
  } else if (unit == "m") {
    milliseconds = 60 * 1000;
  } else if (unit == "h") {
    milliseconds = 3600 * 1000;
  } else {
    good = good && (unit.empty() || unit == "s");
  }
  good = good && Multiply(&number, milliseconds) && number < uint64_t{1} << 62;
  const absl::Duration duration = absl::Milliseconds(good ? static_cast<int64_t>(number) : 0);
  if (!good || duration < min || duration > max) {
    return base::InvalidArgument(
        Cat({Quote(text), " is not a time from ", DurationText(min), " to ", DurationText(max),
             " (seconds, or with ms, s, m or h)"}));
  }
  return duration;
}

absl::StatusOr<bool> ParseBoolean(std::string_view text) {
  if (text == "true" || text == "false") {
    return text == "true";
  }
  return base::InvalidArgument(Cat({Quote(text), " is neither true nor false"}));
}

absl::StatusOr<size_t> ParseChoice(std::string_view text,
                                   const std::vector<std::string_view>& choices) {
  const auto found = std::find(choices.begin(), choices.end(), text);
  if (found != choices.end()) {
    return static_cast<size_t>(found - choices.begin());
  }
  std::string names;
  for (const std::string_view choice : choices) {
    names += names.empty() ? "" : ", ";
    names += choice;
  }
  return base::InvalidArgument(
      Cat({Quote(text), " is not one of ", names, DidYouMean(text, choices)}));
}

namespace {

absl::StatusOr<Endpoint> ParseUnixEndpoint(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.find('/', colon) != std::string_view::npos) {
    return base::InvalidArgument(
        Cat({Quote(text), " names no port; write ", text, ":6432 for ", text, "/.s.PGSQL.6432"}));
  }
  Endpoint endpoint;
  ASSIGN_OR_RETURN(endpoint.port, ParsePort(text.substr(colon + 1), text));
  std::string_view directory = text.substr(0, colon);
  while (directory.size() > 1 && directory.ends_with("/")) {
    directory.remove_suffix(1);
  }
  endpoint.host = directory;
  if (endpoint.port == 0) {
    return base::InvalidArgument(
        Cat({Quote(text), " has port 0; a Unix socket needs a number for its name"}));
  }
  if (endpoint.SocketPath().size() > kUnixPathMax) {
    return base::InvalidArgument("the path of the Unix socket is longer than 107 bytes");
  }
  return endpoint;
}

}  // namespace

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  if (text.starts_with("/")) {
    return ParseUnixEndpoint(text);
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with("]")) {
    const bool number = ParseInteger(text, 0, 65535).ok();
    return base::InvalidArgument(Cat({Quote(text), " names no port; write ",
                                      number ? Cat({":", text}) : std::string("HOST:PORT")}));
  }
  std::string_view host = text.substr(0, colon);
  Endpoint endpoint;
  ASSIGN_OR_RETURN(endpoint.port, ParsePort(text.substr(colon + 1), text));
  if (host.starts_with("[") && host.ends_with("]") && IsIpv6(host.substr(1, host.size() - 2))) {
    endpoint.host = host.substr(1, host.size() - 2);
  } else if (host == "localhost") {
    endpoint.host = "127.0.0.1";
  } else if (host.empty() || host == "*") {
    endpoint.host.clear();
  } else if (IsIpv4(host)) {
    endpoint.host = host;
  } else if (host.find(':') != std::string_view::npos && !host.starts_with("[")) {
    return base::InvalidArgument(
        Cat({Quote(text), " is ambiguous; write an IPv6 address in brackets, as [::1]:5432"}));
  } else {
    return base::InvalidArgument(
        Cat({Quote(host),
             " is not an IP address of this machine; write an IPv4 address, an IPv6 "
             "address in brackets, localhost, or nothing for every address"}));
  }
  return endpoint;
}

bool IsIpv4(std::string_view text) {
  in_addr address;
  return text.find('\0') == std::string_view::npos &&
         inet_pton(AF_INET, std::string(text).c_str(), &address) == 1;
}

bool IsIpv6(std::string_view text) {
  constexpr std::string_view kZoneLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  const size_t zone = text.find('%');
  if (zone != std::string_view::npos &&
      (zone + 1 == text.size() ||
       text.find_first_not_of(kZoneLetters, zone + 1) != std::string_view::npos)) {
    return false;
  }
  in6_addr address;
  return text.find('\0') == std::string_view::npos &&
         inet_pton(AF_INET6, std::string(text.substr(0, zone)).c_str(), &address) == 1;
}

std::string NumberText(double number) {
  char text[32];
  const auto result = std::to_chars(text, text + sizeof(text), number);
  return std::string(text, result.ptr);
}

std::string BytesText(uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"", "k", "m", "g"};
  size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit < 3) {
    bytes /= 1024;
    ++unit;
  }
  return Cat({std::to_string(bytes), kUnits[unit]});
}

std::string DurationText(absl::Duration duration) {
  const int64_t milliseconds = absl::ToInt64Milliseconds(duration);
  if (milliseconds % 1000 != 0) {
    return Cat({std::to_string(milliseconds), "ms"});
  }
  const int64_t seconds = milliseconds / 1000;
  if (seconds != 0 && seconds % 3600 == 0) {
    return Cat({std::to_string(seconds / 3600), "h"});
  }
  return Cat({std::to_string(seconds), "s"});
}

}  // namespace config
