// Settings of more than a line to understand: where clients and operators come in. For the table in
// settings.cc; each fails with kInvalidArgument, naming what was wrong.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "config/config.h"

namespace config {

// ADDRESS or ADDRESS/BITS, with commas between several; "unix" is every Unix socket.
absl::Status SetProxyProtocolFrom(std::string_view text, Config* config);
// Octal, as chmod and PostgreSQL's unix_socket_permissions take it.
absl::Status SetUnixSocketMode(std::string_view text, Config* config);
// A loopback HOST:PORT.
absl::Status SetAdmin(std::string_view text, Config* config);

}  // namespace config
