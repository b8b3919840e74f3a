// Small pure pieces of text shared by the files of this room: quoting for messages, the nearest
// known name, durations, sizes, booleans and listen addresses.
//
// Errors are kInvalidArgument and read as the end of a sentence that starts with the setting's
// name. No text that could hold a password is repeated in one. Any thread; input is bounded by the
// callers (an argument of the command line, a line of the file).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace config {

// Where to accept connections. `host` is an IPv4 or IPv6 address, empty for every address, or the
// directory of a Unix socket ("/run/pgbraid"). Port 0 lets the kernel choose.
struct Endpoint {
  std::string host;
  uint16_t port = 0;
  std::string Display() const;
  bool IsLoopback() const;  // a Unix socket counts as one
  bool IsUnixSocket() const { return host.starts_with("/"); }
  // DIRECTORY/.s.PGSQL.PORT, if IsUnixSocket().
  std::string SocketPath() const;
  bool operator==(const Endpoint&) const = default;
};

std::string Cat(std::initializer_list<std::string_view> parts);

// `text` in double quotes for one line of a message: control characters escaped, cut at 256 bytes,
// withheld altogether if it could hold a password.
std::string Quote(std::string_view text);

// The nearest of `known` by edit distance (a swap of neighbours counts once), or empty if none is
// near enough to be what was meant. A part of at least three letters is near.
std::string_view Nearest(std::string_view given, const std::vector<std::string_view>& known);

// `; did you mean "x"?`, or empty. `prefix` goes in front of the name.
std::string DidYouMean(std::string_view given, const std::vector<std::string_view>& known,
                       std::string_view prefix = "");

// Decimal digits only, from `min` to `max`.
absl::StatusOr<uint64_t> ParseInteger(std::string_view text, uint64_t min, uint64_t max);
// 4096, 64k, 16m, 1g (units of 1024, either case).
absl::StatusOr<uint64_t> ParseBytes(std::string_view text, uint64_t min, uint64_t max);
// 120 and 120s are seconds; 500ms, 2m, 1h.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text, absl::Duration min,
                                             absl::Duration max);
absl::StatusOr<bool> ParseBoolean(std::string_view text);
// The index of `text` in `choices`.
absl::StatusOr<size_t> ParseChoice(std::string_view text,
                                   const std::vector<std::string_view>& choices);
// HOST:PORT, :PORT, *:PORT, localhost:PORT, [IPv6]:PORT, /DIRECTORY:PORT.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

// True exactly when `text` is an IPv4 or IPv6 address (a zone, "%eth0", is allowed on the latter).
bool IsIpv4(std::string_view text);
bool IsIpv6(std::string_view text);

// The shortest decimal that reads as the same number: 0.1, 1.
std::string NumberText(double number);

// As they are written in the documentation: 64k, 16m; 500ms, 2m, 15s.
std::string BytesText(uint64_t bytes);
std::string DurationText(absl::Duration duration);

}  // namespace config
