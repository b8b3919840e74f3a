// Server: one PostgreSQL server as it is configured, from a URL or a libpq key=value string
// (PostgreSQL manual, "Connection Strings").
//
// A plain value. Parsing is pure and happens on the starting thread; an error names the option and
// what is wrong, and never repeats a value, so a password cannot appear in one wherever it was put.
// Bound: kServerTextMax bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "config/mirror_filter.h"
#include "config/server_auth.h"

namespace config {

inline constexpr size_t kServerTextMax = 4096;

// As libpq's; in order of strictness. Over a Unix socket there is no TLS, whatever the mode.
enum class SslMode : uint8_t {
  kDisable,
  kAllow,       // without TLS
  kPrefer,      // with TLS, or without it if the server has none or the handshake fails
  kRequire,     // this and the following: never without
  kVerifyCa,    // the certificate is one of sslrootcert's
  kVerifyFull,  // and is for the host that was dialled
};
std::string_view Name(SslMode mode);

struct Server {
  std::string name;  // in logs and metrics: given, or "primary", "mirror1", "mirror2" …
  std::string host;  // name, address (IPv6 without brackets), or a directory: "/run/postgresql"
  uint16_t port = 5432;
  std::string user;  // empty: the client's own login passes through
  std::string password;
  std::string dbname;              // empty: the database the client asked for
  std::string application_name;    // of our own connections; empty: the client's
  absl::Duration connect_timeout;  // zero: Limits::connect_timeout
  SslMode sslmode = SslMode::kPrefer;
  ServerAuth auth;  // what we accept of it when it asks who we are
  bool ssl_direct = false;   // sslnegotiation=direct: TLS from the first byte, with ALPN
  std::string sslrootcert;   // file, or "system"; if given, the certificate is always verified
  std::string sslcert;       // files: our own certificate for the server, or empty
  std::string sslkey;
  MirrorChoices mirror;  // of a mirror: what it is to get
  std::string origin;  // where it was configured, for messages: "--mirror", "a.toml:3:1: mirror"

  bool IsUnixSocket() const { return host.starts_with("/"); }
  // The file to connect to, if IsUnixSocket().
  std::string SocketPath() const;
  // "host:port" for logs; "[::1]:5432", "/run/postgresql:5432".
  std::string Address() const;
  // A URL without the password: parsing it gives the same server, less password, name and origin.
  std::string Display() const;
};

absl::StatusOr<Server> ParseServer(std::string_view text);

// True exactly when a connection to `a` is as good as one to `b`: the same server, login and
// encryption. What they are called, where they were configured and how long connecting may take is
// not looked at, nor what stands in the files.
bool IsSameServer(const Server& a, const Server& b);

// Letters, digits, '_', '-' and '.', at most 63: fit for a metric's label.
bool IsServerName(std::string_view name);

}  // namespace config
