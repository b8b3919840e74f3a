// Every bound of the process in one struct, filled from the configuration. A queue, loop or buffer
// names its field here; nothing grows without one. Sizes are bytes unless the name says otherwise.
#pragma once

#include <cstdint>

#include "absl/time/time.h"

namespace base {

struct Limits {
  // -- streams ------------------------------------------------------------------------------
  uint32_t queue_high = 256 * 1024;  // stop reading from A when this much waits for B
  uint32_t queue_low = 64 * 1024;    // resume below this
  uint32_t send_pieces_max = 64;     // pieces of one sendmsg

  // -- TLS ----------------------------------------------------------------------------------
  uint32_t tls_handshakes_per_round = 4;          // steps; more wait for the shard's next round
  uint32_t tls_handshake_bytes_max = 128 * 1024;  // received and not used yet, before it is over

  // -- TCP, to clients and to servers --------------------------------------------------------
  absl::Duration tcp_keepalive_idle = absl::Seconds(4);      // zero: no keep-alive
  absl::Duration tcp_keepalive_interval = absl::Seconds(2);
  uint32_t tcp_keepalive_count = 3;                          // 4 s + 3 * 2 s: gone after 10 s
  absl::Duration tcp_retry_max = absl::Seconds(1);           // zero: the system's
  absl::Duration tcp_user_timeout;                           // zero: none

  // -- protocol -----------------------------------------------------------------------------
  uint32_t startup_packet_max = 10'000;     // PostgreSQL's MAX_STARTUP_PACKET_LENGTH
  uint32_t frame_held_max = 64 * 1024;      // a frame up to this size is seen whole
  uint32_t statement_memory_first = 8192;   // --query-buffer-size
  uint32_t ledger_entries_max = 1 << 20;    // request frames a client may pipeline unanswered

  // -- clients ------------------------------------------------------------------------------
  uint32_t clients_max = 10'000;            // per process; one more is told 53300
  uint32_t clients_unauthenticated_max = 4'096;  // per shard
  uint32_t logins_per_address_max = 256;    // under way, per shard
  uint32_t cancels_in_flight_max = 64;      // per shard
  absl::Duration login_timeout = absl::Seconds(60);     // from accept to the first ReadyForQuery
  absl::Duration connect_timeout = absl::Seconds(15);   // to a server, login included
  absl::Duration cancel_timeout = absl::Seconds(10);
  absl::Duration close_timeout = absl::Seconds(5);      // flush the last bytes to a leaving client
  absl::Duration drain_timeout = absl::Seconds(30);     // SIGTERM to the hard stop

  // -- pooled server connections, all shards -------------------------------------------------
  uint32_t server_connections_max = 0;      // to one server, all pools; 0: none
  uint32_t total_connections_max = 0;       // to all servers; 0: none

  // -- the process --------------------------------------------------------------------------
  absl::Duration watchdog_timeout = absl::Seconds(10);  // a loop that does not turn; zero: none

  // -- mirrors ------------------------------------------------------------------------------
  int64_t mirror_bytes_max = 64 << 20;        // held for one mirror, all shards
  int64_t mirror_transaction_max = 16 << 20;  // of one transaction
  uint32_t mirror_transaction_statements = 1000;  // of them in memory, where there is a disk
  absl::Duration mirror_transaction_age = absl::Minutes(30);  // likewise: how long in memory
  absl::Duration mirror_transaction_sweep = absl::Minutes(5);  // how often that is looked at
  int64_t spill_max = int64_t{16} << 30;      // on the disk, of all mirrors
  uint32_t mirror_connections_max = 64;       // per mirror, all shards
  absl::Duration mirror_timeout = absl::Seconds(120);   // one unit, sent to answered
  uint32_t mirror_retries = 2;  // of a unit that has reached the mirror, after the first time
  absl::Duration mirror_retry_delay = absl::Seconds(5);  // at most before the first; then doubled
};

}  // namespace base
