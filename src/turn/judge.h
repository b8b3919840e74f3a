// Judge: what fan-out and compare add to a turn. None by default.
//
// A pure interface; one per shard or service, asked on the shard that serves the turn, at two
// points: before a request frame that may commit is forwarded, and before a reply that tells the
// client of it is released. It answers at once; to decide later it holds, and whoever owns it
// releases the same side later (session: Session::ReleaseRequest, server: Connection::Release).
// Whatever stands behind what is held waits with it, in order, and its stream is not read.
#pragma once

#include <cstdint>

#include "pg/frame.h"
#include "turn/machine.h"

namespace turn {

enum class Ruling : uint8_t {
  kGoOn,
  kHold,  // until released; the judge is not asked again about the same frame
};

class Judge {
 public:
  virtual ~Judge() = default;
  // `piece`: the first piece of a Query, Execute, Sync or FunctionCall of session `owner`.
  virtual Ruling BeforeRequest(uint64_t owner, const pg::Piece& piece) = 0;
  // `piece`: a CommandComplete or ReadyForQuery; `reply`: what the ledger says of it.
  virtual Ruling BeforeReply(const Reply& reply, const pg::Piece& piece) = 0;
};

// True for the frames a judge is asked about before they are forwarded.
inline bool MayCommit(char frontend_type) {
  return frontend_type == 'Q' || frontend_type == 'E' || frontend_type == 'S' ||
         frontend_type == 'F';
}

}  // namespace turn
