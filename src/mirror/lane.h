// Lane: the ordered queue of one session's units for one mirror, and the connection they go over.
//
// Owned by the shard's Mirrors, on its shard. A unit is sent when those before it are settled and
// the rules of Order let it start; it commits when they let it commit; its outcome is counted once.
// Run() is the task that delivers (lane.cc: what the session hands over, connections; delivery.cc,
// delivery_order.cc, delivery_stored.cc, settle.cc: what becomes of a unit); it runs while there is
// work and ends when the queue is empty. The lane outlives its session until its queue is
// delivered.
//
// Failure: what was not sent waits, and the lane connects again with back-off. What was sent and
// not answered is looked up by its marker; without one it is dropped as unknown, never sent twice.
// What the mirror refuses is counted; what it refuses for what passes is tried again.
// State: see Journal. Bound: the mirror's budget in bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/login.h"
#include "io/event.h"
#include "io/task.h"
#include "mirror/gate.h"
#include "mirror/journal.h"
#include "mirror/link.h"
#include "mirror/order.h"
#include "mirror/pin.h"
#include "mirror/queued.h"
#include "mirror/recorder.h"
#include "mirror/spill_batch.h"
#include "mirror/unit.h"
#include "mirror/verdict.h"

namespace mirror {

class Shadow;
class Replay;

class Lane final : public Target, private OrderWaiter {
 public:
  // `client`: the user that its statements are run as, if that is not who the login is for.
  Lane(Shadow* shadow, uint64_t id, uint64_t session, backend::LoginFacts facts, std::string key,
       std::string client);
  ~Lane() override;

  // -- Target -----------------------------------------------------------------------------------
  void Expect() override;
  void Reserve(uint64_t stamp) override;
  void Release(uint64_t stamp) override;
  void Offer(Unit unit, Cause lost) override;
  void End() override;

  // -- the spill's, see Spill ---------------------------------------------------------------------
  // The oldest of its units that were away, with its number for Spill::OnSettled.
  void Return(Unit unit, Charge charge, uint64_t number);
  // One of an earlier process, whose place is new; the next one comes when this one is settled.
  void Bring(Unit unit, UnitTeller* teller, uint64_t number);
  // One of them, or all, will not come back.
  void OnAwayLost(const Unit& unit);
  void OnAllAwayLost();
  // What the session has set before its next unit is not known.
  void LoseState();
  // True exactly when the primary's session may have more state than at its start.
  bool has_state() const { return has_state_; }
  uint64_t away() const { return away_; }
  SpillOwner Owner() const;

  // -- the shard's ------------------------------------------------------------------------------
  io::Task<void> Run();
  // Ends at once, a dial under way too; what is queued is dropped.
  void Stop();
  bool connected() const { return link_ != nullptr && link_->alive(); }
  // A connection's place is now this lane's.
  void OnPlace();
  // The mirror may be dialled again, or this lane is to find out.
  void OnBreaker() { event_.Raise(kWoken); }
  // A transaction with a smaller stamp may be waiting for locks that this one's holds, or for a
  // connection. `at_work`: also if its statements are under way.
  void OnBlocked(uint64_t stamp, bool at_work);
  // A connection given back by another lane of the key.
  void Hand(std::unique_ptr<Link> link);
  // Gives up its connection if it does not work and, but for the values of sequences if those
  // may be lost, what it holds can be had again: else null, as when it has none.
  std::unique_ptr<Link> Yield(bool values_too);
  // True exactly when it has nothing to do and a connection that another lane may go on with.
  bool MayLend() const;

  uint64_t id() const { return id_; }
  const std::string& key() const { return key_; }
  bool running() const { return running_; }
  bool stopped() const { return stopped_; }
  // True exactly when nothing will come any more, from its session or the spill.
  bool over() const { return ended_ && !running_ && (away_ == 0 || stopped_); }
  const Shadow* shadow() const { return shadow_; }
  // Gives up the connection it may have: the session is over.
  void LetGo();

 private:
  enum Bits : uint32_t {
    kWoken = 1, kNotes = 2, kOver = 4, kAnswered = 8, kBlocking = 16, kDrained = 32,
  };
  enum class Flight : uint8_t { kAnswered, kLost, kTimeout, kStopped };
  // What is waited for: all answers; all to a unit; those of what Replay::AddAll sent; room for
  // more.
  enum class Until : uint8_t { kAnswered, kApplied, kTaken, kSent };
  enum class Plan : uint8_t {
    kAlone,  // without BEGIN and COMMIT
    kWhole,  // BEGIN to COMMIT at once
    kOpen,   // COMMIT when its turn has come
  };
  // How long a transaction may take before it is asked whether others are in its way.
  static absl::Duration Patience() { return absl::Milliseconds(20); }

