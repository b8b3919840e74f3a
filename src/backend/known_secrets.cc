#include "backend/known_secrets.h"

#include <optional>
#include <utility>

#include "base/crypto.h"

namespace backend {

KnownSecrets::KnownSecrets(const config::Users& users, std::string_view process_secret)
    : process_secret_(process_secret) {
  for (const auto& [name, stored] : users) {
    std::optional<pg::Secret> secret = pg::ParseSecret(stored);
    if (secret.has_value()) {
      secrets_.emplace(name, *std::move(secret));
    }
  }
  for (const auto& [name, secret] : secrets_) {
    all_.push_back(&secret);
  }
}

const pg::Secret* KnownSecrets::Find(std::string_view user) const {
  const auto found = secrets_.find(user);
  return found == secrets_.end() ? nullptr : &found->second;
}

pg::Secret KnownSecrets::Mock(std::string_view user, const pg::Secret& fallback) const {
  if (all_.empty()) {
    return pg::MockSecret(process_secret_, user, fallback);
  }
  // Nobody else can compute which known user it is that an unknown one looks like.
  const std::string chosen = pg::MockSalt(process_secret_, "like " + std::string(user));
  const uint64_t index = base::Checksum(chosen) % all_.size();
  return pg::MockSecret(process_secret_, user, *all_[index]);
}

}  // namespace backend
