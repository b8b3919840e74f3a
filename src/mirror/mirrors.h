// Mirrors: the mirror room's front. All that a session sees of it: Open() a Recorder, tell it what
// the client sent and what became of it.
//
// One Mirrors per shard, made by server/, used on the shard's thread except for the Post calls.
// Nothing here waits for a session, and nothing here can fail a client: what cannot be mirrored is
// counted by cause and left out, whole transactions at a time. Lanes live on after their session
// until what was committed has been delivered, or Drain's deadline.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "backend/deriver.h"
#include "backend/backend_metrics.h"
#include "backend/epoch.h"
#include "base/limits.h"
#include "io/event.h"
#include "io/scope.h"
#include "io/task.h"
#include "mirror/capture.h"
#include "mirror/filter.h"
#include "mirror/lane.h"
#include "mirror/overflow.h"
#include "mirror/recorder.h"
#include "mirror/shadow.h"
#include "mirror/shared.h"
#include "sql/classify_cache.h"

namespace mirror {

// Who a session is, for the connection of its lane.
struct SessionFacts {
  uint64_t session = 0;
  std::string user;  // as whom the primary has logged it in
  std::string database;
  // Parameters of the StartupMessage but user, database and replication, in order.
  std::vector<std::pair<std::string, std::string>> parameters;
  // What the server has reported by now, where that is known.
  std::vector<std::pair<std::string, std::string>> reported;
};

// What Mirrors needs of its shard; everything outlives it.
struct MirrorsTools {
  io::Loop* loop = nullptr;
  backend::Epoch epoch;
  Shared* shared = nullptr;
  backend::Deriver* deriver = nullptr;  // null in tests: keys are derived on the spot
  OutcomeTaker* outcomes = nullptr;     // null: nobody asks
  io::Worker::Kind worker = io::Worker::Kind::kThread;  // of spills; in a simulation, inline
};

class Mirrors final : public OrderBoard::Shard {
 public:
  explicit Mirrors(const MirrorsTools& tools);
  ~Mirrors() override;
  Mirrors(const Mirrors&) = delete;
  Mirrors& operator=(const Mirrors&) = delete;

  // The configuration is another one, with the same mirrors: connections made from now on are made
  // by it.
  void Follow(const backend::Epoch& epoch) { tools_.epoch = epoch; }
  bool any() const { return filters_ != nullptr; }
  // Of the mirror at `index` in the configuration. Any thread.
  const MirrorMetrics& metrics(size_t index) const { return shadows_[index]->metrics(); }
  // Null if no mirror wants the session's database.
  std::unique_ptr<Recorder> Open(const SessionFacts& facts);
  // A captured session's lane of the first mirror, without a recorder: the caller offers its units.
  Target* OpenForReplay(const SessionFacts& facts);
  OutcomeTaker* outcomes() const { return tools_.outcomes; }
  // True exactly when clients are to wait (mirror_block) because a mirror has little room, or, for
  // one that `waits`, not much yet.
  bool Full(bool waits) const { return blocks_ && AnyFull(waits); }
  // False exactly if the last attempt of this shard to connect to it has failed. Any thread.
  bool reachable(size_t index) const { return shadows_[index]->reachable(); }
  // After the sessions have ended: waits until all is delivered, or `deadline`; then what is left
  // is dropped and every connection closed. For a mirror that cannot be reached nobody waits: the
  // lanes that have no connection to it are dropped at once.
  io::Task<void> Drain(base::Deadline deadline);
  // Any thread. `labels`: the shard's.
  void Describe(base::MetricSink* sink, std::string_view labels) const;

  // -- any thread, for Gate and OrderBoard --------------------------------------------------------
  void PostPlace(uint64_t lane);
  void PostShed(Gate* gate);
  void PostBlocked(Gate* gate, uint64_t stamp, bool at_work);
  void PostLook() override;

  // -- for lanes --------------------------------------------------------------------------------
  // Runs `lane`, which has work.
  void Start(Lane* lane);
  // Its session is over and its queue empty.
  void Retire(Lane* lane);
  // Gives up a connection of `shadow` that an idle lane holds and could have again, if possible
  // without losing the values that sequences gave.
  std::unique_ptr<Link> YieldOne(const Shadow* shadow);
  // Its lanes may dial now, or one of them must probe.
  void OnBreaker(const Shadow* shadow);
  // The last attempt to connect to it has failed.
  void OnUnreachable(Shadow* shadow);
  // Null once it is gone.
  Lane* FindLane(uint64_t id) const;
  // For a session of an earlier process.
  Lane* MakeLaneFor(Shadow* shadow, const SpillOwner& owner);
  // What its lanes had in the spill is lost.
  void OnAwayLost(const Shadow* shadow);
  void OnSpillClosed() { idle_.Raise(kSpillClosed); }
  io::Scope& tasks() { return tasks_; }
  const MirrorsTools& tools() const { return tools_; }
  backend::BackendMetrics* connection_metrics() { return &connection_metrics_; }

 private:
  template <typename Action>
  class ActionMessage;

  template <typename Action>
  void Post(Action action);

  static constexpr uint32_t kLaneEnded = 1;
  static constexpr uint32_t kSpillClosed = 2;

  io::Task<void> RunLane(Lane* lane);
  io::Task<void> GiveUp(Shadow* shadow);
  bool SpillsClosed() const;
  bool AnyFull(bool waits) const;
  Lane* MakeLane(Shadow* shadow, const SessionFacts& facts);
  Lane* AddLane(Shadow* shadow, uint64_t session, backend::LoginFacts login, std::string client);
  void Shed(const Gate* gate);
  void Look();
  io::Task<void> Sweep();
  void SweepOnce();

  MirrorsTools tools_;
  const base::Limits limits_;  // of the start: budgets do not change
  backend::BackendMetrics connection_metrics_;  // the mirrors' connections are not the backend's
  std::unique_ptr<Overflow> overflow_;  // only with a spill_dir; outlives who refers to its files
  std::vector<std::unique_ptr<Shadow>> shadows_;
  const bool blocks_;
  std::unique_ptr<Capture> capture_;            // only if traffic is captured
  std::unique_ptr<Filters> filters_;            // only with mirrors or that, as what follows
  sql::FunctionNames writing_functions_;
  std::unique_ptr<sql::ClassifyCache> cache_;
  std::unique_ptr<base::Credit> recording_;
  std::unique_ptr<base::Credit> names_;
  std::unordered_map<uint64_t, std::unique_ptr<Lane>> lanes_;
  uint64_t last_lane_ = 0;
  std::unordered_set<Recorder*> recorders_;  // open ones, if there is an overflow_
  bool draining_ = false;
  io::Event idle_;
  io::Event sweep_;
  io::Scope tasks_;
};

}  // namespace mirror
