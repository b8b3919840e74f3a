// ServerAuth: what pgbraid accepts of a server that asks who it is: the server options require_auth
// and channel_binding, with libpq's words and meanings (PostgreSQL manual, "Parameter Key Words").
//
// A plain value; any thread. Errors are kInvalidArgument and repeat no value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace config {

enum class ServerMethod : uint8_t { kNone, kPassword, kMd5, kGss, kSspi, kScramSha256 };
inline constexpr uint32_t kServerMethods = 6;
// As in require_auth: "none", "password", "md5", "gss", "sspi", "scram-sha-256".
std::string_view Name(ServerMethod method);

enum class ChannelBindingMode : uint8_t {
  kDisable,  // never
  kPrefer,   // over TLS, where the server offers it
  kRequire,  // no login without
};

class ServerAuth {
 public:
  // A list of methods with commas; with '!' before each, all but these.
  absl::Status SetRequireAuth(std::string_view text);
  absl::Status SetChannelBinding(std::string_view text);

  bool Allows(ServerMethod method) const { return (allowed_ >> static_cast<int>(method) & 1) != 0; }
  ChannelBindingMode channel_binding() const { return channel_binding_; }
  // As they are written in a server's URL; empty: nothing was given.
  const std::string& require_auth_text() const { return text_; }
  bool operator==(const ServerAuth& other) const {
    return allowed_ == other.allowed_ && channel_binding_ == other.channel_binding_;
  }

 private:
  uint32_t allowed_ = (1u << kServerMethods) - 1;  // a bit for each ServerMethod
  ChannelBindingMode channel_binding_ = ChannelBindingMode::kPrefer;
  std::string text_;
};

}  // namespace config
