// SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side without channel binding, and PostgreSQL's
// md5 password response.
//
// Pure values; any thread, but the key derivation takes milliseconds (iterations_max bounds it).
// A hostile server is expected: its nonce must extend ours and has a bound, its salt and iteration
// count are checked, and its signature is required: without it, it has not shown that it knows the
// password. Errors say what the server did wrong and never quote a secret.
//
// A password is used as the bytes that it was given in. That is what PostgreSQL does for ASCII and
// for invalid UTF-8; other passwords must be written in the form that SASLprep gives (NFKC).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/crypto.h"

namespace pg {

inline constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";
inline constexpr uint32_t kScramIterationsMax = 100'000;
inline constexpr size_t kScramNonceMax = 1024;         // characters, ours included
inline constexpr size_t kScramServerMessageMax = 4096;  // bytes of a message of the server

// What a password comes to, for a salt and a number of iterations (RFC 5802, section 3).
struct ScramKeys {
  base::Sha256Digest client_key;
  base::Sha256Digest stored_key;
  base::Sha256Digest server_key;
};
ScramKeys DeriveScramKeys(std::string_view password, std::string_view salt, uint32_t iterations);
// HMAC(stored_key, AuthMessage) and HMAC(server_key, AuthMessage).
base::Sha256Digest ScramSignature(const base::Sha256Digest& key, std::string_view auth_message);

class ScramClient {
 public:
  // `user` may be empty: PostgreSQL takes it from the StartupMessage. `nonce`: printable, without
  // commas, from NewNonce() outside of tests.
  ScramClient(std::string_view user, std::string_view password, std::string_view nonce);
  static std::string NewNonce();

  // client-first-message, for a SASLInitialResponse.
  std::string First();
  // Takes the server-first-message (AuthenticationSASLContinue); the client-final-message, for a
  // SASLResponse.
  absl::StatusOr<std::string> Final(std::string_view server_first);
  // Takes the server-final-message (AuthenticationSASLFinal).
  absl::Status Verify(std::string_view server_final);
  // True exactly when the server has shown that it knows the password: AuthenticationOk must not
  // be believed before.
  bool verified() const { return state_ == State::kVerified; }

 private:
  enum class State : uint8_t {
    kNew,        // nothing was sent
    kFirstSent,  // the server's first message is to come
    kFinalSent,  // the server's signature is to come
    kVerified,   // it came and was right
    kFailed,     // the server did something wrong; for good
  };
  absl::Status Fail(std::string_view what);

  State state_ = State::kNew;
  const std::string password_;
  const std::string nonce_;
  const std::string first_bare_;
  base::Sha256Digest server_signature_{};
};

// "md5" and 32 hexadecimal digits, for a PasswordMessage. `salt`: the 4 bytes of
// AuthenticationMD5Password.
std::string Md5Response(std::string_view user, std::string_view password, std::string_view salt);

}  // namespace pg
