// KnownSecrets: the users file's secrets, parsed once, and what stands in for those it has not.
//
// Immutable; one per epoch, made on the main thread; any thread. A stand-in is of the kind that
// some known user has, always the same for the same name, so that the kind and the iterations asked
// for do not tell who exists (case A13).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/users_file.h"
#include "pg/password.h"

namespace backend {

class KnownSecrets {
 public:
  // `process_secret`: random, the same for all shards.
  KnownSecrets(const config::Users& users, std::string_view process_secret);

  // Null: not known, or no password lets this user in.
  const pg::Secret* Find(std::string_view user) const;
  // `fallback`: the kind where the file has no secret at all.
  pg::Secret Mock(std::string_view user, const pg::Secret& fallback) const;
  std::string SaltOf(std::string_view user) const { return pg::MockSalt(process_secret_, user); }

 private:
  const std::string process_secret_;
  std::map<std::string, pg::Secret, std::less<>> secrets_;
  std::vector<const pg::Secret*> all_;  // of secrets_
};

}  // namespace backend
