// How a lane's first unit ends: what is counted, and what it leaves behind.
#include <utility>

#include "base/log.h"
#include "mirror/lane.h"
#include "mirror/mirrors.h"
#include "mirror/shadow.h"
#include "mirror/trace.h"

namespace mirror {

// The first unit has met its fate.
void Lane::Settle(const Verdict& verdict) {
  Count(verdict);
  if (queue_.front().changes) {  // also if nobody knows whether it was applied
    shadow_->OnSchemaChanged(!queue_.front().unit.prepare.empty());
  }
  if (verdict.applied()) {
    CountPins();
  }
  Tell(verdict);
  Remember(verdict.applied());
  const Place place = queue_.front().unit.place;
  const bool executed = queue_.front().executed;
  UnitTeller* const teller = queue_.front().teller;
  const uint64_t number = queue_.front().number;
  shadow_->metrics().queued_units.Add(-1);
  shadow_->metrics().queued_bytes.Add(-queue_.front().unit.bytes);
  queue_.pop_front();
  doubt_.reset();
  waits_from_ = base::Instant();
  shadow_->order().Resolve(place, executed);
  if (teller != nullptr) {
    teller->OnSettled(number);
  }
}

// What the session has now on the primary. If the mirror has not done the same, or has gone back
// to its login's user, the connection gets it anew.
void Lane::Remember(bool applied) {
  Queued& front = queue_.front();
  const bool here = applied && link_ != nullptr;
  bool anew = false;
  bool discarded = false;
  for (Step& step : front.unit.steps) {
    const bool discards = step.trace == Trace::kDiscard;
    const bool ends_role = (discards || EndsRole(step)) && !client_.empty();
    anew |= ends_role || (!here && step.trace != Trace::kNone && step.trace != Trace::kHeld);
    discarded |= !applied && journal_.WouldKeep(step);
    journal_.Note(&step, here);
  }
  for (Step& step : front.behind) {
    anew = true;
    discarded |= journal_.WouldKeep(step);
    journal_.Note(&step, false);
  }
  rebuilt_ = rebuilt_ && !anew;
  if (discarded && link_ != nullptr) {
    LoseLink();
  }
}

void Lane::Count(const Verdict& verdict) {
  MirrorMetrics& metrics = shadow_->metrics();
  const Unit& unit = queue_.front().unit;
  if (verdict.dropped != Cause::kNone) {
    shadow_->ledger()->RecordUnit(unit, verdict.dropped, "");
    metrics.Drop(verdict.dropped);
    if (verdict.dropped != Cause::kShutdown) {  // of those, Drain says how many
      LogDrop(verdict.dropped);
    }
  } else if (!verdict.sqlstate.empty()) {
    shadow_->ledger()->RecordUnit(unit, Cause::kRefused, verdict.sqlstate);
    metrics.refused.Add();
    base::Log(base::LogLevel::kWarn, "mirror.refused",
              {{"mirror", shadow_->server()->name},
               {"session", session_},
               {"sqlstate", verdict.sqlstate},
               {"class", std::string_view(verdict.sqlstate).substr(0, 2)},
               {"statements", unit.statements()}});
  } else {
    metrics.delivered.Add();
    metrics.statements.Add(unit.statements());
    metrics.lag.Record(loop_->now() - unit.committed);
    if (unit.took > absl::ZeroDuration()) {
      metrics.primary.Record(unit.took);
    }
    if (queue_.front().overtaken && shadow_->order().on()) {
      shadow_->ledger()->RecordUnit(unit, Cause::kOrderUnknown, "");
    }
    if (verdict.differs) {
      shadow_->ledger()->RecordUnit(unit, Cause::kDifferent, "");
      metrics.different.Add();
      base::Log(base::LogLevel::kWarn, "mirror.different",
                {{"mirror", shadow_->server()->name},
                 {"session", session_},
                 {"why", "it changed another number of rows than on the primary, or stored "
                         "another value than it was given"}});
    }
  }
}

void Lane::Tell(const Verdict& verdict) const {
  OutcomeTaker* const taker = shadow_->mirrors()->outcomes();
  if (taker == nullptr) {
    return;
  }
  const Queued& front = queue_.front();
  UnitOutcome outcome;
  outcome.unit = &front.unit;
  outcome.dropped = verdict.dropped;
  outcome.refused = !verdict.sqlstate.empty();
  outcome.differs = verdict.differs;
  outcome.was = front.was;
  outcome.is = front.is;
  outcome.took = front.took;
  taker->OnOutcome(outcome);
}

// The texts are those that operators of other mirrors know.
void Lane::LogDrop(Cause cause) const {
  const bool over = cause == Cause::kOverBudget || cause == Cause::kTooLarge;
  base::Log(base::LogLevel::kWarn, "mirror.dropped",
            {{"mirror", shadow_->server()->name},
             {"session", session_},
             {"cause", Name(cause)},
             {"message", over                        ? "Transaction buffer overflow"
                         : cause == Cause::kRetries ? "Mirror operation failed after all retries"
                                                     : "Transaction lost for the mirror"}});
}

}  // namespace mirror
