// Cleaning: runs the reset query on a connection in which a session may have left something, then
// gives it back; or sees to it that nobody gets it.
//
// A lessee of its own, in the connection that it cleans. Fails, and the connection is closed, if
// the query fails, answers with rows, or takes longer than kCleaningTime.
#pragma once

#include "absl/time/time.h"
#include "backend/lessee.h"
#include "backend/pool.h"
#include "io/timers.h"

namespace backend {

inline constexpr absl::Duration kCleaningTime = absl::Seconds(10);

class Cleaning final : public Lessee, private io::Timer {
 public:
  Cleaning(Pool* pool, Pooled* pooled) : pool_(pool), pooled_(pooled) {}
  void Begin();

  void OnGranted(Pooled*) override {}
  void OnDenied(std::string_view, std::string_view) override {}
  void OnReady(turn::RequestId request, char status, bool owes) override;
  void OnHidden(const pg::Piece& piece, const turn::Reply& reply) override;
  void OnFailed(turn::RequestId, turn::RequestId) override { failed_ = true; }
  void OnCompleted(turn::RequestId, std::string_view) override {}
  void OnParameter(std::string_view, std::string_view, bool) override {}
  void OnConnectionOver() override;

 private:
  void OnExpired() override;

  Pool* const pool_;
  Pooled* const pooled_;
  bool failed_ = false;
};

}  // namespace backend
