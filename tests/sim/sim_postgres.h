// SimPostgres: a scripted PostgreSQL server on the simulated network.
//
// Answers start-up, cancel, the simple and the extended protocol and COPY both ways. A statement's
// text says what to answer (`rows N nonce`, `fail nonce`, `copyin nonce`, `copyout N nonce`,
// `begin`, `commit`, ...); every answer carries the nonce of the statement that asked. Between
// messages it sends notices, parameters and notifications that carry the user who is logged in,
// and at any moment it may die.
#pragma once

#include <map>
#include <string>

#include "base/random.h"
#include "io/scope.h"
#include "sim/wire.h"

namespace sim {

class SimPostgres final : public io::Acceptor {
 public:
  // `death`: once in so many messages the connection dies; 0: never.
  SimPostgres(io::Loop* loop, base::Prng* prng, uint64_t death)
      : loop_(loop), prng_(prng), death_(death), serving_(loop) {}

  void OnAccepted(int descriptor) override;
  void OnAcceptFailed(int) override {}

  uint64_t deaths() const { return deaths_; }
  uint64_t cancels() const { return cancels_; }
  // Cancels that named a key which this server never gave out: none may come.
  uint64_t wrong_cancels() const { return wrong_cancels_; }
  uint32_t serving() const { return serving_.running(); }

 private:
  struct Conversation;

  io::Task<void> Serve(int descriptor);
  io::Task<bool> LogIn(Conversation* with);
  bool Handle(Conversation* with, const Frame& frame);
  void Execute(Conversation* with, const std::string& text, bool simple);
  void Say(Conversation* with, std::string_view message);

  io::Loop* const loop_;
  base::Prng* const prng_;
  const uint64_t death_;
  io::Scope serving_;
  std::map<std::string, std::string> keys_;  // pid and secret, as sent, to the user
  uint32_t next_pid_ = 100;
  uint64_t deaths_ = 0;
  uint64_t cancels_ = 0;
  uint64_t wrong_cancels_ = 0;
};

}  // namespace sim