  // -- lane.cc ------------------------------------------------------------------------------------
  void OnOrder() override;
  void Push(Queued&& queued);
  void NoteState(const Unit& unit);
  void OnAwayGone(uint64_t units);
  void KeepState(const Unit& unit);
  io::Task<void> Advance();
  void Rest();
  bool MayStart();
  static uint64_t NeedOf(const Unit& unit, const Step& step);
  bool Waits(Mark mark, uint64_t need);
  void StopWaiting();
  bool Careful(const Queued& front) const;
  io::Task<void> AwaitTurn();
  bool Outranked() const;
  bool LeaveRow();
  io::Task<void> Obtain();
  io::Task<void> AwaitPlace();
  io::Task<void> Connect();
  void OnConnectFailed(const absl::Status& status);
  void Later();
  void Adopt(std::unique_ptr<Link> link);
  std::unique_ptr<Link> TakeLink();
  void LoseLink();
  io::Task<void> DropLink();

  // -- lane_pins.cc -------------------------------------------------------------------------------
  struct PinWork;
  io::Task<void> PinValues();
  bool Begin(PinWork* work, Step* step);
  std::string TableKey(const std::vector<std::string>& table,
                       const std::vector<std::string>& settings) const;
  io::Task<void> LookUp(const std::string& key, const std::vector<std::string>& table,
                        const std::vector<std::string>& settings);
  void Pin(const PinWork& work, Step* step);
  void LeaveUnpinned(Unpinned why);
  void LeaveStored(const Step& step);
  bool PinsRefused(std::string_view sqlstate);
  void CountPins();

  // -- delivery.cc --------------------------------------------------------------------------------
  io::Task<void> OpenMarker();
  io::Task<void> TakeRole();
  io::Task<void> Rebuild();
  io::Task<void> EndStale();
  io::Task<void> AsLogin();
  io::Task<void> ResolveDoubt();
  io::Task<void> Deliver();
  io::Task<void> Commit(Replay* replay, Flight* flight, bool* sent);
  io::Task<bool> AwaitOthers(Mark mark, uint64_t need, Flight* flight);
  io::Task<void> BreakOff(Replay* replay, Flight* flight);
  io::Task<void> AwaitCommit(Flight* flight);
  io::Task<bool> SendInParts(Replay* replay, Flight* flight);
  io::Task<void> TakeBack();
  void Undo();
  io::Task<void> Conclude(Flight flight, const Replay* replay, bool may_have_committed);
  io::Task<void> OnNotAnswered(Flight flight, bool may_have_committed);
  io::Task<void> OnRefused(const std::string& sqlstate, bool mark_failed);
  io::Task<Flight> Fly(Replay* replay, Until until = Until::kAnswered);
  bool Reached(Until until, const Replay& replay);
  io::Task<void> Cancel();
  io::Task<Flight> Ask(Replay* replay);
  Plan PlanFor(const Queued& front) const;
  bool Marks(const Queued& front) const;
  Parsed* ParsedFor(Queued* front);
  std::string BeforeSending(Replay* replay);
  void Send(Plan plan, Replay* replay);
  bool MayRunAgain();
  io::Task<void> Pause(base::Deadline until);
  void Drop(Cause cause) { Settle(Verdict{.dropped = cause}); }

  // -- settle.cc ----------------------------------------------------------------------------------
  void Settle(const Verdict& verdict);
  void Remember(bool applied);
  void Count(const Verdict& verdict);
  void Tell(const Verdict& verdict) const;
  void LogDrop(Cause cause) const;

  // -- delivery_stored.cc -------------------------------------------------------------------------
  io::Task<Flight> SendStored(Plan plan, Replay* replay, Cause* lost);
  io::Task<Flight> SendStoredStep(const Step* step, Replay* replay, Cause* lost);
  Cause AddStored(const std::string& bytes, Replay* replay);
  void OnStoredLost(const absl::Status& status) const;
  io::Task<void> GiveUpStored(Flight flight, Replay* replay, Cause lost);

  Shadow* const shadow_;
  io::Loop* const loop_;
  const uint64_t id_;
  const uint64_t session_;
  const backend::LoginFacts facts_;
  const std::string key_;
  const std::string client_;  // empty: who logs in
  io::Event event_;
  std::deque<Queued> queue_;
  std::vector<backend::Note> notes_;  // taken last; kept for its memory
  uint64_t away_ = 0;  // units in the spill, all behind those in queue_
  std::unique_ptr<Link> link_;
  Link* dialling_ = nullptr;  // while Connect waits for it
  Journal journal_;
  std::optional<Doubt> doubt_;  // about the first unit
  std::optional<uint64_t> stale_;  // by its marker, a connection whose backend may still run
  base::Instant retry_at_;
  base::Instant waits_from_;    // while `waits_`
  base::Instant rests_from_;    // unless it runs
  uint32_t attempts_ = 0;       // connects that failed in a row
  bool running_ = false;
  bool ended_ = false;          // true exactly when the session is over
  bool stopped_ = false;
  bool has_state_ = false;
  bool waits_ = false;          // true exactly while the order is to tell this
  bool holding_ = false;        // true exactly while it waits for others with what it has done
  bool yields_ = false;         // true exactly while its unit may be cancelled for one before it
  bool in_row_ = false;         // true exactly while the gate's row of connections has this
  bool placed_ = false;         // true exactly with a place and no link for it yet
  bool rebuilt_ = false;        // true exactly when link_ has the journal's state
  bool troubled_ = false;       // a connection failed or was lost since the last success
};

}  // namespace mirror
