// Tls: how clients reach pgbraid encrypted, and what holds for every server. A plain value; what a
// single server wants stands in its URL (server_url.h). Files are read when the process starts.
#pragma once

#include <string>

namespace config {

struct Tls {
  // -- towards clients --------------------------------------------------------------------------
  bool enabled = false;
  std::string certificate;  // files, PEM; both if enabled
  std::string key;
  std::string client_ca;       // or empty: clients are not asked for certificates
  bool verify_client = false;  // a client without a certificate is refused
  bool required = false;       // plain clients are refused
  // -- towards servers --------------------------------------------------------------------------
  std::string server_name;   // to be verified instead of the host; empty: the host
  bool skip_verify = false;  // no server's certificate is verified
};

}  // namespace config
