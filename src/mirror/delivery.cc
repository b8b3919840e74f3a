// What becomes of a lane's first unit: sent, executed, committed, looked up, tried again, settled.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "mirror/backoff.h"
#include "mirror/catalogue.h"
#include "mirror/lane.h"
#include "mirror/marker.h"
#include "mirror/mirrors.h"
#include "mirror/replay.h"
#include "mirror/shadow.h"
#include "mirror/trace.h"
#include "sql/quote.h"

namespace mirror {
namespace {

absl::Duration LongestRetryPause() { return absl::Minutes(5); }
// Of a mirror that hangs all lanes ask in vain, and would keep the shard awake.
absl::Duration LongestPatience() { return absl::Milliseconds(320); }

// Of statements that cannot share a transaction with another: VACUUM and its like, a procedure
// that commits.
bool WantsToBeAlone(std::string_view sqlstate) {
  return sqlstate == "25001" || sqlstate == "2D000";
}

// A transaction may only read: a marker cannot be set in it.
constexpr std::string_view kReadOnly = "25006";

// By a request to cancel it.
constexpr std::string_view kCancelled = "57014";

// Somebody has done DEALLOCATE ALL within a function.
constexpr std::string_view kNoSuchStatement = "26000";

// Of COMMIT PREPARED.
constexpr std::string_view kNoSuchPrepared = "42704";

// The schema, the table or the function is not there.
bool IsMissing(std::string_view sqlstate) {
  return sqlstate == "42P01" || sqlstate == "3F000" || sqlstate == "42883";
}

}  // namespace

// -- before a connection serves the session -------------------------------------------------------

io::Task<void> Lane::OpenMarker() {
  if (!shadow_->marks()) {
    link_->SetMarked(false);
    co_return;
  }
  Replay open(&link_->connection());
  open.Query(marker::OpenText(link_->number()));
  Flight flight = co_await Ask(&open);
  bool marked = open.sqlstate().empty();
  if (flight == Flight::kAnswered && IsMissing(open.sqlstate())) {
    Replay install(&link_->connection());
    install.Query(marker::InstallText());
    flight = co_await Ask(&install);
    if (flight == Flight::kAnswered && !install.sqlstate().empty()) {
      shadow_->StopMarking(install.sqlstate());
    } else if (flight == Flight::kAnswered) {
      Replay again(&link_->connection());
      again.Query(marker::OpenText(link_->number()));
      flight = co_await Ask(&again);
      marked = again.sqlstate().empty();
    }
  }
  if (flight == Flight::kAnswered) {
    link_->SetMarked(marked);
  }
}

// Whoever runs the session's statements on the primary runs them here, if the login may be made
// that user: rows go to the schema of that name, policies and current_user are the same.
io::Task<void> Lane::TakeRole() {
  std::string sqlstate;
  for (const std::string_view how : {"SET SESSION AUTHORIZATION ", "SET ROLE "}) {
    const std::string text = std::string(how) + sql::Quote(client_, '"');
    Replay replay(&link_->connection());
    replay.Query(text);
    const Flight flight = co_await Ask(&replay);
    if (flight != Flight::kAnswered) {
      co_return;
    }
    sqlstate = replay.sqlstate();
    if (sqlstate.empty()) {
      link_->SetRole(text);
      co_return;
    }
  }
  link_->SetRole(std::string());
  shadow_->LogOtherUser(client_, sqlstate);
}

// The connection is its login's again; what is the session's comes with Rebuild.
io::Task<void> Lane::AsLogin() {
  rebuilt_ = false;
  Replay replay(&link_->connection());
  replay.Query(kAsLogin);
  co_await Ask(&replay);
}

// A connection gets the settings and prepared statements of the session, as they are on the
// primary; one that has some already, of this session or of a refused transaction, is rid of them.
io::Task<void> Lane::Rebuild() {
  Replay replay(&link_->connection());
  link_->parsed().Doubt();
  if (link_->lane() != 0) {
    replay.Query(kAsLogin);
    replay.Query("RESET ALL; DEALLOCATE ALL");
  }
  if (!link_->role().empty()) {
    replay.Query(link_->role());
  }
  const size_t first = replay.sent();
  for (const std::string& text : journal_.texts()) {
    replay.Query(text);
  }
  const Flight flight = co_await Ask(&replay);
  if (flight != Flight::kAnswered) {
    co_return;
  }
  rebuilt_ = true;
  for (size_t i = first; i < replay.tags().size(); ++i) {
    if (replay.tags()[i].empty()) {
      journal_.OnNotRebuilt(i - first);
    }
  }
  if (!replay.sqlstate().empty()) {
    base::Log(base::LogLevel::kWarn, "mirror.state_not_rebuilt",
              {{"mirror", shadow_->server()->name},
               {"session", session_},
               {"sqlstate", replay.sqlstate()}});
  }
}

// What a connection that was given up still runs on the mirror would keep its locks.
io::Task<void> Lane::EndStale() {
  const uint64_t stale = *stale_;
  stale_.reset();
  if (!link_->marked()) {
    co_return;
  }
  co_await AsLogin();
  if (link_ == nullptr) {
    co_return;
  }
  Replay replay(&link_->connection());
  replay.Query(marker::EndText(stale));
  replay.Query(marker::CloseText(stale));
  co_await Ask(&replay);
}

// Whether the unit whose COMMIT was not answered has happened. If it has not, it cannot any more.
io::Task<void> Lane::ResolveDoubt() {
  const Doubt doubt = *doubt_;
  if (!link_->role().empty()) {
    co_await AsLogin();
    if (link_ == nullptr) {
      co_return;
    }
  }
  Replay replay(&link_->connection());
  replay.Query(marker::EndText(doubt.link));
  replay.Query(marker::TakeText(doubt.link, doubt.done));
  replay.Query(marker::WasTakenText(doubt.link, doubt.done));
  replay.Query(marker::HasText(doubt.link, doubt.done + 1));
  const Flight flight = co_await Ask(&replay);
  if (flight != Flight::kAnswered) {
    co_return;
  }
  doubt_.reset();
  Replay close(&link_->connection());
  close.Query(marker::CloseText(doubt.link));
  co_await Ask(&close);  // if it is not answered, the row is left for OpenText
  const bool known = replay.tags().size() == 4;
  if (known && replay.tags()[3] == "SELECT 1") {
    shadow_->metrics().found_applied.Add();
    queue_.front().overtaken = false;
    Settle(Verdict());
    journal_.OnLost();  // what it held went with its connection
    rebuilt_ = false;
  } else if (!known || replay.tags()[2] != "SELECT 1") {
    Drop(Cause::kOutcomeUnknown);
  } else if (!MayRunAgain()) {
    Drop(Cause::kRetries);
  }
}

// Our own questions. Unless they are answered, the connection is closed, to be made again later.
io::Task<Lane::Flight> Lane::Ask(Replay* replay) {
  replay->Finish();
  const Flight flight = co_await Fly(replay);
  if (flight != Flight::kAnswered) {
    co_await DropLink();
    Later();
  }
  co_return flight;
}

// -- a unit ---------------------------------------------------------------------------------------

Lane::Plan Lane::PlanFor(const Queued& front) const {
  const Order& order = shadow_->order();
  const Place& place = front.unit.place;
  const bool nothing_open = order.Passed(Mark::kOpen, place.stamp - 1);
  if (front.unit.may_be_alone() && (!place.is_explicit || nothing_open)) {
    return Plan::kAlone;
  }
  return nothing_open ? Plan::kWhole : Plan::kOpen;
}

// A mark within a prepared transaction would be taken back by ROLLBACK PREPARED.
bool Lane::Marks(const Queued& front) const {
  const std::vector<Step>& steps = front.unit.steps;
  const bool alters = !steps.empty() && (steps[0].trace == Trace::kDiscard || steps[0].fails());
  return link_->marked() && !front.unmarked && !front.unit.read_only && !alters &&
         front.unit.prepare.empty();
}

// What the connection has parsed, as far as this unit's statements mean the same when they are
// parsed anew; null: none of it.
Parsed* Lane::ParsedFor(Queued* front) {
  const std::vector<Step>& steps = front->unit.steps;
  front->changes |= std::any_of(steps.begin(), steps.end(), ChangesTables) ||
                    (front->unit.ends_prepared() && shadow_->schema_prepared());
  Parsed* const parsed = &link_->parsed();
  parsed->Begin(shadow_->schema());
  const bool same = !front->changes && !front->anew && !front->unit.stored() &&
                    std::none_of(steps.begin(), steps.end(), [](const Step& step) {
                      return step.trace != Trace::kNone || step.local || !step.statement.empty();
                    });
  if (!same) {
    parsed->Doubt();
  }
  return same ? parsed : nullptr;
}

// The Bind of what marks it; empty: nothing does.
std::string Lane::BeforeSending(Replay* replay) {
  if (link_->lane() != 0 && link_->lane() != id_) {
    replay->Query("DISCARD SEQUENCES");  // what they gave to another session
  }
  link_->SetLane(id_);
  journal_.OnRun();
  return Marks(queue_.front()) ? marker::MarkBind(link_->number(), link_->done() + 1)
                               : std::string();
}

void Lane::Send(Plan plan, Replay* replay) {
  const Queued& front = queue_.front();
  const std::string mark = BeforeSending(replay);
  if (plan == Plan::kAlone) {
    replay->SendAlone(front.unit, mark);
    return;
  }
  replay->SendBlock(front.unit, mark, plan == Plan::kWhole);
}

io::Task<void> Lane::Deliver() {
  Queued& front = queue_.front();
  const std::vector<Step>& steps = front.unit.steps;
  const Trace leaves = steps.empty() ? Trace::kNone : steps[0].trace;
  if (journal_.Lacks(front.unit)) {
    Drop(Cause::kStateLost);  // it could go to a table that has the name of a temporary one
    co_return;
  }
  if (journal_.blind() && leaves != Trace::kReset && leaves != Trace::kDiscard &&
      !front.unit.ends_prepared()) {
    Drop(Cause::kStateLost);  // it could go to another schema's tables
    co_return;
  }
  if (front.sent && std::any_of(steps.begin(), steps.end(),
                                [](const Step& step) { return step.survives; })) {
    front.sent = false;  // what PREPARE and DEALLOCATE have done outlives a rollback
    rebuilt_ = false;
    co_return;
  }
  front.sent = true;
  front.cancelled = false;
  if (front.hurried) {
    shadow_->CountHurried();
  }
  front.waited = absl::ZeroDuration();
  shadow_->metrics().start_wait.Record(loop_->now() - waits_from_);
  Plan plan = PlanFor(queue_.front());
  const base::Instant sent_at = loop_->now();
  Replay replay(&link_->connection(), &link_->check(), ParsedFor(&front));
  Flight flight = Flight::kAnswered;
  Cause lost = Cause::kNone;
  if (front.unit.stored()) {
    flight = co_await SendStored(plan, &replay, &lost);
  } else if (front.hurried || shadow_->order().Passed(Mark::kAcked, front.unit.after)) {
    Send(plan, &replay);
  } else {
    plan = Plan::kOpen;  // what fails may have been too early, and is to be taken back
    const bool taken_back = co_await SendInParts(&replay, &flight);
    if (taken_back && flight == Flight::kAnswered) {
      co_return;
    }
  }
  if (replay.failed() && flight == Flight::kAnswered) {
    co_await DropLink();
    Drop(Cause::kTooLarge);
    co_return;
  }
  if (lost != Cause::kNone || flight != Flight::kAnswered) {
    co_await GiveUpStored(flight, &replay, lost);
    co_return;
  }
  flight = co_await Fly(&replay, Until::kApplied);
  bool commit_sent = plan != Plan::kOpen;
  if (plan == Plan::kOpen && flight == Flight::kAnswered) {
    co_await Commit(&replay, &flight, &commit_sent);
    if (!commit_sent && flight == Flight::kAnswered) {
      co_return;  // taken back, or refused
    }
  }
  if (flight == Flight::kAnswered && replay.sqlstate().empty()) {
    front.took = loop_->now() - sent_at - front.waited;
    shadow_->metrics().apply.Record(front.took);
  }
  co_await Conclude(flight, &replay, commit_sent);
}

io::Task<void> Lane::Conclude(Flight flight, const Replay* replay, bool may_have_committed) {
  if (flight != Flight::kAnswered) {
    co_await OnNotAnswered(flight, may_have_committed);
    co_return;
  }
  const bool marked = Marks(queue_.front());
  queue_.front().was = replay->was();
  queue_.front().is = replay->is();
  queue_.front().relied = replay->relies();
  if (replay->sqlstate().empty()) {
    link_->parsed().OnGood();
  }
  if (link_->connection().machine().status() != 'I') {
    co_await TakeBack();
  }
  const std::string sqlstate = replay->sqlstate();
  if (!sqlstate.empty()) {
    co_await OnRefused(sqlstate, replay->mark_failed());
    co_return;
  }
  if (marked && link_ != nullptr) {
    link_->CountDone();
  }
  Settle(Verdict{.differs = replay->differs()});
}

io::Task<void> Lane::OnNotAnswered(Flight flight, bool may_have_committed) {
  Queued& front = queue_.front();
  const Doubt doubt{.link = link_->number(), .done = link_->done()};
  const bool marked = Marks(front);
  const backend::CancelTarget running = link_->cancel();
  if (link_->marked()) {
    stale_ = link_->number();
  }
  front.overtaken |= front.executed;  // who waited for its locks went on when they were gone
  Undo();
  co_await DropLink();
  if (flight == Flight::kStopped) {
    co_return;  // Run drops it
  }
  if (flight == Flight::kTimeout) {
    shadow_->Cancel(running);
    shadow_->SetReachable(false);
  }
  Later();
  if (may_have_committed && marked) {
    doubt_ = doubt;
    stale_.reset();  // that ends it too
  } else if (may_have_committed && !front.unit.ends_prepared()) {  // that finds none left to end
    Drop(flight == Flight::kTimeout ? Cause::kTimeout : Cause::kOutcomeUnknown);
  } else if (!MayRunAgain()) {
    Drop(Cause::kRetries);
  }
}

io::Task<void> Lane::OnRefused(const std::string& sqlstate, bool mark_failed) {
  Queued& front = queue_.front();
  front.overtaken |= front.executed;
  Undo();
  if (front.cancelled && sqlstate == kCancelled) {
    front.serial = true;
    shadow_->metrics().reordered.Add();
    co_return;
  }
  const bool stale = mark_failed ? sqlstate == kNoSuchStatement : front.relied;
  if (stale && !front.anew && !Passes(sqlstate)) {
    front.anew = true;  // perhaps only what was parsed before is refused
    co_return;
  }
  if (mark_failed && sqlstate == kReadOnly) {
    front.unmarked = true;
    co_return;
  }
  if (mark_failed) {  // the row, or all of it, was taken from us: nothing was committed
    if (link_ != nullptr) {
      co_await DropLink();
    }
    if (!MayRunAgain()) {
      Drop(Cause::kRetries);
    }
    co_return;
  }
  const bool alone = !front.unmarked && front.unit.may_be_alone();
  if (alone && WantsToBeAlone(sqlstate)) {
    front.unmarked = true;
    co_return;
  }
  if (PinsRefused(sqlstate)) {
    co_return;
  }
  if (sqlstate == kNoSuchPrepared && front.hurried) {
    front.hurried = false;  // not yet
    co_return;
  }
  if (sqlstate == kNoSuchPrepared && front.tries > 0 && front.unit.ends_prepared()) {
    shadow_->metrics().found_applied.Add();
    Settle(Verdict());
    co_return;
  }
  if (!Passes(sqlstate)) {
    const bool lost = journal_.Misses(sqlstate);
    const bool early = !front.serial && !shadow_->order().Passed(Mark::kOpen,
                                                                 front.unit.place.stamp - 1);
    if (early) {
      front.serial = true;
      shadow_->metrics().reordered.Add();
    } else if (lost) {
      Drop(Cause::kStateLost);
    } else {
      Settle(Verdict{.sqlstate = sqlstate});
    }
    co_return;
  }
  if (!MayRunAgain()) {
    Drop(Cause::kRetries);
    co_return;
  }
  if (!front.reordered && shadow_->order().on()) {
    front.reordered = true;  // behind whom it met
    co_return;
  }
  front.serial = shadow_->order().on();  // behind all that it could meet
  co_await Pause(loop_->In(FullJitter(&loop_->prng(), loop_->limits().mirror_retry_delay,
                                      LongestRetryPause(), front.tries - 1)));
}

bool Lane::Reached(Until until, const Replay& replay) {
  backend::Connection& connection = link_->connection();
  switch (until) {
    case Until::kAnswered:
    case Until::kApplied:
      return !connection.machine().owes() && !connection.machine().failed();
    case Until::kTaken:
      return replay.answered() || replay.stops();
    case Until::kSent:
      return !connection.stream().over_high() || replay.stops();
  }
  return true;
}

// Each wait has mirror_timeout.
io::Task<Lane::Flight> Lane::Fly(Replay* replay, Until until) {
  backend::Connection& connection = link_->connection();
  const base::Deadline deadline = loop_->In(loop_->limits().mirror_timeout);
  const uint64_t stamp = queue_.front().unit.place.stamp;
  const base::Instant began = loop_->now();
  const uint64_t hurried = shadow_->hurried();
  absl::Duration patience = Patience();
  yields_ = until != Until::kAnswered && queue_.front().unit.may_be_cancelled();
  for (;;) {
    connection.TakeNotes(&notes_);
    replay->OnNotes(notes_);
    if (Reached(until, *replay)) {
      // It may have waited for one that went before its turn.
      const bool blocked = patience == LongestPatience() && until == Until::kApplied;
      queue_.front().overtaken |= blocked && shadow_->hurried() != hurried;
      co_return Flight::kAnswered;
    }
    if (connection.over() || connection.machine().failed()) {
      co_return Flight::kLost;
    }
    if (stopped_) {
      co_return Flight::kStopped;
    }
    if (loop_->now() >= deadline) {
      co_return Flight::kTimeout;
    }
    const bool ordered = shadow_->order().on();
    const uint32_t bits =
        co_await event_.Wait(ordered ? std::min(deadline, loop_->In(patience)) : deadline);
    const bool long_since = (bits & io::Event::kTimeout) != 0;
    if (ordered && long_since) {
      patience = std::min(patience * 2, LongestPatience());
      if (shadow_->order().Passed(Mark::kRun, stamp - 1)) {
        shadow_->gate()->AskToYield(stamp, patience == LongestPatience());
      }
    }
    if ((bits & kBlocking) != 0 && yields_ && loop_->now() >= began + LongestPatience()) {
      yields_ = false;
      co_await Cancel();
    }
  }
}

// What the first unit waits for may be let go of behind one that waits for what it holds itself.
io::Task<void> Lane::Cancel() {
  queue_.front().cancelled = true;
  co_await shadow_->CancelNow(link_->cancel());
}

// False if it has been tried often enough.
bool Lane::MayRunAgain() {
  if (queue_.front().tries >= loop_->limits().mirror_retries) {
    return false;
  }
  ++queue_.front().tries;
  shadow_->metrics().retries.Add();
  return true;
}

io::Task<void> Lane::Pause(base::Deadline until) {
  while (loop_->now() < until && !stopped_) {
    co_await event_.Wait(until);
  }
}

}  // namespace mirror
