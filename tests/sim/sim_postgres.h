// SimPostgres: a scripted PostgreSQL server on the simulated network.
//
// Answers start-up, cancel, the simple and the extended protocol and COPY both ways, and keeps
// what each connection committed. A statement's comment says what to answer (sim_sql.h); every
// answer carries the nonce of the statement that asked. Between messages it sends notices,
// parameters and notifications that carry the user who is logged in, and at any moment it may die,
// stall or refuse, as its faults say.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "io/scope.h"
#include "sim/sim_sql.h"
#include "sim/wire.h"

namespace sim {

// Once in so many occasions; 0: never.
struct ServerFaults {
  uint64_t death = 0;      // of a connection, per message
  uint64_t stall = 0;      // seconds to minutes, per message read
  uint64_t refusal = 0;    // of a write or a COMMIT, as of a constraint or a conflict
  uint64_t turn_away = 0;  // of a login
  bool deaf = false;       // it reads, and never answers
  bool no_marker = false;  // its user may create nothing
};

// What one transaction wrote.
struct Commit {
  uint32_t connection = 0;
  std::vector<std::string> writes;
  std::string last;    // nonce of the last statement of the transaction
  bool heard = false;  // true exactly if the peer went on: it has read the answer
};

class SimPostgres final : public io::Acceptor {
 public:
  SimPostgres(io::Loop* loop, base::Prng* prng, const ServerFaults& faults)
      : loop_(loop), prng_(prng), faults_(faults), serving_(loop) {}

  void OnAccepted(int descriptor) override;
  void OnAcceptFailed(int) override {}

  // In the order of the commits; those that wrote nothing are left out.
  const std::vector<Commit>& commits() const { return commits_; }
  uint64_t deaths() const { return deaths_; }
  uint64_t cancels() const { return cancels_; }
  // Cancels that named a key which this server never gave out: none may come.
  uint64_t wrong_cancels() const { return wrong_cancels_; }
  uint32_t serving() const { return serving_.running(); }

 private:
  struct Conversation;
  struct Marker {
    int64_t number = 0;
    uint32_t pid = 0;  // of who made it
  };

  io::Task<void> Serve(int descriptor);
  io::Task<bool> LogIn(Conversation* with);
  io::Task<void> Stall();
  bool TurnsAway(Conversation* with);
  bool Handle(Conversation* with, const Frame& frame);
  void HandleCopy(Conversation* with, const Frame& frame);
  void HandleQuery(Conversation* with, const std::string& text);
  void HandleSync(Conversation* with);
  void HandleBind(Conversation* with, const Frame& frame);
  void Execute(Conversation* with, const Sql& sql);
  void ExecuteWrite(Conversation* with, const Sql& sql);
  void ExecuteControl(Conversation* with, const Sql& sql);
  void ExecuteMarker(Conversation* with, const Sql& sql);
  void Mark(Conversation* with, const Sql& sql);
  void EndOwner(int64_t link);
  uint64_t TakeMarker(const Sql& sql);
  void Succeed(Conversation* with, const Sql& sql);
  void Fail(Conversation* with, std::string_view sqlstate, std::string_view message);
  bool Refuses(Conversation* with, const Sql& sql);
  void EndTransaction(Conversation* with);
  void SayReady(Conversation* with);
  void Say(Conversation* with, std::string_view message);

  io::Loop* const loop_;
  base::Prng* const prng_;
  const ServerFaults faults_;
  io::Scope serving_;
  std::map<std::string, std::string> keys_;  // pid and secret, as sent, to the user
  std::vector<Commit> commits_;
  std::map<int64_t, Marker> markers_;  // by link
  std::map<uint32_t, Conversation*> conversations_;  // by pid
  bool installed_ = false;
  uint32_t next_pid_ = 100;
  uint64_t deaths_ = 0;
  uint64_t cancels_ = 0;
  uint64_t wrong_cancels_ = 0;
};

}  // namespace sim
