// Service: what a client gets for the database name that it asks for: the server behind it, and
// how connections to that server are shared.
//
// A plain value, part of a Config, immutable once the process serves. The flags and top-level keys
// describe one service, named "*", and are the defaults of those in [[service]] tables.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "config/server_url.h"

namespace config {

// How long a client keeps a server connection.
enum class PoolMode : uint8_t {
  kSession,      // until it leaves
  kTransaction,  // until its transaction ends
  kStatement,    // as above, and a transaction of more than one statement is refused
};
std::string_view Name(PoolMode mode);

struct PoolSettings {
  PoolMode mode = PoolMode::kSession;
  // Server connections per (server, user, database), all shards together. In session mode a bound
  // only if it was given: max_clients bounds that mode.
  uint32_t max_conns = 50;
  bool max_conns_given = false;
  uint32_t min_conns = 10;  // kept open once the pool is in use; not in session mode
  bool min_conns_given = false;  // if not, max_conns cuts it
  absl::Duration max_conn_lifetime;          // zero: for ever
  absl::Duration max_conn_idle_time = absl::Seconds(300);  // zero: for ever
  uint32_t max_prepared_statements = 200;  // kept per server connection
  // What a connection is asked before others get it, where a session may have left something;
  // empty: such a connection is closed instead.
  std::string reset_query = "DISCARD ALL";

  absl::Duration query_wait_timeout = absl::Seconds(120);  // for a server connection; zero: none
  absl::Duration query_timeout;                            // of one turn; zero: none
  absl::Duration transaction_timeout;                      // likewise, of a transaction
  absl::Duration idle_transaction_timeout;                 // in a transaction, nothing asked
  absl::Duration client_idle_timeout;                      // outside of one
  // A server that is not read because its client reads nothing; zero: none. In session mode and
  // for logins that are passed through a bound only if it was given: they keep nobody waiting.
  absl::Duration client_stall_timeout = absl::Seconds(300);
  bool client_stall_timeout_given = false;
  uint32_t max_service_clients = 0;                        // 0: max_clients only
  uint32_t max_user_clients = 0;                           // of one user; 0: max_clients only
};

struct Service {
  std::string name;  // the database name that a client asks for; "*": every other one
  Server primary;
  PoolSettings pool;
  bool mirrored = false;  // true exactly for the one that the top-level keys describe

  // True exactly when a client's own login goes to the server, whose connection is then its alone.
  bool passes_login_through = true;
};

}  // namespace config
