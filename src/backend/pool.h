// Pool: the server connections of one (service, user, database) on one shard, and who waits for
// one.
//
// Owned by Pools, on its shard. A connection is given to the first of those who wait, the one used
// last to be used first; it is only ever given if its ledger is empty, it is idle, and nothing of
// another session is in it but settings that are known. Everything else is closed. Places come from
// SharedPools, so all shards together keep to the bound.
//
// A reload changes bounds and times in place, and what is connected stays. Where the server or its
// login changed another pool takes its place: this one closes what is free and what comes back, and
// goes with the last of its sessions.
//
// Failure: a connection that cannot be made is tried again after a pause that grows and is
// jittered, one at a time until one was made; a server that refuses the login denies all who wait,
// one that cannot be reached those who have waited for connect_timeout, unless the pool has other
// connections. Bounds: max_conns; who waits is a client, so max_clients.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/epoch.h"
#include "backend/lessee.h"
#include "backend/login.h"
#include "backend/pool_shared.h"
#include "backend/pooled.h"
#include "config/service.h"
#include "io/event.h"
#include "io/task.h"

namespace backend {

class Pools;

class Pool {
 public:
  Pool(Pools* pools, const config::Service* service, LoginFacts login, SharedPool* shared);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Someone's place in the queue, in the session that waits.
  struct Waiter {
    Lessee* lessee = nullptr;
    base::Instant since;
    Parameters startup;    // what the connection's StartupMessage must have said; see Pooled
    bool waiting = false;  // true exactly when in the queue
    bool opening = false;  // true exactly when a connection was begun for it
    std::list<Waiter*>::iterator place;
  };

  // A session that may ask exists, or no longer.
  void Enter() { ++sessions_; }
  void Leave() { --sessions_; }

  // Lessee::OnGranted() or OnDenied() follows, maybe before this returns.
  void Ask(Waiter* waiter);
  // It no longer wants one.
  void Forget(Waiter* waiter);
  // The lease is over and the connection as it should be: for the next one.
  void Return(Pooled* pooled);
  // Likewise, but a session may have left something: it is cleaned first.
  void ReturnDirty(Pooled* pooled);
  // Likewise, but it must not be used again.
  void Discard(Pooled* pooled);
  // Sends a cancel of what it runs; nobody else gets it before that has arrived. `asker` is told
  // then, or at once if nothing is sent. One is sent at a time: those that come meanwhile share the
  // next one.
  void Cancel(Pooled* pooled, const CancelAsker& asker);

  // -- for Pools --------------------------------------------------------------------------------
  // The configuration is another one. False if this is not the pool that it asks for any more; then
  // Vacate() is due. Its sessions follow for themselves, those that wait too.
  bool Follow(const Epoch& epoch);
  // Closes what is free, gives up what is dialled, and what comes back; opens nothing any more.
  void Vacate();
  // A place that was wanted here has come.
  void OnPlace();
  // Gives up one that is free, for another shard or pool that wants its place; false if there is
  // none, or none for which it should.
  bool YieldOne();
  // When the one that is free for longest was last used; Never() if none is free.
  base::Instant unused_since() const {
    return free_.empty() ? base::Instant::Never() : free_.front()->used;
  }
  // Opens, closes and denies what time has come for. False if the pool may be taken away.
  bool Tend();
  // Closes all; nobody may ask any more.
  void Close();
  bool empty() const { return serving_ == 0; }
  SharedPool* shared() const { return shared_; }
  const LoginFacts& login() const { return login_; }
  void SetSecret(const LoginFacts& login);

  const config::Service& service() const { return *service_; }
  Pools* pools() const { return pools_; }
  // What a server of this pool has reported at a login of this shard, or if there was none, of any;
  // empty before the first.
  const Parameters& welcome();
  size_t free_count() const { return free_.size(); }
  size_t waiting_count() const { return waiters_.size(); }

 private:
  bool Serves(const config::Service& service) const;
  void FollowUsers();
  void RetireFree(std::vector<Pooled*>::iterator at);
  void Start();
  io::Task<void> Serve(Parameters startup);
  io::Task<absl::Status> Open(Pooled* pooled);
  Parameters NextStartup();
  void Offer(Pooled* pooled);
  Waiter* NextFor(const Pooled& pooled) const;
  void Grant(Pooled* pooled, Waiter* waiter);
  uint32_t OpeningMax() const;
  void OpenMore();
  bool TakePlace();
  bool Yields(bool idle, bool unused);
  void OnOpenFailed(const Pooled& pooled, const absl::Status& status);
  void DenyAll(std::string_view sqlstate, std::string_view message);
  void DenyStartup(const Parameters& startup, const absl::Status& status);
  void DenyOlder(base::Instant than);
  bool Expired(const Pooled& pooled) const;
  bool IsSurplus(Pooled* pooled);
  void Retire(Pooled* pooled);
  void EndLease(Pooled* pooled);
  io::Task<void> RunCancels(Pooled* pooled);
  io::Task<absl::Status> SendCancel(Pooled* pooled, base::Deadline deadline);
  io::Task<void> PartWith(Pooled* pooled);

  Pools* const pools_;
  Epoch epoch_;
  const config::Service* service_;  // in epoch_
  LoginFacts login_;
  SharedPool* const shared_;
  std::vector<Pooled*> dialling_;     // that are not logged in yet
  std::vector<Pooled*> connections_;  // that are logged in and not ended
  std::vector<Pooled*> free_;         // of these, the one used last behind
  std::list<Waiter*> waiters_;        // the oldest in front
  Parameters welcome_;
  uint32_t sessions_ = 0;
  uint32_t serving_ = 0;  // Serve() tasks that run
  std::optional<uint32_t> wanted_with_;  // what that was when a place was last wanted in vain
  uint32_t failures_ = 0;    // in a row
  bool full_ = false;        // true exactly when the last one was the server's having no room
  base::Instant retry_;      // nothing is dialled before
  bool closed_ = false;
};

}  // namespace backend
