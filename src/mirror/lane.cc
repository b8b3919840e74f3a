#include "mirror/lane.h"

#include <algorithm>
#include <utility>

#include "backend/dial.h"
#include "base/log.h"
#include "base/status.h"
#include "mirror/backoff.h"
#include "mirror/mirrors.h"
#include "mirror/next_round.h"
#include "mirror/shadow.h"
#include "mirror/trace.h"

namespace mirror {
namespace {

absl::Duration FirstPause() { return absl::Milliseconds(50); }
absl::Duration LongestPause() { return absl::Seconds(5); }
// How long state keeps a connection that is scarce from those its lane waits for.
absl::Duration StatePatience() { return absl::Seconds(2); }
// A drain waits for the first dial to fail: a mirror that needs longer is tried again.
// The longest statement that is kept for what it makes of the session, when its unit is dropped.
constexpr size_t kStateBytesMax = 16 * 1024;

}  // namespace

Lane::Lane(Shadow* shadow, uint64_t id, uint64_t session, backend::LoginFacts facts,
           std::string key, std::string client)
    : shadow_(shadow),
      loop_(shadow->mirrors()->tools().loop),
      id_(id),
      session_(session),
      facts_(std::move(facts)),
      key_(std::move(key)),
      client_(std::move(client)),
      event_(loop_) {}

Lane::~Lane() = default;

// -- what the session hands over ------------------------------------------------------------------

void Lane::Expect() { shadow_->order().Expect(shadow_->clock()->now()); }

void Lane::Reserve(uint64_t stamp) { shadow_->order().Reserve(stamp); }

void Lane::Release(uint64_t stamp) { shadow_->order().Release(stamp); }

void Lane::Offer(Unit unit, Cause lost) {
  MirrorMetrics& metrics = shadow_->metrics();
  metrics.offered.Add();
  unit.place.is_explicit = unit.block();
  if (lost == Cause::kNone && unit.meets) {
    shadow_->ledger()->RecordUnit(unit, Cause::kOrderUnknown, "");
  }
  Spill* const spill = shadow_->spill();
  const bool behind = spill != nullptr && spill->holds();  // then memory would overtake the disk
  Charge charge;
  if (lost == Cause::kNone && (behind || !charge.Take(shadow_->credit(), unit.bytes))) {
    if (spill != nullptr && spill->Take(*this, unit)) {
      ++away_;
      NoteState(unit);
      return;
    }
    // Who would have to wait has committed already: the session waits from now on.
    const bool goes = !behind && (shadow_->blocks() || unit.ends_prepared());
    lost = goes ? Cause::kNone : Cause::kOverBudget;
  }
  if (lost != Cause::kNone) {
    shadow_->order().Unexpect();  // nobody waits for it
    shadow_->ledger()->RecordUnit(unit, lost, "");
    metrics.Drop(lost);
    LogDrop(lost);
    KeepState(unit);
    return;
  }
  shadow_->order().Add(unit.place);
  metrics.queued_units.Add(1);
  metrics.queued_bytes.Add(unit.bytes);
  NoteState(unit);
  Queued queued;
  queued.unit = std::move(unit);
  queued.charge = std::move(charge);
  Push(std::move(queued));
}

void Lane::NoteState(const Unit& unit) {
  for (const Step& step : unit.steps) {
    if (step.trace == Trace::kDiscard) {
      has_state_ = false;
    } else if (step.trace != Trace::kNone && step.trace != Trace::kDiscardTemp) {
      has_state_ = true;
    }
  }
}

void Lane::Push(Queued&& queued) {
  queue_.push_back(std::move(queued));
  if (!running_) {
    running_ = true;
    shadow_->RemoveResting(this);
    shadow_->mirrors()->Start(this);
  }
}

// Of a unit that does not go: the primary's session has its settings, so the mirror's must. What
// cannot be kept for want of room is missed, as what cannot be rebuilt is.
void Lane::KeepState(const Unit& unit) {
  for (const Step& kept : unit.steps) {
    const bool drop = IsDrop(kept) && has_state_ && away_ == 0;  // perhaps of a temporary table
    if (kept.trace == Trace::kNone && !drop) {
      continue;
    }
    Step step = kept;
    if (TextOf(step).size() > kStateBytesMax) {
      step = Step();
      step.trace = Trace::kHeld;
    }
    if (away_ > 0) {  // its place is behind what is on the disk, which nothing here can tell
      step = Step();
      step.trace = Trace::kLost;
    }
    if (queue_.empty()) {
      const bool leaves = link_ != nullptr && journal_.WouldKeep(step);
      journal_.Note(&step, false);
      rebuilt_ = false;
      if (leaves) {
        LoseLink();
      }
      continue;
    }
    std::vector<Step>& behind = queue_.back().behind;
    std::erase_if(behind, [&](const Step& other) {
      return !drop && other.trace == step.trace && other.key == step.key;
    });
    if (behind.size() < Journal::kMax) {
      behind.push_back(std::move(step));
    } else {
      behind.back() = Step();
      behind.back().trace = Trace::kHeld;
    }
  }
}

void Lane::End() {
  ended_ = true;
  if (over()) {
    shadow_->mirrors()->Retire(this);
  }
}

void Lane::Return(Unit unit, Charge charge, uint64_t number) {
  --away_;
  Queued queued;
  queued.unit = std::move(unit);
  queued.charge = std::move(charge);
  queued.teller = shadow_->spill();
  queued.number = number;
  Push(std::move(queued));
}

void Lane::Bring(Unit unit, UnitTeller* teller, uint64_t number) {
  MirrorMetrics& metrics = shadow_->metrics();
  metrics.offered.Add();
  metrics.queued_units.Add(1);
  metrics.queued_bytes.Add(unit.bytes);
  shadow_->order().Add(unit.place);
  Queued queued;
  queued.unit = std::move(unit);
  queued.teller = teller;
  queued.number = number;
  Push(std::move(queued));
}

void Lane::OnAwayLost(const Unit& unit) {
  KeepState(unit);
  OnAwayGone(1);
}

void Lane::OnAllAwayLost() {
  if (has_state_) {
    LoseState();
  }
  OnAwayGone(away_);
}

void Lane::LoseState() {
  Unit unknown;
  unknown.steps.emplace_back();
  unknown.steps[0].trace = Trace::kLost;
  KeepState(unknown);
}

void Lane::OnAwayGone(uint64_t units) {
  away_ -= units;
  if (over()) {
    shadow_->mirrors()->Retire(this);
  }
}

SpillOwner Lane::Owner() const {
  return SpillOwner{.lane = id_, .session = session_, .database = facts_.database,
                    .client = client_, .parameters = facts_.parameters};
}

// -- the task -------------------------------------------------------------------------------------

io::Task<void> Lane::Run() {
  NextRound next{loop_};
  co_await next;  // delivery never begins within a session's own call
  for (;;) {
    while (!queue_.empty() && !stopped_) {
      co_await Advance();
    }
    while (in_row_ && !LeaveRow()) {
      co_await event_.Wait();  // a place is on its way to us
    }
    if (queue_.empty() || stopped_) {
      break;
    }
  }
  StopWaiting();
  shadow_->StopProbing(this);
  while (!queue_.empty()) {
    Drop(Cause::kShutdown);
  }
  if (placed_) {
    placed_ = false;
    shadow_->gate()->Leave();
  }
  running_ = false;
  Rest();
  rests_from_ = loop_->now();
  if (link_ != nullptr) {
    shadow_->AddResting(this);
  }
}

// The first thing that the first unit lacks.
io::Task<void> Lane::Advance() {
  if (!MayStart()) {
    co_await AwaitTurn();
  } else if (link_ != nullptr && !link_->alive()) {
    co_await DropLink();
  } else if (link_ != nullptr && Outranked()) {
    shadow_->GiveBack(TakeLink());
  } else if (link_ == nullptr) {
    co_await Obtain();
  } else if (!link_->asked()) {
    co_await OpenMarker();
  } else if (stale_.has_value()) {
    co_await EndStale();
  } else if (doubt_.has_value()) {
    co_await ResolveDoubt();
  } else if (!client_.empty() && !link_->role_known()) {
    co_await TakeRole();
  } else if (!rebuilt_) {
    co_await Rebuild();
  } else if (shadow_->pins() && queue_.front().pinning.schema != shadow_->schema()) {
    co_await PinValues();
  } else {
    co_await Deliver();
  }
}

// Whoever it waits for may be waiting for this connection, so it is not kept where they are scarce.
// State that cannot be rebuilt is lost with it only if nothing has moved for long.
io::Task<void> Lane::AwaitTurn() {
  if (shadow_->gate()->contended()) {
    Rest();
  }
  const bool keeps = link_ != nullptr && journal_.held();
  const uint32_t bits = co_await event_.Wait(keeps ? loop_->In(StatePatience())
                                                   : base::Deadline::Never());
  const bool long_since = (bits & io::Event::kTimeout) != 0;
  if (long_since && waits_ && shadow_->gate()->contended()) {
    co_await DropLink();
  }
}

// True if somebody that this unit may have to wait for needs a connection.
bool Lane::Outranked() const {
  return !journal_.held() && shadow_->order().on() &&
         shadow_->gate()->first() < queue_.front().unit.place.stamp;
}

// With nothing to do: the connection stays, since it knows what sequences gave this session
// (currval), until somebody else needs one.
void Lane::Rest() {
  if (link_ != nullptr && !journal_.held() && shadow_->gate()->contended()) {
    shadow_->GiveBack(TakeLink());
  }
}

void Lane::LetGo() {
  shadow_->RemoveResting(this);
  if (link_ != nullptr) {
    shadow_->GiveBack(TakeLink());
  }
}

bool Lane::MayLend() const {
  return !running_ && connected() && rebuilt_ && !journal_.held() && !journal_.stained();
}

std::unique_ptr<Link> Lane::TakeLink() {
  link_->SetStained(journal_.stained() || !rebuilt_);
  rebuilt_ = false;
  journal_.OnLost();
  link_->connection().EndLease();
  return std::move(link_);
}

// It keeps what the primary has dropped.
void Lane::LoseLink() {
  shadow_->RemoveResting(this);
  shadow_->Discard(TakeLink());
}

std::unique_ptr<Link> Lane::Yield(bool values_too) {
  const bool works = running_ && (!waits_ || holding_);
  const bool held = values_too ? journal_.tied() : journal_.held();
  if (works || held || link_ == nullptr) {
    return nullptr;
  }
  shadow_->RemoveResting(this);
  return TakeLink();
}

void Lane::Stop() {
  stopped_ = true;
  if (dialling_ != nullptr) {
    dialling_->Abort();
  }
  event_.Raise(kWoken);
  if (!running_) {  // only what is in the spill has kept it
    running_ = true;
    shadow_->mirrors()->Start(this);
  }
}

void Lane::OnPlace() {
  placed_ = true;
  in_row_ = false;
  shadow_->RemoveWaiting(this);
  event_.Raise(kWoken);
}

void Lane::OnOrder() {
  waits_ = false;
  event_.Raise(kWoken);
}

void Lane::OnBlocked(uint64_t stamp, bool at_work) {
  const bool behind = !queue_.empty() && queue_.front().unit.place.stamp > stamp;
  if (holding_ && behind) {
    shadow_->BeCareful();
    event_.Raise(kBlocking);
  } else if (at_work && waits_ && queue_.front().unit.ends_prepared()) {
    // What is blocked may wait for its locks, while it waits for that one. All that it does has
    // been done, so going before its turn is at worst seen by who reads meanwhile.
    queue_.front().hurried = true;
    event_.Raise(kWoken);
  } else if (at_work && yields_ && behind) {
    event_.Raise(kBlocking);
  } else if (!running_ && link_ != nullptr && shadow_->gate()->contended() &&
             loop_->now() >= rests_from_ + StatePatience()) {
    LetGo();
  }
}

void Lane::Hand(std::unique_ptr<Link> link) {
  in_row_ = false;
  shadow_->RemoveWaiting(this);
  Adopt(std::move(link));
  event_.Raise(kWoken);
}

bool Lane::LeaveRow() {
  if (!shadow_->gate()->Forget(Waiter{shadow_->mirrors(), id_})) {
    return false;
  }
  in_row_ = false;
  shadow_->RemoveWaiting(this);
  return true;
}

// True exactly if there is something to wait for; then OnOrder() comes.
bool Lane::Waits(Mark mark, uint64_t need) {
  waits_ = !shadow_->order().Passed(mark, need, this);
  return waits_;
}

void Lane::StopWaiting() {
  if (waits_) {
    shadow_->order().Forget(this);
    waits_ = false;
  }
}

// True if its statements are to wait for those of the transactions before it.
bool Lane::Careful(const Queued& front) const {
  return front.reordered || (front.unit.place.is_explicit && shadow_->careful());
}

// By when, on the clock, what the session could have seen before this statement was acknowledged.
uint64_t Lane::NeedOf(const Unit& unit, const Step& step) {
  return step.seen == 0 ? unit.after : step.seen;
}

// The start rule, for the first statement of several; the others follow by SendInParts(). What
// cannot wait before its COMMIT waits here for the transactions that it would overtake.
bool Lane::MayStart() {
  if (queue_.front().hurried) {
    StopWaiting();
    return true;
  }
  if (waits_) {
    return false;
  }
  const Queued& front = queue_.front();
  const Place& place = front.unit.place;
  if (waits_from_ == base::Instant()) {
    waits_from_ = loop_->now();
  }
  const bool parts = front.unit.block() && !front.unit.stored() && !front.unit.steps.empty();
  const uint64_t seen = parts ? NeedOf(front.unit, front.unit.steps.front()) : front.unit.after;
  if (Waits(Mark::kAcked, seen) ||
      ((front.serial || front.unit.commits) && Waits(Mark::kOpen, place.stamp - 1)) ||
      (Careful(front) && Waits(Mark::kRun, place.stamp - 1)) ||
      (front.unit.behind != 0 && front.unit.block() && Waits(Mark::kRun, front.unit.behind)) ||
      (!place.is_explicit && Waits(Mark::kExplicit, place.stamp - 1))) {
    return false;
  }
  return true;
}

// -- connections ----------------------------------------------------------------------------------

io::Task<void> Lane::Obtain() {
  const base::Instant at = std::max(retry_at_, shadow_->breaker().DialAt(this, loop_->now()));
  if (loop_->now() < at && !in_row_ && !placed_) {
    co_await event_.Wait(at);
    co_return;
  }
  if (!placed_ && !in_row_) {
    std::unique_ptr<Link> idle = shadow_->TakeIdle(key_);
    if (idle != nullptr) {
      Adopt(std::move(idle));
      co_return;
    }
    const Waiter self{shadow_->mirrors(), id_};
    placed_ = shadow_->gate()->EnterOrWait(queue_.front().unit.place.stamp, self);
    if (!placed_) {
      in_row_ = true;
      shadow_->AddWaiting(this);
    }
  }
  if (placed_) {
    co_await Connect();
  } else {
    co_await AwaitPlace();
  }
}

// Once all others wait for this one's transaction, the last place is its own; and who holds a
// connection only to commit behind it lets go.
io::Task<void> Lane::AwaitPlace() {
  const uint64_t stamp = queue_.front().unit.place.stamp;
  if (!shadow_->order().on()) {
    co_await event_.Wait();
  } else if (Waits(Mark::kOpen, stamp - 1)) {
    co_await event_.Wait();
    StopWaiting();
  } else {
    shadow_->gate()->Retry();
    co_await event_.Wait(loop_->In(Patience()));
    if (in_row_) {
      shadow_->gate()->AskToYield(stamp, false);
    }
  }
}

io::Task<void> Lane::Connect() {
  const config::Server* const server = shadow_->server();
  const base::Deadline deadline = shadow_->DialDeadline();
  std::unique_ptr<Link> link = shadow_->NewLink(key_);
  const backend::Epoch epoch = shadow_->mirrors()->tools().epoch;
  const backend::Dialler* const dialler = epoch->dialler.get();
  dialling_ = link.get();
  const absl::Status status = co_await link->Open(server, dialler, &facts_, deadline);
  dialling_ = nullptr;
  placed_ = false;
  if (!status.ok()) {
    co_await link->Close();
    link.reset();
    shadow_->gate()->Leave();
    if (!stopped_) {
      OnConnectFailed(status);
    }
    co_return;
  }
  shadow_->SetReachable(true);
  shadow_->OnOpened();
  if (troubled_) {
    shadow_->metrics().reconnects.Add();
  }
  troubled_ = false;
  attempts_ = 0;
  Adopt(std::move(link));
}

void Lane::OnConnectFailed(const absl::Status& status) {
  shadow_->LogConnectFailed(status);
  if (status.code() == absl::StatusCode::kNotFound) {
    // There is no such database: a verdict. Waiting for one would hold up all that comes after.
    if (doubt_.has_value()) {
      Drop(Cause::kOutcomeUnknown);
    } else {
      Settle(Verdict{.sqlstate = "3D000"});
    }
    return;
  }
  Later();
  shadow_->SetReachable(false);
}

void Lane::Later() {
  troubled_ = true;
  retry_at_ = loop_->In(FullJitter(&loop_->prng(), FirstPause(), LongestPause(), attempts_));
  ++attempts_;
}

void Lane::Adopt(std::unique_ptr<Link> link) {
  link_ = std::move(link);
  rebuilt_ = journal_.empty();
  backend::Leg leg;
  leg.event = &event_;
  leg.note_bit = kNotes;
  leg.over_bit = kOver;
  leg.ready_bit = kAnswered;
  leg.owner = id_;
  leg.notes = &link_->check();
  link_->connection().Lease(leg);
}

io::Task<void> Lane::DropLink() {
  troubled_ = true;
  std::unique_ptr<Link> link = TakeLink();
  shadow_->OnClosed();
  co_await link->Close();
  link.reset();
  shadow_->gate()->Leave();
}

}  // namespace mirror
