#include "backend/cleaning.h"

#include <string>

#include "backend/pools.h"
#include "pg/builders.h"
#include "pg/views.h"

namespace backend {

void Cleaning::Begin() {
  Leg leg;
  leg.lessee = this;
  pooled_->connection.Lease(leg);
  // What a pipeline without its Sync has run is not committed: a Query of ours would do it.
  std::string queries;
  const bool asked = pg::AppendQuery(&queries, "ROLLBACK") &&
                     pg::AppendQuery(&queries, pool_->service().pool.reset_query) &&
                     pooled_->connection.Ask(queries);
  if (!asked) {
    pool_->Discard(pooled_);
    return;
  }
  io::Loop* const loop = pool_->pools()->loop();
  loop->timers().Arm(this, loop->In(kCleaningTime));
}

// Rows would mean that it is no reset query: whatever it did, it is not known what is left.
void Cleaning::OnHidden(const pg::Piece& piece, const turn::Reply& reply) {
  failed_ = failed_ || piece.type == 'T' || piece.type == 'D' || piece.type == 'G' ||
            piece.type == 'H';
  if (piece.first && reply.kind == turn::ReplyKind::kCompleted) {
    const std::string_view tag = pg::ReadCommandTag(piece.body).value_or("");
    if (tag == "DISCARD ALL") {
      pooled_->in_force.Clear();
      pooled_->sequences_of = 0;
    }
    if (tag == "DISCARD ALL" || tag == "DEALLOCATE ALL") {
      pooled_->prepared.Clear();
    }
  }
}

void Cleaning::OnReady(turn::RequestId, char, bool owes) {
  if (owes) {
    return;  // the ROLLBACK was answered
  }
  Disarm();
  if (failed_ || !pooled_->connection.machine().poolable()) {
    pool_->Discard(pooled_);
  } else {
    pool_->Return(pooled_);
  }
}

void Cleaning::OnConnectionOver() {
  Disarm();
  pool_->Discard(pooled_);
}

void Cleaning::OnExpired() { pool_->Discard(pooled_); }

}  // namespace backend
