// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 5929), the client's side, and
// PostgreSQL's md5 password response. The server's side is scram_server.h.
//
// Pure values; any thread, but DeriveScramKeys() takes milliseconds (kScramIterationsMax bounds
// it): whoever runs a loop derives on a worker. That is why the client asks for keys and never sees
// the password. A hostile server is expected: its nonce must extend ours and has a bound, its salt
// and iteration count are checked, and its signature is required: without it, it has not shown that
// it knows the password. Errors say what the server did wrong and never quote a secret.
//
// Keys are made of what SaslPrep() makes of a password, as in PostgreSQL; md5 uses its bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/crypto.h"

namespace pg {

inline constexpr std::string_view kScramSha256 = "SCRAM-SHA-256";
inline constexpr std::string_view kScramSha256Plus = "SCRAM-SHA-256-PLUS";
inline constexpr std::string_view kChannelBindingType = "tls-server-end-point";
inline constexpr uint32_t kScramIterationsMax = 100'000;
inline constexpr size_t kScramNonceMax = 1024;   // characters, both halves together
inline constexpr size_t kScramMessageMax = 4096;  // bytes of a message of the other side

// What a password comes to, after SaslPrep(), for a salt and a number of iterations (RFC 5802).
struct ScramKeys {
  base::Sha256Digest client_key;
  base::Sha256Digest stored_key;
  base::Sha256Digest server_key;
};
ScramKeys DeriveScramKeys(std::string_view password, std::string_view salt, uint32_t iterations);
// Of a client key alone: its stored key is its hash.
ScramKeys ScramKeysOf(const base::Sha256Digest& client_key, const base::Sha256Digest& server_key);
// HMAC(stored_key, AuthMessage) and HMAC(server_key, AuthMessage).
base::Sha256Digest ScramSignature(const base::Sha256Digest& key, std::string_view auth_message);

// What a client says about channel binding, in its first message (RFC 5802, section 6).
enum class BindingFlag : char {
  kUnable = 'n',     // it cannot bind, or there is no TLS
  kNotOffered = 'y',  // it could, and the server did not offer it: a server that did is told so
  kBound = 'p',       // it binds: mechanism SCRAM-SHA-256-PLUS
};
struct ChannelBinding {
  BindingFlag flag = BindingFlag::kUnable;
  std::string data;  // kBound: tls-server-end-point's hash of the server's certificate
};

// What a server asks keys for.
struct ScramChallenge {
  std::string salt;
  uint32_t iterations = 0;
  bool operator==(const ScramChallenge&) const = default;
};

class ScramClient {
 public:
  // `user` may be empty: PostgreSQL takes it from the StartupMessage. `nonce`: printable, without
  // commas, from NewNonce() outside of tests.
  ScramClient(std::string_view user, std::string_view nonce, ChannelBinding binding = {});
  static std::string NewNonce();

  // kScramSha256, or kScramSha256Plus with kBound.
  std::string_view mechanism() const;
  // client-first-message, for a SASLInitialResponse.
  std::string First();
  // Takes the server-first-message (AuthenticationSASLContinue): what keys are to be made of.
  absl::StatusOr<ScramChallenge> OnServerFirst(std::string_view server_first);
  // The client-final-message, for a SASLResponse; after OnServerFirst(), once.
  std::string Final(const ScramKeys& keys);
  // Takes the server-final-message (AuthenticationSASLFinal).
  absl::Status Verify(std::string_view server_final);
  // True exactly when the server has shown that it knows the password: AuthenticationOk must not
  // be believed before.
  bool verified() const { return state_ == State::kVerified; }

 private:
  enum class State : uint8_t {
    kNew,         // nothing was sent
    kFirstSent,   // the server's first message is to come
    kChallenged,  // it came; the keys are to come
    kFinalSent,   // the server's signature is to come
    kVerified,    // it came and was right
    kFailed,      // the server did something wrong; for good
  };
  absl::Status Fail(std::string_view what);
  std::string Gs2Header() const;

  State state_ = State::kNew;
  const std::string nonce_;
  const std::string first_bare_;
  const ChannelBinding binding_;
  std::string server_first_;
  std::string final_nonce_;  // ours and the server's
  base::Sha256Digest server_signature_{};
};

// "md5" and 32 hexadecimal digits: what PostgreSQL stores, and what md5 is done with.
std::string Md5Secret(std::string_view user, std::string_view password);
// The answer to AuthenticationMD5Password, for a PasswordMessage. `secret`: of Md5Secret(); `salt`:
// the request's 4 bytes.
std::string Md5Response(std::string_view secret, std::string_view salt);

}  // namespace pg
