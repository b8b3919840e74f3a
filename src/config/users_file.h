// Users: names and stored secrets from a file in PgBouncer's format: `"user" "secret"` on each
// line, a quote inside written twice, lines of comment starting with ';' or '#'.
//
// A plain value, immutable once read; any thread. A secret is a password, or what PostgreSQL stores
// of one (md5…, SCRAM-SHA-256$…); "" is a user whom no password lets in. Errors name the line and
// never what stands in it. Bound: kSecretFileMax bytes.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace config {

using Users = std::map<std::string, std::string, std::less<>>;  // name to secret

absl::StatusOr<Users> ParseUsers(std::string_view text, std::string_view file);

}  // namespace config
