// SimClient: a client on the simulated network that trusts nobody.
//
// Holds a number of conversations, one after the other, each of random turns: simple and extended
// queries, pipelines, COPY, errors, transactions, savepoints, cancels, and goodbyes of all kinds.
// Each statement has a nonce of its own; every answer must carry the nonce that was asked for, in
// order, complete, and what the server says of its own accord must be about this user (PR1: no
// client ever receives a byte meant for another). The first wrong thing is kept in fault().
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "io/address.h"
#include "sim/sim_sql.h"
#include "sim/wire.h"

namespace sim {

// When each statement was sent, and when its turn was seen to be over, of all clients: what was
// seen to be over before another was sent came before it, wherever.
class Timeline {
 public:
  struct Times {
    uint64_t sent = 0;
    uint64_t over = UINT64_MAX;
  };
  void Sent(const std::string& nonce) { times_[nonce].sent = ++now_; }
  void Over(const std::string& nonce) { times_[nonce].over = ++now_; }
  const Times& Of(const std::string& nonce) const { return times_.at(nonce); }

 private:
  std::map<std::string, Times> times_;
  uint64_t now_ = 0;
};

class SimClient {
 public:
  // `refusals`: the server may refuse what writes.
  SimClient(io::Loop* loop, base::Prng* prng, Timeline* timeline, uint32_t number,
            io::Address proxy, bool refusals)
      : loop_(loop),
        prng_(prng),
        timeline_(timeline),
        user_("u" + std::to_string(number)),
        proxy_(proxy),
        refusals_(refusals) {}

  io::Task<void> Live(int conversations);
  const std::string& fault() const { return fault_; }
  uint64_t answered() const { return answered_; }
  uint64_t lost() const { return lost_; }
  // The longest time from a turn's first byte sent to its end.
  absl::Duration slowest() const { return slowest_; }

 private:
  struct Statement {
    Sql sql;
    bool fails = false;      // must
    bool may_fail = false;
  };
  struct Turn {
    std::vector<Statement> statements;
    base::Instant asked;
    size_t at = 0;        // the statement that is being answered
    uint64_t rows = 0;    // of it so far
    bool failed = false;  // the rest is skipped
  };

  io::Task<void> Converse();
  io::Task<bool> LogIn(Wire* wire);
  io::Task<bool> Await(Wire* wire, size_t turns_left);
  io::Task<void> Cancel();
  void Ask(std::string* out);
  void AskSimple(std::string* out, Turn* turn);
  void AskExtended(std::string* out, Turn* turn);
  void AskCopy(std::string* out, Turn* turn);
  void AskPrepared(std::string* out);
  Verb Choose();
  Statement Compose(Verb verb);
  void Check(const Frame& frame);
  void CheckStatement(const Frame& frame);
  void CheckError(const Frame& frame);
  void CheckDone(Turn* turn, const Statement& statement, const Frame& frame);
  void Wrong(const std::string& what, const Frame& frame);

  io::Loop* const loop_;
  base::Prng* const prng_;
  Timeline* const timeline_;
  const std::string user_;
  const io::Address proxy_;
  const bool refusals_;
  std::deque<Turn> turns_;
  std::string key_;  // for cancels, as BackendKeyData's body
  uint64_t next_nonce_ = 0;
  uint64_t answered_ = 0;
  uint64_t lost_ = 0;  // conversations that ended before all was answered
  absl::Duration slowest_;
  char status_ = 'I';      // as far as has been answered
  bool in_block_ = false;  // as far as has been asked, if nothing fails
  bool prepared_ = false;  // true exactly when the server has the statement "w"
  bool gone_ = false;      // a FATAL was heard
  std::string fault_;
};

}  // namespace sim
