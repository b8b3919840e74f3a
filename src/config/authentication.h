// Authentication: how clients show to pgbraid who they are, one for the process, and the files that
// say so.
//
// A plain value but for its maps, immutable once the process serves; any thread. Files are read on
// the starting thread, as a whole or not at all. Errors name file and line, never a secret.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "config/hba_file.h"
#include "config/ident_file.h"
#include "config/service.h"
#include "config/text.h"
#include "config/users_file.h"

namespace config {

// Every name qualified, operators too: nothing that stands in a search_path is ever called. A role
// that may not log in is no row, one whose time is over has no secret.
inline constexpr std::string_view kAuthQueryDefault =
    "SELECT rolname, CASE WHEN rolvaliduntil OPERATOR(pg_catalog.<) pg_catalog.now() THEN NULL "
    "ELSE rolpassword END FROM pg_catalog.pg_authid WHERE rolname OPERATOR(pg_catalog.=) "
    "$1::pg_catalog.text AND rolcanlogin";

struct Authentication {
  std::optional<AuthMethod> method;  // without an HBA file; absent: not given
  std::string users_file;            // paths; empty: none
  std::string hba_file;
  std::string ident_file;
  std::string auth_query{kAuthQueryDefault};
  bool auth_query_given = false;
  std::string auth_user;      // asks it; empty: nobody does
  std::string auth_password;  // empty: the secret of the users file, if that has one
  std::string auth_dbname;    // where it is asked; empty: the server's, else "postgres"
  absl::Duration auth_query_max_age = absl::Seconds(30);  // how old an answer may be
  bool insecure_trust = false;

  // Of the files, once they are read.
  Users users;
  std::optional<Hba> hba;
  IdentMaps ident;

  // True exactly when pgbraid itself asks clients who they are, also where a server's URL names no
  // user.
  bool configured() const {
    return method.has_value() || !users_file.empty() || !hba_file.empty() || !auth_user.empty();
  }
  // What decides where there is no HBA file.
  AuthMethod default_method() const { return method.value_or(AuthMethod::kScramSha256); }
};

// Reads the files that are named.
absl::Status ReadAuthenticationFiles(Authentication* authentication);
// What contradicts itself, and what would let anybody in without saying so.
absl::Status CheckAuthentication(const Authentication& authentication,
                                 const std::vector<Endpoint>& listen,
                                 const std::vector<Service>& services, bool behind_proxy);
// " auth=…" for the log, without secrets; empty if logins pass through.
std::string Describe(const Authentication& authentication);

}  // namespace config
