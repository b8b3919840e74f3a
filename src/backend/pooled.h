// Pooled: a server connection that sessions borrow after each other, and what is known of its
// state: whose settings are in force, which statements it holds, how to cancel what it runs.
//
// In the frame of its pool's Pool::Serve(), on one shard, from dialling to closed.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "backend/cancel.h"
#include "backend/connection.h"
#include "backend/epoch.h"
#include "backend/prepared.h"
#include "backend/repeat.h"
#include "backend/session_settings.h"
#include "base/instant.h"
#include "io/event.h"

namespace backend {

class Pool;

struct Pooled {
  Pooled(Pool* its_pool, io::Loop* loop, BackendMetrics* metrics, StatementTable* statements,
         bool protocol_log, Parameters its_startup)
      : pool(its_pool),
        startup(std::move(its_startup)),
        connection(loop, metrics, protocol_log),
        prepared(statements),
        freed(loop) {
    connection.KeepParameters();
  }
  Pooled(const Pooled&) = delete;
  Pooled& operator=(const Pooled&) = delete;

  Pool* const pool;
  // What its StartupMessage said for a client in session mode: defaults that no reset undoes, so
  // only a client that said the same gets it.
  const Parameters startup;
  Connection connection;
  SessionSettings in_force;  // what differs from the defaults of its login
  Prepared prepared;
  Epoch epoch;               // by which it is reached: to cancel what it runs
  Repeat repeat;             // what the turn under way would need to be done again
  Dialled dialled;           // how it was reached
  base::Instant born;
  base::Instant used;        // when it was last given back
  uint64_t sequences_of = 0;  // the session whose values of sequences it has; 0: it has none;
                             // turn::kNobody: of several, or older ones
  uint64_t unnamed_of = 0;   // the session whose unnamed statement it has; 0: nobody's;
                             // turn::kNobody: of a session that does not matter
  uint64_t unnamed_number = 0;  // which of that session's
  bool cancelling = false;   // true exactly while a cancel is under way: nobody else gets it then
  std::vector<CancelAsker> askers;  // of the next cancel; at most Limits::cancels_in_flight_max
  bool lent = false;         // true exactly when a session has had it
  bool leased = false;       // true exactly when a session, or its pool's cleaning, has it
  bool doomed = false;       // true exactly when nobody is to get it any more
  bool surplus = false;      // true exactly when it ends because its pool has become smaller
  std::unique_ptr<Lessee> cleaning;
  io::Event freed;           // raised when a connection that has ended is given back
};

}  // namespace backend
