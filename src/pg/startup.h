// The packets of a connection's first phase, which have a length but no type byte:
// StartupMessage, SSLRequest, GSSENCRequest and CancelRequest; and the settings inside `options`.
//
// Pure; any thread. Bytes in, as many as have arrived; the answer is that more are needed, a
// packet (views into those bytes), or what is wrong with it. Nothing is allocated from the
// declared length, which is refused as soon as its four bytes are there. Bound: 10000 bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pg {

inline constexpr uint32_t kStartupPacketMin = 8;
inline constexpr uint32_t kStartupPacketMax = 10'000;  // MAX_STARTUP_PACKET_LENGTH
inline constexpr uint32_t kCancelPacketBytes = 16;     // protocol 3.0: a secret of 4 bytes
inline constexpr uint32_t kCancelPacketMax = 268;      // protocol 3.2: of up to 256 bytes
inline constexpr size_t kOptionSettingsMax = 512;

enum class StartupKind : uint8_t { kStartupMessage, kSslRequest, kGssEncRequest, kCancelRequest };

enum class StartupResult : uint8_t {
  kMore,      // the packet is not complete
  kComplete,  // *packet is set
  kBad,       // *error is set; close the connection
};

// A setting: a parameter of the StartupMessage or of its `options`.
struct Setting {
  std::string_view name;
  std::string_view value;
};

struct StartupPacket {
  StartupKind kind = StartupKind::kStartupMessage;
  uint32_t length = 0;  // bytes of the packet; what follows is the next one's
  // StartupMessage:
  uint32_t version = 0;             // major 3; any minor: what is too new is to be negotiated
  std::vector<Setting> parameters;  // all, in the order sent, `user` included
  std::string_view user;            // never empty
  std::string_view database;        // empty: not given, the server takes the user's name
  // CancelRequest:
  uint32_t cancel_pid = 0;
  std::string_view cancel_secret;
};

// What the client is told (FATAL), and with which SQLSTATE.
struct StartupError {
  std::string_view sqlstate;
  std::string message;
  // True exactly when an ErrorResponse is due; otherwise close without a word, as PostgreSQL does
  // where the other end may not even speak the protocol.
  bool tell = false;
};

// What may still come on this connection. Each of SSLRequest and GSSENCRequest is allowed once:
// the caller clears it when it came, so that a client cannot go round in circles.
struct StartupAllowed {
  bool ssl_request = true;
  bool gssenc_request = true;
  bool long_cancel_secrets = false;  // true exactly when 3.2 secrets are given out
};

// `bytes`: everything received since the last packet, which `*packet` will point into.
StartupResult ParseStartup(std::string_view bytes, StartupAllowed allowed, StartupPacket* packet,
                           StartupError* error);

struct OptionSetting {
  std::string name;  // '-' replaced by '_', as PostgreSQL does
  std::string value;
};

// Reads `-c name=value` and `--name=value` from the value of `options` as the server would
// (backslash escapes a space). Other switches of the server are refused: each of them has a
// setting that can be written instead. *settings is complete only without an error.
std::optional<StartupError> ParseOptions(std::string_view options,
                                         std::vector<OptionSetting>* settings);

}  // namespace pg
