// Lessee: whoever borrows a pooled connection for some turns, as the connection and its pool see
// it.
//
// A pure interface, called on the shard, from within the connection's pump or the pool; an
// implementation takes note, may write to the connection's stream, and returns. It outlives the
// lease. Requests that it makes for itself are told to the ledger under turn::kNobody: their
// answers never reach the leg's sink, only OnHidden().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pg/frame.h"
#include "turn/machine.h"

namespace backend {

struct Pooled;

// What becomes of an error that is an answer to the client.
enum class Fate : uint8_t {
  kTold,
  kInstead,  // the client is told something else
  kHidden,   // nothing: what has failed will be asked again
};

class Lessee {
 public:
  virtual ~Lessee() = default;

  // -- from the pool, for who has asked ---------------------------------------------------------
  virtual void OnGranted(Pooled* connection) = 0;
  // It will not get one. The texts are fit for a client.
  virtual void OnDenied(std::string_view sqlstate, std::string_view message) = 0;

  // -- from the connection, during the lease ----------------------------------------------------
  // A ReadyForQuery, already on its way to the sink; `status` as in it, `owes`: requests behind it
  // are not answered yet. The lessee may end the lease here, and nowhere else but at its own end.
  virtual void OnReady(turn::RequestId request, char status, bool owes) = 0;
  // A piece of an answer to a request made for nobody.
  virtual void OnHidden(const pg::Piece& piece, const turn::Reply& reply) = 0;
  // Requests from `first` up to, not including, `end` were answered by an error or not at all.
  virtual void OnFailed(turn::RequestId first, turn::RequestId end) = 0;
  // The same error, while the client has not been told of it. kInstead: of `*instead`, a frame.
  virtual Fate OnError(const pg::Piece&, turn::RequestId, std::string*) { return Fate::kTold; }
  // True if request `request`, which has been answered in part, may be asked again: the client gets
  // that part together with the rest.
  virtual bool MayRepeat(turn::RequestId) const { return false; }
  virtual void OnCompleted(turn::RequestId request, std::string_view tag) = 0;
  // ParameterStatus. `hidden`: it came while a request for nobody was answered.
  virtual void OnParameter(std::string_view name, std::string_view value, bool hidden) = 0;
  // The connection has ended; it is to be given back.
  virtual void OnConnectionOver() = 0;
};

}  // namespace backend
