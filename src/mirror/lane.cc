#include "mirror/lane.h"

#include <algorithm>
#include <utility>

#include "backend/dial.h"
#include "base/log.h"
#include "base/status.h"
#include "mirror/mirrors.h"
#include "mirror/replay.h"
#include "mirror/shadow.h"
#include "mirror/trace.h"

namespace mirror {
namespace {

constexpr uint32_t kTriesMax = 5;  // of a unit that met a serialization failure or a deadlock
absl::Duration FirstPause() { return absl::Milliseconds(50); }
absl::Duration LongestPause() { return absl::Seconds(5); }
// How long state keeps a connection that is scarce from those its lane waits for.
absl::Duration StatePatience() { return absl::Seconds(2); }
// A drain waits for the first dial to fail: a mirror that needs longer is tried again.
absl::Duration DialTime() { return absl::Seconds(5); }

// Anything between zero and a bound that doubles: lanes that failed together do not come back
// together.
absl::Duration Jitter(base::Prng* prng, uint32_t attempts) {
  const absl::Duration bound =
      std::min(LongestPause(), FirstPause() * (int64_t{1} << std::min(attempts, 10u)));
  return bound * prng->Unit();
}

// Lets the shard's other work go first: delivery begins in the next round, never within a
// session's own call.
struct NextRound {
  io::Loop* loop;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const { loop->MakeReady(waiter); }
  void await_resume() const {}
};

}  // namespace

Lane::Lane(Shadow* shadow, uint64_t id, uint64_t session, backend::LoginFacts facts,
           std::string key)
    : shadow_(shadow),
      loop_(shadow->mirrors()->tools().loop),
      id_(id),
      session_(session),
      facts_(std::move(facts)),
      key_(std::move(key)),
      event_(loop_) {}

Lane::~Lane() = default;

// -- what the session hands over ------------------------------------------------------------------

void Lane::OnForward() { after_ = shadow_->gate()->next(); }

void Lane::Offer(const Unit& unit, Cause lost) {
  MirrorMetrics& metrics = shadow_->metrics();
  metrics.offered.Add();
  Charge charge;
  if (lost == Cause::kNone && !charge.Take(shadow_->credit(), unit.bytes)) {
    lost = Cause::kOverBudget;
  }
  if (lost != Cause::kNone) {
    shadow_->ledger()->RecordUnit(unit, lost, "");
    metrics.Drop(lost);
    LogDrop(lost);
    return;
  }
  Queued queued;
  queued.unit = unit;
  queued.charge = std::move(charge);
  queued.stamp = shadow_->gate()->Stamp();
  queued.after = after_;
  queue_.push_back(std::move(queued));
  metrics.queued_units.Add(1);
  metrics.queued_bytes.Add(unit.bytes);
  if (!running_) {
    running_ = true;
    shadow_->mirrors()->Start(this);
  }
}

void Lane::End() {
  ended_ = true;
  if (!running_) {
    shadow_->mirrors()->Retire(this);
  }
}

// -- the task -------------------------------------------------------------------------------------

io::Task<void> Lane::Run() {
  NextRound next{loop_};
  co_await next;
  for (;;) {
    while (!queue_.empty() && !stopped_) {
      if (!MayStart()) {
        co_await AwaitTurn();
      } else if (link_ != nullptr && !link_->alive()) {
        co_await DropLink();
      } else if (link_ == nullptr) {
        co_await Obtain();
      } else if (!rebuilt_) {
        co_await Rebuild();
      } else {
        co_await Deliver();
      }
    }
    while (in_row_ && !LeaveRow()) {
      co_await event_.Wait();  // a place is on its way to us
    }
    if (queue_.empty() || stopped_) {
      break;
    }
  }
  while (!queue_.empty()) {
    Settle("", Cause::kShutdown);
  }
  if (placed_) {
    placed_ = false;
    shadow_->gate()->Leave();
  }
  running_ = false;
  Rest();
}

// Whoever it waits for may be waiting for this connection, so it is not kept where they are scarce.
// State that cannot be rebuilt is lost with it only if nothing has moved for long.
io::Task<void> Lane::AwaitTurn() {
  if (shadow_->gate()->contended()) {
    Rest();
  }
  const bool keeps = link_ != nullptr && held_;
  const uint32_t bits = co_await event_.Wait(keeps ? loop_->In(StatePatience())
                                                   : base::Deadline::Never());
  const bool long_since = (bits & io::Event::kTimeout) != 0;
  if (long_since && ordered_ && shadow_->gate()->contended()) {
    co_await DropLink();
  }
}

// With nothing to do: the connection goes back, unless it holds what is this session's alone.
void Lane::Rest() {
  if (link_ == nullptr || held_ || !journal_.empty()) {
    if (link_ != nullptr && !held_ && shadow_->gate()->contended()) {
      shadow_->Discard(TakeLink());
    }
    return;
  }
  shadow_->GiveBack(TakeLink());
}

void Lane::LetGo() {
  if (link_ != nullptr) {
    shadow_->Discard(TakeLink());
  }
}

std::unique_ptr<Link> Lane::TakeLink() {
  rebuilt_ = false;
  link_->connection().EndLease();
  return std::move(link_);
}

std::unique_ptr<Link> Lane::Yield() {
  const bool works = running_ && !ordered_;
  return works || held_ || link_ == nullptr ? nullptr : TakeLink();
}

void Lane::Stop() {
  stopped_ = true;
  if (dialling_ != nullptr) {
    dialling_->Abort();
  }
  event_.Raise(kWoken);
}

void Lane::Wake(bool placed) {
  if (placed) {
    placed_ = true;
    in_row_ = false;
    shadow_->RemoveWaiting(this);
  } else {
    ordered_ = false;
  }
  event_.Raise(kWoken);
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

bool Lane::MayStart() {
  if (ordered_) {
    return false;
  }
  const Waiter self{shadow_->mirrors(), id_};
  ordered_ = !shadow_->gate()->Passed(queue_.front().after, self);
  return !ordered_;
}

// -- connections ----------------------------------------------------------------------------------

io::Task<void> Lane::Obtain() {
  if (loop_->now() < retry_at_) {
    co_await event_.Wait(retry_at_);
    co_return;
  }
  if (!placed_ && !in_row_) {
    std::unique_ptr<Link> idle = shadow_->TakeIdle(key_);
    if (idle != nullptr) {
      Adopt(std::move(idle));
      co_return;
    }
    const Waiter self{shadow_->mirrors(), id_};
    placed_ = shadow_->gate()->EnterOrWait(self);
    if (!placed_) {
      in_row_ = true;
      shadow_->AddWaiting(this);
    }
  }
  if (placed_) {
    co_await Connect();
  } else {
    co_await event_.Wait();
  }
}

io::Task<void> Lane::Connect() {
  const config::Server* const server = shadow_->server();
  const absl::Duration configured = backend::ConnectTimeout(*server, loop_->limits());
  const base::Deadline deadline = loop_->In(std::min(configured, DialTime()));
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
  shadow_->metrics().connections.Add(1);
  if (troubled_) {
    shadow_->metrics().reconnects.Add();
  }
  troubled_ = false;
  attempts_ = 0;
  Adopt(std::move(link));
}

void Lane::OnConnectFailed(const absl::Status& status) {
  if (shadow_->MayLogFailure(loop_->now())) {
    base::Log(base::LogLevel::kWarn, "mirror.connect_failed",
              {{"mirror", shadow_->server()->name},
               {"address", shadow_->server()->Address()},
               {"why", base::Message(status)}});
  }
  if (status.code() == absl::StatusCode::kNotFound) {
    // There is no such database: a verdict. Waiting for one would hold up all that comes after.
    Settle("3D000", Cause::kNone);
    return;
  }
  Later();
  shadow_->SetReachable(false);
}

void Lane::Later() {
  troubled_ = true;
  retry_at_ = loop_->In(Jitter(&loop_->prng(), attempts_));
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
  link_->connection().Lease(leg);
}

io::Task<void> Lane::DropLink() {
  troubled_ = true;
  held_lost_ = held_lost_ || held_;
  held_ = false;
  std::unique_ptr<Link> link = TakeLink();
  shadow_->metrics().connections.Add(-1);
  co_await link->Close();
  link.reset();
  shadow_->gate()->Leave();
}

// A new connection gets the settings and prepared statements of the session.
io::Task<void> Lane::Rebuild() {
  Replay replay(&link_->connection());
  for (const Entry& entry : journal_) {
    replay.Query(entry.text);
  }
  replay.Finish();
  const Flight flight = co_await Fly(&replay);
  if (flight != Flight::kAnswered) {
    co_await DropLink();
    Later();
    co_return;
  }
  rebuilt_ = true;
  if (!replay.sqlstate().empty()) {
    held_lost_ = true;
    base::Log(base::LogLevel::kWarn, "mirror.state_not_rebuilt",
              {{"mirror", shadow_->server()->name},
               {"session", session_},
               {"sqlstate", replay.sqlstate()}});
  }
}

// -- units ----------------------------------------------------------------------------------------

io::Task<void> Lane::Deliver() {
  Replay replay(&link_->connection());
  replay.Send(queue_.front().unit);
  if (replay.failed()) {
    co_await DropLink();
    Settle("", Cause::kTooLarge);
    co_return;
  }
  const Flight flight = co_await Fly(&replay);
  const bool idle = flight == Flight::kAnswered && link_->connection().machine().status() == 'I';
  if (!idle) {
    co_await DropLink();
  }
  switch (flight) {
    case Flight::kAnswered:
      break;
    case Flight::kLost:
      Settle("", Cause::kOutcomeUnknown);
      co_return;
    case Flight::kTimeout:
      Settle("", Cause::kTimeout);
      co_return;
    case Flight::kStopped:
      co_return;  // Run drops it
  }
  if (Repeats(replay.sqlstate())) {
    co_await Pause(loop_->In(Jitter(&loop_->prng(), tries_)));
    co_return;
  }
  if (replay.sqlstate().empty()) {
    Remember();
    Settle("", Cause::kNone);
  } else if (held_lost_ && MissesState(replay.sqlstate())) {
    Settle("", Cause::kStateLost);
  } else {
    Settle(replay.sqlstate(), Cause::kNone);
  }
}

// True exactly for what an object or a prepared statement that is gone is missed by.
bool Lane::MissesState(std::string_view sqlstate) {
  return sqlstate == "42P01" || sqlstate == "26000" || sqlstate == "34000";
}

// Waits until all that was sent is answered.
io::Task<Lane::Flight> Lane::Fly(Replay* replay) {
  backend::Connection& connection = link_->connection();
  const base::Deadline deadline = loop_->In(loop_->limits().mirror_timeout);
  std::vector<backend::Note> notes;
  bool late = false;
  for (;;) {
    connection.TakeNotes(&notes);
    replay->OnNotes(notes);
    if (!connection.machine().owes() && !connection.machine().failed()) {
      co_return Flight::kAnswered;
    }
    if (connection.over() || connection.machine().failed()) {
      co_return Flight::kLost;
    }
    if (stopped_) {
      co_return Flight::kStopped;
    }
    if (late) {
      co_return Flight::kTimeout;
    }
    const uint32_t bits = co_await event_.Wait(deadline);
    late = (bits & io::Event::kTimeout) != 0;
  }
}

bool Lane::Repeats(std::string_view sqlstate) {
  if ((sqlstate != "40001" && sqlstate != "40P01") || tries_ >= kTriesMax) {
    return false;
  }
  ++tries_;
  shadow_->metrics().retries.Add();
  return true;
}

io::Task<void> Lane::Pause(base::Deadline until) {
  while (loop_->now() < until && !stopped_) {
    co_await event_.Wait(until);
  }
}

// The first unit has met its fate: refused with `sqlstate`, dropped, or delivered.
void Lane::Settle(std::string_view sqlstate, Cause dropped) {
  MirrorMetrics& metrics = shadow_->metrics();
  const Queued& front = queue_.front();
  if (dropped != Cause::kNone) {
    shadow_->ledger()->RecordUnit(front.unit, dropped, "");
    metrics.Drop(dropped);
    if (dropped != Cause::kShutdown) {  // of those, Drain says how many
      LogDrop(dropped);
    }
  } else if (!sqlstate.empty()) {
    shadow_->ledger()->RecordUnit(front.unit, Cause::kRefused, sqlstate);
    metrics.refused.Add();
    base::Log(base::LogLevel::kWarn, "mirror.refused",
              {{"mirror", shadow_->server()->name},
               {"session", session_},
               {"sqlstate", sqlstate},
               {"class", sqlstate.substr(0, 2)},
               {"statements", front.unit.steps.size()}});
  } else {
    metrics.delivered.Add();
    metrics.statements.Add(front.unit.steps.size());
    metrics.lag.Record(loop_->now() - front.unit.committed);
  }
  metrics.queued_units.Add(-1);
  metrics.queued_bytes.Add(-front.unit.bytes);
  const uint64_t stamp = front.stamp;
  queue_.pop_front();
  tries_ = 0;
  shadow_->gate()->Resolve(stamp);
}

void Lane::LogDrop(Cause cause) const {
  base::Log(base::LogLevel::kWarn, "mirror.dropped",
            {{"mirror", shadow_->server()->name}, {"session", session_}, {"cause", Name(cause)}});
}

// -- the session's state --------------------------------------------------------------------------

void Lane::Remember() {
  for (Step& step : queue_.front().unit.steps) {
    Note(&step);
  }
}

void Lane::Note(Step* step) {
  switch (step->trace) {
    case Trace::kNone:
      break;
    case Trace::kHeld:
      held_ = true;
      break;
    case Trace::kSet:
      std::erase_if(journal_, [&](const Entry& entry) { return entry.key == step->key; });
      if (journal_.size() >= kJournalMax) {
        held_ = true;  // no further: this connection cannot be rebuilt
      } else {
        journal_.push_back(Entry{std::move(step->key), std::string(TextOf(*step))});
      }
      break;
    case Trace::kReset:
      Forget("set ");
      break;
    case Trace::kDeallocate: {
      const std::string key = "prepare " + step->key;
      if (step->key.empty()) {
        Forget("prepare ");
      } else {
        std::erase_if(journal_, [&](const Entry& entry) { return entry.key == key; });
      }
      break;
    }
    case Trace::kDiscard:
      journal_.clear();
      held_ = false;
      held_lost_ = false;
  }
}

void Lane::Forget(std::string_view prefix) {
  std::erase_if(journal_, [&](const Entry& entry) { return entry.key.starts_with(prefix); });
}

}  // namespace mirror
