// A lane's first unit, where some of it waits on the disk: it is read and sent piece by piece, each
// once the mirror has taken the one before.
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "mirror/lane.h"
#include "mirror/overflow.h"
#include "mirror/replay.h"
#include "mirror/shadow.h"
#include "mirror/unit_codec.h"

namespace mirror {

// `*lost`: why the rest cannot be had; then its transaction is not ended.
io::Task<Lane::Flight> Lane::SendStored(Plan plan, Replay* replay, Cause* lost) {
  const Unit& unit = queue_.front().unit;
  queue_.front().pinning.unpinned = {};
  const std::string mark = BeforeSending(replay);
  replay->Begin(unit);
  Flight flight = Flight::kAnswered;
  link_->connection().stream().NotifyDrained(&event_, kDrained);
  for (const Step& step : unit.steps) {
    if (!step.stored) {
      LeaveStored(step);
      replay->Add(step);
    } else {
      flight = co_await SendStoredStep(&step, replay, lost);
    }
    // What follows an error is ignored by the mirror.
    if (flight != Flight::kAnswered || *lost != Cause::kNone || replay->stops()) {
      break;
    }
  }
  link_->connection().stream().NotifyDrained(nullptr, 0);
  if (flight != Flight::kAnswered) {
    co_return flight;
  }
  const bool whole = plan == Plan::kWhole && *lost == Cause::kNone;
  replay->End(unit, *lost == Cause::kNone ? mark : std::string(), whole);
  co_return flight;
}

io::Task<Lane::Flight> Lane::SendStoredStep(const Step* step, Replay* replay, Cause* lost) {
  if (step->copy_in) {
    replay->Add(*step);
  }
  Flight flight = Flight::kAnswered;
  for (const uint32_t record : step->stored->records) {
    const absl::StatusOr<std::string> bytes = co_await step->stored->file->Read(record);
    if (!bytes.ok()) {
      OnStoredLost(bytes.status());
      *lost = Cause::kSpillLost;
      break;
    }
    if (step->copy_in) {
      replay->Data(*bytes);
    } else {
      *lost = AddStored(*bytes, replay);
    }
    if (*lost == Cause::kNone) {
      flight = co_await Fly(replay, step->copy_in ? Until::kSent : Until::kTaken);
    }
    if (flight != Flight::kAnswered || *lost != Cause::kNone || replay->stops()) {
      break;
    }
  }
  if (step->copy_in && flight == Flight::kAnswered) {
    replay->EndCopy(*step, *lost == Cause::kNone);
  }
  co_return flight;
}

// The statements of a record, whose answers are asked for.
Cause Lane::AddStored(const std::string& bytes, Replay* replay) {
  Unit unit;
  absl::Time none;
  if (ParseUnit(bytes, &unit, &none) != UnitResult::kGood) {
    OnStoredLost(base::DataLoss("a record that cannot be read"));
    return Cause::kSpillLost;
  }
  if (journal_.Lacks(unit)) {
    return Cause::kStateLost;
  }
  for (const Step& step : unit.steps) {
    LeaveStored(step);
  }
  replay->AddAll(std::move(unit.steps));
  return Cause::kNone;
}

void Lane::OnStoredLost(const absl::Status& status) const {
  shadow_->metrics().spill_failures.Add();
  base::Log(base::LogLevel::kError, "mirror.spill_lost",
            {{"mirror", shadow_->server()->name},
             {"why", base::Message(status)},
             {"transactions", 1},
             {"what", "the mirror lacks it, see its gap ledger"}});
}

// What was sent of it is taken back.
io::Task<void> Lane::GiveUpStored(Flight flight, Replay* replay, Cause lost) {
  if (flight == Flight::kAnswered) {
    flight = co_await Fly(replay);
  }
  if (flight != Flight::kAnswered) {
    co_await OnNotAnswered(flight, false);
    co_return;
  }
  co_await TakeBack();
  Drop(lost);
}

}  // namespace mirror
