#include "pg/password.h"

#include <algorithm>
#include <utility>

#include "base/crypto.h"
#include "pg/scram_text.h"

namespace pg {
namespace {

constexpr size_t kMd5SecretBytes = 35;

// What is in front of the next `end`, which is taken too; nothing if there is no `end`.
std::optional<std::string_view> TakeUntil(std::string_view* rest, char end) {
  const size_t at = rest->find(end);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view taken = rest->substr(0, at);
  rest->remove_prefix(at + 1);
  return taken;
}

std::optional<base::Sha256Digest> DecodeDigest(std::string_view text) {
  const absl::StatusOr<std::string> bytes = base::Base64Decode(text);
  return bytes.ok() ? ToDigest(*bytes) : std::nullopt;
}

bool IsMd5Secret(std::string_view stored) {
  return stored.size() == kMd5SecretBytes && stored.starts_with("md5") &&
         stored.find_first_not_of("0123456789abcdefABCDEF", 3) == std::string_view::npos;
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }
  return lower;
}

// The purposes are ours and hold no ':', so no two pairs come to one text.
base::Sha256Digest Derived(std::string_view process_secret, std::string_view purpose,
                           std::string_view user) {
  return base::HmacSha256(process_secret, std::string(purpose) + ":" + std::string(user));
}

}  // namespace

std::optional<ScramVerifier> ParseScramVerifier(std::string_view stored) {
  if (stored.size() > kScramMessageMax || !stored.starts_with("SCRAM-SHA-256$")) {
    return std::nullopt;
  }
  stored.remove_prefix(kScramSha256.size() + 1);
  const std::optional<std::string_view> iterations = TakeUntil(&stored, ':');
  const std::optional<std::string_view> salt_text = TakeUntil(&stored, '$');
  const std::optional<std::string_view> stored_key = TakeUntil(&stored, ':');
  if (!iterations.has_value() || !salt_text.has_value() || !stored_key.has_value()) {
    return std::nullopt;
  }
  const std::optional<uint32_t> count = ParseCount(*iterations);
  absl::StatusOr<std::string> salt = base::Base64Decode(*salt_text);
  const std::optional<base::Sha256Digest> stored_digest = DecodeDigest(*stored_key);
  const std::optional<base::Sha256Digest> server_digest = DecodeDigest(stored);
  if (!count.has_value() || *count > INT32_MAX || !salt.ok() || salt->empty() ||
      salt->size() > kScramSaltMax || !stored_digest.has_value() || !server_digest.has_value()) {
    return std::nullopt;
  }
  return ScramVerifier{.salt = *std::move(salt),
                       .iterations = *count,
                       .stored_key = *stored_digest,
                       .server_key = *server_digest};
}

std::string FormatScramVerifier(const ScramVerifier& verifier) {
  return "SCRAM-SHA-256$" + std::to_string(verifier.iterations) + ":" +
         base::Base64Encode(verifier.salt) + "$" +
         base::Base64Encode(DigestBytes(verifier.stored_key)) + ":" +
         base::Base64Encode(DigestBytes(verifier.server_key));
}

ScramVerifier VerifierOf(std::string_view salt, uint32_t iterations, const ScramKeys& keys) {
  return ScramVerifier{.salt = std::string(salt),
                       .iterations = iterations,
                       .stored_key = keys.stored_key,
                       .server_key = keys.server_key};
}

std::optional<Secret> ParseSecret(std::string_view stored) {
  if (stored.empty() || stored.size() > kSecretMax) {
    return std::nullopt;
  }
  Secret secret;
  if (std::optional<ScramVerifier> verifier = ParseScramVerifier(stored); verifier.has_value()) {
    secret.kind = SecretKind::kScram;
    secret.verifier = *std::move(verifier);
  } else if (IsMd5Secret(stored)) {
    secret.kind = SecretKind::kMd5;
    secret.text = LowerCase(stored);
  } else {
    secret.text = stored;
  }
  return secret;
}

bool CheckMd5(const Secret& secret, std::string_view user, std::string_view salt,
              std::string_view response) {
  if (secret.kind == SecretKind::kScram) {
    return false;
  }
  const std::string hash =
      secret.kind == SecretKind::kMd5 ? secret.text : Md5Secret(user, secret.text);
  return base::ConstantTimeEqual(Md5Response(hash, salt), response);
}

bool CheckCleartext(const Secret& secret, std::string_view user, std::string_view password) {
  if (password.empty() || password.size() > kSecretMax || secret.kind == SecretKind::kScram) {
    return false;
  }
  if (secret.kind == SecretKind::kMd5) {
    return base::ConstantTimeEqual(Md5Secret(user, password), secret.text);
  }
  // Hashes, so that the time does not tell the secret's length either.
  const base::Sha256Digest given = base::Sha256(password);
  const base::Sha256Digest stored = base::Sha256(secret.text);
  return base::ConstantTimeEqual(DigestBytes(given), DigestBytes(stored));
}

bool CheckScramKeys(const ScramVerifier& verifier, const ScramKeys& keys) {
  return base::ConstantTimeEqual(DigestBytes(verifier.stored_key), DigestBytes(keys.stored_key));
}

std::string MockSalt(std::string_view process_secret, std::string_view user) {
  const base::Sha256Digest digest = Derived(process_secret, "salt", user);
  return std::string(DigestBytes(digest).substr(0, kScramSaltBytes));
}

Secret MockSecret(std::string_view process_secret, std::string_view user, const Secret& like) {
  const base::Sha256Digest unknown = Derived(process_secret, "secret", user);
  Secret secret;
  secret.kind = like.kind;
  switch (like.kind) {
    case SecretKind::kPlain:
      secret.text = base::Base64Encode(DigestBytes(unknown));
      break;
    case SecretKind::kMd5:
      secret.text = "md5" + base::Md5Hex(DigestBytes(unknown));
      break;
    case SecretKind::kScram:
      secret.verifier.salt = MockSalt(process_secret, user);
      secret.verifier.iterations = like.verifier.iterations;
      // Nobody has a key of which this would be the hash.
      secret.verifier.stored_key = unknown;
      secret.verifier.server_key = Derived(process_secret, "server key", user);
      break;
  }
  return secret;
}

Credential CredentialOf(const Secret& secret) {
  Credential credential;
  if (secret.kind == SecretKind::kPlain) {
    credential.password = secret.text;
  } else if (secret.kind == SecretKind::kMd5) {
    credential.md5_secret = secret.text;
  }
  return credential;
}

}  // namespace pg
