// Shadow: a shard's share of one mirror: its counters, its budget in hand, its idle connections.
//
// Owned by the shard's Mirrors. Connections are given back and taken last in, first out; a lane
// that waits for one of the same key gets it directly. Bound: mirror_connections_max over all
// shards, by the Gate.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/credit.h"
#include "config/config.h"
#include "mirror/breaker.h"
#include "mirror/catalogue.h"
#include "mirror/health_check.h"
#include "mirror/link.h"
#include "mirror/mirror_metrics.h"
#include "mirror/order.h"
#include "mirror/shared.h"
#include "mirror/spill.h"

namespace mirror {

class Lane;
class SpillReplay;

class Shadow {
 public:
  Shadow(Mirrors* mirrors, const config::Server& server, Shared::PerMirror* shared);
  ~Shadow();
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;

  Mirrors* mirrors() const { return mirrors_; }
  const config::Server* server() const { return &server_; }
  Gate* gate() const { return &shared_->gate; }
  const Clock* clock() const;
  Order& order() { return order_; }
  const Order& order() const { return order_; }
  Breaker& breaker() { return breaker_; }
  // True exactly if its transactions are to be marked, see marker.h.
  bool marks() const;
  // -- values that the primary makes up, see pin.h ------------------------------------------------
  config::Generated generated() const { return generated_; }
  bool pins() const { return generated_ == config::Generated::kPin; }
  uint64_t schema() const { return shared_->schema.load(std::memory_order_acquire); }
  // `prepared`: so far only in a prepared transaction.
  void OnSchemaChanged(bool prepared = false) {
    if (prepared) {
      shared_->schema_prepared.store(true, std::memory_order_relaxed);
    }
    shared_->schema.fetch_add(1, std::memory_order_acq_rel);
  }
  bool schema_prepared() const { return shared_->schema_prepared.load(std::memory_order_relaxed); }
  Catalogue& catalogue() { return catalogue_; }

  // True exactly when clients wait rather than a transaction being dropped.
  bool blocks() const;
  // The mirror refuses to keep markers.
  void StopMarking(std::string_view sqlstate);
  GapLedger* ledger() const { return &shared_->ledger; }
  base::Credit* credit() { return &credit_; }
  // Null: what there is no memory for is dropped.
  Spill* spill() { return spill_.get(); }
  // True exactly when less than a fourth of the room is left, or, for whoever `waits`, less than
  // half.
  bool IsFull(bool waits) const;
  // Null: nothing was left for it, or another shard delivers that.
  SpillReplay* spill_replay() { return spill_replay_.get(); }
  // Null on all shards but one.
  HealthCheck* health_check() { return health_check_.get(); }
  MirrorMetrics& metrics() { return metrics_; }
  const MirrorMetrics& metrics() const { return metrics_; }

  // True exactly when the mirror receives sessions of `database`; then `*there` is its name there.
  bool Wants(const std::string& database, bool primary_names_one, std::string* there) const;

  std::unique_ptr<Link> NewLink(std::string key);
  // As whom to log in; to which database is the caller's.
  backend::LoginFacts Login() const;
  // Of a login that begins now.
  base::Deadline DialDeadline() const;
  // One of `key` that nobody needs, or, where the mirror may have no more, that a lane has which
  // has nothing to do; or null.
  std::unique_ptr<Link> TakeIdle(const std::string& key);
  // A connection that its lane does not need. One with a session's state is closed.
  void GiveBack(std::unique_ptr<Link> link);
  // Closes it and gives back its place.
  void Discard(std::unique_ptr<Link> link);
  // Lets go of one connection nobody needs at the moment, if there is one.
  void MakeRoom();
  void DiscardIdle();

  // Lanes of this shard that stand in the gate's row.
  void AddWaiting(Lane* lane) { waiting_.push_back(lane); }
  void RemoveWaiting(const Lane* lane) { std::erase(waiting_, lane); }

  // Lanes of this shard that have nothing to do, and a connection.
  void AddResting(Lane* lane);
  void RemoveResting(const Lane* lane);
  // A connection was opened; one was closed, or is about to be.
  void OnOpened() { CountConnections(1); }
  void OnClosed() { CountConnections(-1); }

  // How the last attempt to connect, by any lane of this shard, ended.
  void SetReachable(bool reachable);
  bool reachable() const { return reachable_; }
  // Transactions have met here that ran side by side: for a while each waits until those before it
  // have been executed, which costs less than to find that out and to run them again.
  void BeCareful();
  bool careful() const;
  // What ends a prepared transaction is sent before its turn; how often that was, on all shards.
  void CountHurried() { shared_->hurried.fetch_add(1, std::memory_order_relaxed); }
  uint64_t hurried() const { return shared_->hurried.load(std::memory_order_relaxed); }

  // `lane` does not dial any more.
  void StopProbing(const Lane* lane);

  // Stops what a connection that was given up still runs on the mirror.
  void Cancel(backend::CancelTarget target);
  // Likewise, of one that is kept: returns when no request of ours is on its way any more.
  io::Task<void> CancelNow(backend::CancelTarget target);
  // The login may not be made `user`, so the session's statements run as the login.
  void LogOtherUser(const std::string& user, std::string_view sqlstate);

  // At most once in ten seconds: a mirror that is down is no reason to fill the log.
  void LogConnectFailed(const absl::Status& status);

 private:
  void CountConnections(int change);
  void TellIdle();
  io::Task<void> Close(std::unique_ptr<Link> link);

  Mirrors* const mirrors_;
  const config::Server server_;  // the same in every epoch
  Shared::PerMirror* const shared_;
  const config::Generated generated_;
  Catalogue catalogue_;
  base::Credit credit_;
  Tally::Idle* const idle_told_;  // of idle_ and resting_
  Order order_;
  Breaker breaker_;
  std::unique_ptr<Spill> spill_;
  std::unique_ptr<SpillReplay> spill_replay_;
  std::unique_ptr<HealthCheck> health_check_;
  MirrorMetrics metrics_;
  std::vector<std::unique_ptr<Link>> idle_;
  std::deque<Lane*> waiting_;
  std::vector<Lane*> resting_;  // since the longest time first
  std::set<std::string> other_users_;  // of whom it was told
  base::Instant next_log_;
  base::Instant careful_until_;
  absl::Duration care_;  // how long the last time
  std::atomic<bool> reachable_{true};  // the admin endpoint reads it from another shard
};

}  // namespace mirror
