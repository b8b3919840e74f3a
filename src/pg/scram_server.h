// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 5929), the server's side.
//
// Pure values; any thread; HMACs only, no derivation: the verifier holds the keys. A hostile client
// is expected: each message is bounded and understood as a whole before a field of it is used, and
// nothing is answered twice. A user who does not exist has a verifier too (password.h): the whole
// exchange runs and ends as one with a wrong password does.
// Differences to PostgreSQL, both stricter: optional extensions are refused, not ignored (no client
// sends any), and a message has a bound.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/crypto.h"
#include "pg/scram.h"

namespace pg {

// What a server keeps of a password: it can check a proof with it, but not make one.
struct ScramVerifier {
  std::string salt;
  uint32_t iterations = 0;
  base::Sha256Digest stored_key{};
  base::Sha256Digest server_key{};
};

// What the client is told (FATAL), in PostgreSQL's words. All of it is constant text.
struct ScramRefusal {
  std::string_view sqlstate;
  std::string_view message;
  std::string_view detail;
};

enum class ScramResult : uint8_t {
  kAnswer,  // *answer is to be sent
  kWrong,   // the proof is wrong: a wrong password
  kBad,     // refusal() says what the client did wrong
};

class ScramServer {
 public:
  // `nonce`: printable, without commas, from ScramClient::NewNonce() outside of tests. `binding`:
  // tls-server-end-point's hash of our certificate if SCRAM-SHA-256-PLUS was offered, else empty.
  ScramServer(std::string_view nonce, std::string_view binding);

  // Takes the mechanism and the client-first-message of the SASLInitialResponse. `verifier` is what
  // the client is to prove; the answer is for AuthenticationSASLContinue.
  ScramResult First(std::string_view mechanism, std::string_view client_first,
                    const ScramVerifier& verifier, std::string* answer);
  // Takes the client-final-message of the SASLResponse; the answer is for AuthenticationSASLFinal.
  // `keys`: of the verifier that First() got. They may come this late, since First() needs only
  // salt and iterations: a derivation then runs while the client makes its own.
  ScramResult Final(std::string_view client_final, const ScramVerifier& keys, std::string* answer);

  const ScramRefusal& refusal() const { return refusal_; }
  // After kAnswer of Final(): the key that the client proved to have. With the verifier's server
  // key it logs in wherever the same verifier is stored.
  const base::Sha256Digest& client_key() const { return client_key_; }

 private:
  enum class State : uint8_t { kNew, kChallenged, kDone };
  bool ReadGs2Header(std::string_view mechanism, std::string_view* rest);
  bool ReadBindingFlag(std::string_view mechanism, std::string_view* rest);
  bool ReadClientFirst(std::string_view bare);
  bool ReadClientFinal(std::string_view message, std::string* proof);
  bool Malformed(std::string_view detail);
  bool Refuse(std::string_view sqlstate, std::string_view message, std::string_view detail = "");

  State state_ = State::kNew;
  const std::string own_nonce_;
  const std::string binding_;
  bool bound_ = false;      // true exactly when the client binds the channel
  std::string gs2_header_;  // as the client wrote it
  std::string first_bare_;
  std::string nonce_;  // the client's and ours
  std::string server_first_;
  base::Sha256Digest client_key_{};
  ScramRefusal refusal_;
};

}  // namespace pg
