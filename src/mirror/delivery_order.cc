// How a lane's first unit keeps to the order of all sessions while it is under way: what of it is
// sent when, when it commits, and when it lets go of what it holds.
#include "mirror/lane.h"
#include "mirror/mirrors.h"
#include "mirror/replay.h"
#include "mirror/shadow.h"

namespace mirror {

// The second half of what was sent without its COMMIT.
io::Task<void> Lane::Commit(Replay* replay, Flight* flight, bool* sent) {
  Queued& front = queue_.front();
  if (!replay->sqlstate().empty() || replay->differs()) {
    // Perhaps because something that goes before it was not committed yet: then it runs once more.
    co_await TakeBack();
    if (Passes(replay->sqlstate())) {
      co_await OnRefused(replay->sqlstate(), false);
    } else {
      front.serial = front.anew = true;
      shadow_->metrics().reordered.Add();
    }
    co_return;
  }
  front.executed = true;
  shadow_->order().Executed(front.unit.place);
  co_await AwaitCommit(flight);
  if (*flight != Flight::kAnswered || !front.executed) {
    co_return;
  }
  *sent = true;
  replay->SendEnd(front.unit);
  *flight = co_await Fly(replay, Until::kApplied);
}

// True if others wait for what it holds itself: then it is to let go, and to run again.
io::Task<bool> Lane::AwaitOthers(Mark mark, uint64_t need, Flight* flight) {
  const base::Instant from = loop_->now();
  holding_ = true;
  bool blocks = false;
  while (!blocks && !stopped_ && link_->alive() && (waits_ || Waits(mark, need))) {
    const uint32_t bits = co_await event_.Wait();
    blocks = (bits & kBlocking) != 0;
  }
  holding_ = false;
  blocks = blocks && waits_;
  StopWaiting();
  queue_.front().waited += loop_->now() - from;
  if (stopped_ || !link_->alive()) {
    *flight = stopped_ ? Flight::kStopped : Flight::kLost;
    blocks = false;
  }
  co_return blocks;
}

// The commit rule. What it holds may be what a transaction before it waits for; then it lets go
// and runs again behind that one.
io::Task<void> Lane::AwaitCommit(Flight* flight) {
  Queued& front = queue_.front();
  const base::Instant from = loop_->now();
  const bool blocks = co_await AwaitOthers(Mark::kRun, front.unit.place.stamp - 1, flight);
  shadow_->metrics().commit_wait.Record(loop_->now() - from);
  if (blocks) {
    Undo();  // before somebody behind it gets its locks, and may commit
    co_await TakeBack();
    front.reordered = true;
    shadow_->metrics().reordered.Add();
  }
}

// Each statement waits for what its session could have seen before it, as on the primary; what ran
// before it holds its locks meanwhile. True if it had to let go of them.
io::Task<bool> Lane::SendInParts(Replay* replay, Flight* flight) {
  Queued& front = queue_.front();
  const std::string mark = BeforeSending(replay);
  replay->Begin(front.unit);
  for (const Step& step : front.unit.steps) {
    const uint64_t need = NeedOf(front.unit, step);
    if (!shadow_->order().Passed(Mark::kAcked, need)) {
      replay->Finish();
      const bool blocks = co_await AwaitOthers(Mark::kAcked, need, flight);
      if (blocks) {
        co_await BreakOff(replay, flight);
        co_return true;
      }
      if (*flight != Flight::kAnswered) {
        co_return false;
      }
    }
    replay->Add(step);
  }
  replay->End(front.unit, mark, false);
  co_return false;
}

// In the midst of its statements.
io::Task<void> Lane::BreakOff(Replay* replay, Flight* flight) {
  replay->End(queue_.front().unit, std::string_view(), false);
  *flight = co_await Fly(replay, Until::kApplied);
  if (*flight == Flight::kAnswered) {
    co_await TakeBack();
    queue_.front().reordered = true;
    shadow_->metrics().reordered.Add();
  }
}

// Others wait for its statements again.
void Lane::Undo() {
  if (queue_.front().executed) {
    queue_.front().executed = false;
    shadow_->order().Reopen(queue_.front().unit.place);
  }
}

// ROLLBACK. If that is not answered, the end of the connection is one.
io::Task<void> Lane::TakeBack() {
  Replay replay(&link_->connection());
  replay.Query("ROLLBACK");
  replay.Finish();
  const Flight flight = co_await Fly(&replay);
  if (flight != Flight::kAnswered || link_->connection().machine().status() != 'I') {
    co_await DropLink();
  }
}

}  // namespace mirror
