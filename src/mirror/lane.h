// Lane: the ordered queue of one session's units for one mirror, and the connection they go over.
//
// Owned by the shard's Mirrors, on its shard. A unit is sent when those before it are settled and
// the Gate's start rule holds; its outcome is counted once. Run() is the task that delivers; it
// runs while there is work and ends when the queue is empty. The lane outlives its session until
// its queue is delivered.
//
// Failure: what was not sent waits, and the lane connects again with back-off; what was sent and
// not answered is dropped as unknown and never sent twice; what the mirror refuses is counted.
// State: SETs and PREPAREs are a journal that is replayed on a new connection; temporary objects
// and locks keep the connection, and if it is lost the lane counts what they are missed by.
// Bound: the mirror's budget in bytes; the journal kJournalMax entries.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/login.h"
#include "io/event.h"
#include "io/task.h"
#include "mirror/gate.h"
#include "mirror/link.h"
#include "mirror/recorder.h"
#include "mirror/unit.h"

namespace mirror {

class Shadow;
class Replay;

class Lane final : public Target {
 public:
  static constexpr size_t kJournalMax = 256;

  Lane(Shadow* shadow, uint64_t id, uint64_t session, backend::LoginFacts facts, std::string key);
  ~Lane() override;

  // -- Target -----------------------------------------------------------------------------------
  void OnForward() override;
  void Offer(const Unit& unit, Cause lost) override;
  void End() override;

  // -- the shard's ------------------------------------------------------------------------------
  io::Task<void> Run();
  // Ends at once, a dial under way too; what is queued is dropped.
  void Stop();
  bool connected() const { return link_ != nullptr && link_->alive(); }
  // Another stamp was resolved, or a connection's place is now this lane's.
  void Wake(bool placed);
  // A connection given back by another lane of the key.
  void Hand(std::unique_ptr<Link> link);
  // Gives up its connection if it can be had again: null if it cannot, or has none.
  std::unique_ptr<Link> Yield();

  uint64_t id() const { return id_; }
  const std::string& key() const { return key_; }
  bool running() const { return running_; }
  bool ended() const { return ended_; }
  const Shadow* shadow() const { return shadow_; }
  // Closes the connection it may have: the session is over.
  void LetGo();

 private:
  enum Bits : uint32_t { kWoken = 1, kNotes = 2, kOver = 4, kAnswered = 8 };
  enum class Flight : uint8_t { kAnswered, kLost, kTimeout, kStopped };
  struct Queued {
    Unit unit;
    Charge charge;
    uint64_t stamp = 0;
    uint64_t after = 0;  // stamps below it must be resolved first
  };
  struct Entry {  // of the journal
    std::string key;
    std::string text;
  };

  void Rest();
  bool MayStart();
  io::Task<void> AwaitTurn();
  bool LeaveRow();
  io::Task<void> Obtain();
  io::Task<void> Connect();
  void OnConnectFailed(const absl::Status& status);
  void Later();
  void Adopt(std::unique_ptr<Link> link);
  std::unique_ptr<Link> TakeLink();
  io::Task<void> DropLink();
  io::Task<void> Rebuild();
  io::Task<void> Deliver();
  io::Task<Flight> Fly(Replay* replay);
  bool Repeats(std::string_view sqlstate);
  static bool MissesState(std::string_view sqlstate);
  io::Task<void> Pause(base::Deadline until);
  void Settle(std::string_view sqlstate, Cause dropped);
  void LogDrop(Cause cause) const;
  void Remember();
  void Note(Step* step);
  void Forget(std::string_view prefix);

  Shadow* const shadow_;
  io::Loop* const loop_;
  const uint64_t id_;
  const uint64_t session_;
  const backend::LoginFacts facts_;
  const std::string key_;
  io::Event event_;
  std::deque<Queued> queue_;
  std::unique_ptr<Link> link_;
  Link* dialling_ = nullptr;  // while Connect waits for it
  std::vector<Entry> journal_;
  base::Instant retry_at_;
  uint64_t after_ = 0;
  uint32_t attempts_ = 0;       // connects that failed in a row
  uint32_t tries_ = 0;          // of the first unit, refused and to be repeated
  bool running_ = false;
  bool ended_ = false;          // true exactly when the session is over
  bool stopped_ = false;
  bool ordered_ = false;        // true exactly while the gate's order is to wake this
  bool in_row_ = false;         // true exactly while the gate's row of connections has this
  bool placed_ = false;         // true exactly with a place and no link for it yet
  bool rebuilt_ = false;        // true exactly when link_ has the journal's state
  bool troubled_ = false;       // a connection failed or was lost since the last success
  bool held_ = false;           // link_ holds what cannot be rebuilt
  bool held_lost_ = false;      // a connection that held such was lost
};

}  // namespace mirror
