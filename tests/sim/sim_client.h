// SimClient: a client on the simulated network that trusts nobody.
//
// Holds a number of conversations, one after the other, each of random turns: simple and extended
// queries, pipelines, COPY, errors, transactions, cancels, and goodbyes of all kinds. Each
// statement has a nonce of its own; every answer must carry the nonce that was asked for, in order,
// complete, and what the server says of its own accord must be about this user (PR1: no client ever
// receives a byte meant for another). The first wrong thing is kept in fault().
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "base/random.h"
#include "io/address.h"
#include "sim/wire.h"

namespace sim {

class SimClient {
 public:
  SimClient(io::Loop* loop, base::Prng* prng, uint32_t number, io::Address proxy)
      : loop_(loop), prng_(prng), user_("u" + std::to_string(number)), proxy_(proxy) {}

  io::Task<void> Live(int conversations);
  const std::string& fault() const { return fault_; }
  uint64_t answered() const { return answered_; }
  uint64_t lost() const { return lost_; }

 private:
  struct Statement {
    std::string nonce;
    int rows = 0;  // that must come
    bool fails = false;
    std::string tag;  // what CommandComplete must say
  };
  struct Turn {
    std::vector<Statement> statements;
    size_t at = 0;        // the statement that is being answered
    int rows = 0;         // of it so far
    bool failed = false;  // the rest is skipped
  };

  io::Task<void> Converse();
  io::Task<bool> LogIn(Wire* wire);
  io::Task<bool> Await(Wire* wire, size_t turns_left);
  io::Task<void> Cancel();
  void Ask(std::string* out);
  void AskSimple(std::string* out, Turn* turn);
  void AskExtended(std::string* out, Turn* turn);
  std::string Compose(Statement* statement);
  void Check(const Frame& frame);
  void CheckStatement(const Frame& frame);
  void CheckError(const Frame& frame);
  void Wrong(const std::string& what, const Frame& frame);

  io::Loop* const loop_;
  base::Prng* const prng_;
  const std::string user_;
  const io::Address proxy_;
  std::deque<Turn> turns_;
  std::string key_;  // for cancels, as BackendKeyData's body
  uint64_t next_nonce_ = 0;
  uint64_t answered_ = 0;
  uint64_t lost_ = 0;  // conversations that ended before all was answered
  bool transaction_ = false;
  bool gone_ = false;  // a FATAL was heard
  std::string fault_;
};

}  // namespace sim
