// The forms in which PostgreSQL keeps a password (pg_authid.rolpassword), parsed and checked:
// "SCRAM-SHA-256$ITERATIONS:SALT$STOREDKEY:SERVERKEY", "md5" and 32 hexadecimal digits, or the
// password itself; and what stands in for the secret of a user who does not exist.
//
// Pure values; any thread; no derivation happens here (a SCRAM secret is checked with keys that the
// caller derived). Comparisons take time that depends on lengths only. What does not parse as a
// verifier is a plain password, as in PostgreSQL. Bound: kSecretMax bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pg/scram_server.h"

namespace pg {

inline constexpr size_t kSecretMax = 64 * 1024;       // bytes of a stored secret or password
inline constexpr uint32_t kScramIterationsDefault = 4096;  // PostgreSQL's
inline constexpr size_t kScramSaltBytes = 16;              // PostgreSQL's
inline constexpr size_t kScramSaltMax = 256;               // bytes of a stored one

enum class SecretKind : uint8_t { kPlain, kMd5, kScram };

// A stored secret.
struct Secret {
  SecretKind kind = SecretKind::kPlain;
  std::string text;        // kPlain: the password; kMd5: "md5…", in lower case
  ScramVerifier verifier;  // kScram
};
// Nothing for an empty text (no password may log in) or one that is too long.
std::optional<Secret> ParseSecret(std::string_view stored);
std::optional<ScramVerifier> ParseScramVerifier(std::string_view stored);
std::string FormatScramVerifier(const ScramVerifier& verifier);
ScramVerifier VerifierOf(std::string_view salt, uint32_t iterations, const ScramKeys& keys);

// The answer to AuthenticationMD5Password (`salt`: its 4 bytes) against a plain or md5 secret;
// false for a SCRAM secret, which md5 cannot check.
bool CheckMd5(const Secret& secret, std::string_view user, std::string_view salt,
              std::string_view response);
// A password in clear against a plain or md5 secret; false for a SCRAM secret.
bool CheckCleartext(const Secret& secret, std::string_view user, std::string_view password);
// A password in clear against a SCRAM secret: `keys` of the password, the verifier's salt and
// iterations.
bool CheckScramKeys(const ScramVerifier& verifier, const ScramKeys& keys);

// Stand-ins, the same each time for the same user and process: `process_secret` is random bytes
// that no one else knows. Salts of plain secrets come from the same function, so that a salt tells
// nothing about whether a user exists.
std::string MockSalt(std::string_view process_secret, std::string_view user);
// A secret of the kind of `like` that nobody was told.
Secret MockSecret(std::string_view process_secret, std::string_view user, const Secret& like);

// What a login to a server can be made with: whichever of these is there.
struct Credential {
  std::string password;    // plain
  std::string md5_secret;  // "md5…": enough to answer an md5 request
  struct Keys {
    ScramChallenge of;  // the salt and iterations for which they hold
    ScramKeys keys;
  };
  std::optional<Keys> scram;
  bool empty() const { return password.empty() && md5_secret.empty() && !scram.has_value(); }
};
// What a stored secret is good for by itself; empty for a SCRAM verifier, which only checks.
Credential CredentialOf(const Secret& secret);

}  // namespace pg
