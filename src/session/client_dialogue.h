// ClientDialogue: the server's side of one authentication exchange: what the client answers in,
// what it is asked next out.
//
// Pure; one per login, on its session's shard, without a wait: where keys of a password are needed
// it says so. Users who do not exist, or whose secret does not fit the exchange, go through the
// same messages with a stand-in and are refused as for a wrong password (`doomed`).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "pg/password.h"
#include "pg/scram_server.h"

namespace session {

// What a client is told before it is sent away (FATAL).
struct Refusal {
  std::string sqlstate;
  std::string message;
  std::string detail;
};

enum class Exchange : uint8_t { kScram, kMd5, kCleartext };

class ClientDialogue {
 public:
  enum class Step : uint8_t {
    kAsk,      // `*request` is to be sent; OnAnswer() is due with what comes back
    kDerive,   // Derived() is due, with the keys of password() for challenge()
    kIn,       // `*request` is to be sent, if it is not empty; the client is who it says
    kRefused,  // refusal() is to be told
  };
  struct Facts {
    Exchange exchange = Exchange::kScram;
    std::string user;
    pg::Secret secret;     // kScram: a SCRAM secret; kMd5: none
    bool doomed = false;   // true exactly when nobody may come in
    std::string random;    // kScram: the nonce; kMd5: 4 bytes of salt
    std::string binding;   // kScram over TLS: tls-server-end-point's hash, if there is one
  };
  explicit ClientDialogue(Facts facts);

  Step Begin(std::string* request);
  // The body of a 'p' message.
  Step OnAnswer(std::string_view body, std::string* request);
  Step Derived(const pg::ScramKeys& keys);

  const std::string& password() const { return password_; }
  pg::ScramChallenge challenge() const;
  const Refusal& refusal() const { return refusal_; }
  // After kIn: what can be used to log in to a server as this user.
  const pg::Credential& credential() const { return credential_; }

 private:
  enum class State : uint8_t { kNew, kFirst, kFinal, kSingle, kDerive, kOver };
  Step OnScramFirst(std::string_view body, std::string* request);
  Step OnScramFinal(std::string_view body, std::string* request);
  Step OnMd5(std::string_view body);
  Step OnCleartext(std::string_view body);
  Step WrongPassword();
  Step Refuse(std::string_view sqlstate, std::string_view message, std::string_view detail = "");

  const Facts facts_;
  State state_ = State::kNew;
  std::optional<pg::ScramServer> scram_;
  std::string password_;
  pg::Credential credential_;
  Refusal refusal_;
};

}  // namespace session
