// What must be true of a mirror when all is over, whatever failed on the way.
#pragma once

#include <array>
#include <string>

#include "mirror/unit.h"
#include "sim/sim_client.h"
#include "sim/sim_postgres.h"

namespace sim {

// A mirror's counters, all shards together.
struct MirrorCounts {
  uint64_t offered = 0;
  uint64_t delivered = 0;
  uint64_t refused = 0;
  uint64_t found_applied = 0;
  uint64_t reordered = 0;
  uint64_t retries = 0;
  uint64_t reconnects = 0;
  int64_t queued = 0;
  std::array<uint64_t, mirror::kCauses> dropped{};

  uint64_t all_dropped() const;
  bool Agree() const;
};

// Empty, or what is wrong:
//  - the counters agree with each other, and with what both servers committed;
//  - what the mirror committed are whole transactions that the primary committed, each once, with
//    the same data; all of them if nothing was refused or dropped;
//  - `calm`, with no fault anywhere, nothing is lost but to the limits, and to clients that leave
//    in the middle of a commit;
//  - they are in the order of each session, and behind every transaction that some client had seen
//    committed before their first statement was sent. What the mirror committed on a connection
//    that was given up is not held to an order: pgbraid dropped it as unknown, and went on.
//    With `causal` false they are in the order of each session only.
std::string CheckMirror(const SimPostgres& primary, const SimPostgres& mirror,
                        const Timeline& timeline, const MirrorCounts& counts, bool calm,
                        bool causal);

}  // namespace sim
