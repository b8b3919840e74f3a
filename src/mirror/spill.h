// Spill: what the memory of one mirror has no room for waits on the disk, in the order in which it
// was offered, until there is room again.
//
// One per shard and mirror, owned by the shard's Shadow. Take() returns at once; one task writes,
// another reads and hands the units to their lanes, which stay alive meanwhile. While anything
// waits here, whatever is offered on this shard goes the same way: so what is in memory was offered
// before what is on the disk, and a session's order holds. Reading begins when half of the mirror's
// budget is free, or when what is here is what all others may be waiting for (Order::FirstIsAway);
// then it is read though there is no room. Files go as their units are settled.
//
// Failure: what cannot be written is dropped and named (spill_lost); the record log decides whether
// that was the last write. What cannot be read takes all that is on the disk with it. Memory goes
// on alone. Bounds: spill_max on the disk, all mirrors; Shared's budgets for units on their way to
// the disk and for the places of those on it; one batch beyond the mirror's budget when read.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/credit.h"
#include "io/event.h"
#include "io/record_log.h"
#include "io/scope.h"
#include "io/task.h"
#include "io/worker.h"
#include "mirror/overflow.h"
#include "mirror/shared.h"
#include "mirror/spill_batch.h"
#include "mirror/spill_cursor.h"

namespace mirror {

class Lane;
class Shadow;

class Spill final : public UnitTeller {
 public:
  // `root` outlives it.
  Spill(Shadow* shadow, SpillRoot* root, Shared::PerMirror* shared, uint32_t shard);
  ~Spill() override;  // closed, or never opened
  Spill(const Spill&) = delete;
  Spill& operator=(const Spill&) = delete;

  // Blocking, at the start. A spill that cannot be opened takes nothing; the log says why.
  void Open(io::Worker::Kind worker);
  // True exactly while units wait here: whatever is offered now goes here, too.
  bool holds() const {
    return units_ > 0 || shared_->replaying.load(std::memory_order_acquire);
  }
  // As Shadow::IsFull.
  bool IsFull(bool waits) const;
  // False: no room, or the disk has failed. Else the lane will hear of it: Lane::Return, or
  // Lane::OnAwayGone.
  bool Take(const Lane& lane, const Unit& unit);
  // A unit that Return() brought with this number has met its fate.
  void OnSettled(uint64_t sequence) override;
  // Takes nothing any more. What waits is dropped and named, or, with a key of the operator's, left
  // for the next start.
  io::Task<void> Close();
  bool closed() const { return closed_; }

 private:
  struct Pending {
    SpilledUnit spilled;
    Charge charge;
  };
  struct Handed {  // a record whose units are with their lanes
    uint64_t units = 0;  // not settled
    int64_t bytes = 0;   // on the disk
  };
  class EncodeJob;
  class ReadJob;
  class CloseJob;

  absl::Status TryOpen(io::Worker::Kind worker);
  bool usable() const;

  io::Task<void> Write();
  std::vector<SpillOwner> TakeBatch();
  io::Task<void> Store(const EncodeJob* job);
  void OnStored(const EncodeJob& job, int64_t bytes);
  void OnNotStored(const absl::Status& status);
  void Lose(SpilledUnit* spilled, Cause cause);

  io::Task<void> Read();
  io::Task<void> ReadSome();
  bool MayRead() const;
  bool IsEmpty() const;
  io::Task<void> RemoveFiles();
  io::Task<void> ReleaseDone();
  absl::Status HandOut(ReadJob* job);
  void HandBack(SpilledUnit* spilled, uint64_t sequence);
  void KeepStored(const Unit& unit);
  void TakeStored(Unit* unit);
  void OnUnreadable(const absl::Status& status);
  void OnNotRemoved(const absl::Status& status);
  void CountLeft(Cause cause);
  void ForgetStored();

  Shadow* const shadow_;
  SpillRoot* const root_;
  Shared::PerMirror* const shared_;
  io::Loop* const loop_;
  const std::string folder_;
  base::Credit in_flight_;
  base::Credit places_;
  base::Credit disk_;
  std::unique_ptr<io::RecordLog> log_;
  std::unique_ptr<io::Worker> worker_;
  io::File mark_;
  // What units that are here refer to beside: it is on the disk, too, but not in the log.
  std::map<uint64_t, base::Held<Stored>> elsewhere_;
  SpillCursor cursor_;  // the running ReadJob's

  std::deque<Pending> pending_;   // to be written
  std::vector<Pending> writing_;  // being written
  uint64_t units_ = 0;            // of all sorts that their lanes do not have
  SpillSummary stored_;           // of those on the disk
  int64_t stored_bytes_ = 0;      // likewise
  uint64_t next_read_ = 1;
  uint64_t stored_end_ = 1;       // behind the newest record
  std::deque<Handed> handed_;     // the last of them is next_read_ - 1
  int64_t released_bytes_ = 0;    // of records that are done with since files were removed
  base::Instant blocked_until_;   // the disk was full
  bool lost_ = false;             // true exactly when it could not be read
  bool closing_ = false;
  bool closed_ = false;
  io::Event write_work_;
  io::Event read_work_;
  io::Scope scope_;
};

}  // namespace mirror
