#include "config/setters.h"

#include <algorithm>
#include <optional>
#include <string>

#include "base/status.h"
#include "config/text.h"

namespace config {
namespace {

absl::StatusOr<NetRange> ParsePeers(std::string_view text) {
  if (text == "unix") {
    return NetRange();
  }
  const size_t slash = std::min(text.find('/'), text.size());
  const std::optional<NetAddress> address = NetAddress::Parse(text.substr(0, slash));
  if (address.has_value()) {
    const uint32_t most = address->family == NetFamily::kIpv4 ? 32 : 128;
    const absl::StatusOr<uint64_t> bits =
        slash == text.size() ? most : ParseInteger(text.substr(slash + 1), 0, most);
    if (bits.ok()) {
      return *NetRange::Of(*address, static_cast<uint32_t>(*bits));
    }
  }
  return base::InvalidArgument(
      Cat({Quote(text), " is no address, network (10.0.0.0/8, fd00::/8) or the word unix"}));
}

}  // namespace

absl::Status SetProxyProtocolFrom(std::string_view text, Config* config) {
  for (;;) {
    const size_t end = std::min(text.find(','), text.size());
    ASSIGN_OR_RETURN(const NetRange range, ParsePeers(text.substr(0, end)));
    config->proxy_protocol_from.push_back(range);
    if (end == text.size()) {
      return absl::OkStatus();
    }
    text.remove_prefix(end + 1);
  }
}

absl::Status SetUnixSocketMode(std::string_view text, Config* config) {
  constexpr uint32_t kMost = 0777;
  uint32_t mode = 0;
  const bool octal = !text.empty() && text.size() <= 4 &&
                     text.find_first_not_of("01234567") == std::string_view::npos;
  for (const char c : octal ? text : std::string_view()) {
    mode = mode * 8 + static_cast<uint32_t>(c - '0');
  }
  if (!octal || mode > kMost) {
    return base::InvalidArgument(Cat({Quote(text), " is no mode from 0000 to 0777"}));
  }
  config->unix_socket_mode = mode;
  return absl::OkStatus();
}

absl::Status SetAdmin(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(text));
  if (endpoint.IsUnixSocket()) {
    return base::InvalidArgument(
        Cat({Quote(text), " is a Unix socket; the admin endpoint wants a loopback HOST:PORT"}));
  }
  if (!endpoint.IsLoopback()) {
    return base::InvalidArgument(
        Cat({Quote(text),
             " is not a loopback address, and the admin endpoint asks for no "
             "password; write 127.0.0.1:",
             std::to_string(endpoint.port),
             " and reach it from elsewhere through an SSH tunnel or a proxy that authenticates"}));
  }
  config->admin = endpoint;
  return absl::OkStatus();
}

}  // namespace config
