// What an open transaction holds beyond its share of memory goes to the disk (see overflow.h).
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "mirror/overflow.h"
#include "mirror/recorder.h"

namespace mirror {
namespace {

// A statement alone is worth a record only if it is not small.
constexpr int64_t kAloneBytes = 64 * 1024;
// Once it goes to the disk it goes in records of about this size.
constexpr int64_t kRecordBytes = 1 << 20;

bool IsStored(const Step& step) { return step.stored && !step.copy_in; }

}  // namespace

// What only statements say: nothing will ask for it again before the transaction ends. What is kept
// through a rollback, or is the session's state, stays here; so does a portal that may go on, a
// cursor, and a COPY whose data has gone already.
bool Recorder::MayUnload(const Item& item) {
  const Step& step = item.step;
  const bool plain = step.trace == Trace::kNone && !step.survives && !step.local && !step.asks &&
                     !step.fails() && step.row_limit == 0;
  const bool copied = step.copy_in && step.stored;
  return plain && !copied && item.wanted != 0 && item.lost == Cause::kNone && !item.kept &&
         !item.alone && item.cursor == 0;
}

// How many items go together, the first at `from`, the transaction's `place`; 0: it stays.
size_t Recorder::UnloadCount(size_t from, size_t place) const {
  const size_t limit = transaction_.FoldEnd(place) - place;
  size_t count = 0;
  while (count < limit && MayUnload(items_[from + count]) &&
         items_[from + count].wanted == items_[from].wanted) {
    ++count;
  }
  const Item& first = items_[from];
  const bool worth = count > 1 || (!IsStored(first.step) && first.charge.bytes() >= kAloneBytes);
  return worth ? count : 0;
}

// What may be in memory: half of what it may hold, or a record once it goes to the disk.
int64_t Recorder::MemoryFor(bool begun) const {
  const int64_t half = tools_.limits->mirror_transaction_max / 2;
  return begun ? std::min(kRecordBytes, half) : half;
}

bool Recorder::HasMuch(int64_t more) const {
  return tools_.overflow != nullptr &&
         (loose_ >= tools_.limits->mirror_transaction_statements ||
          items_bytes_ - stuck_bytes_ + more > MemoryFor(static_cast<bool>(overflow_)));
}

// True exactly when it took something from memory.
bool Recorder::Unload() {
  const int64_t before = items_bytes_;
  if (tools_.overflow != nullptr && transaction_.pending() == items_.size()) {
    std::vector<Item> kept;
    for (size_t from = 0; from < items_.size();) {
      const size_t count = UnloadCount(from, kept.size());
      if (count == 0) {
        kept.push_back(std::move(items_[from++]));
        continue;
      }
      transaction_.Fold(kept.size(), count);
      kept.push_back(Fold(std::span<Item>(items_).subspan(from, count)));
      from += count;
    }
    items_ = std::move(kept);
  }
  loose_ = 0;
  stuck_bytes_ = items_bytes_;
  return items_bytes_ < before;
}

// As Charge::Take, of what sessions hold: the open transaction makes room if it can.
bool Recorder::Hold(Charge* charge, base::Credit* credit, int64_t bytes) {
  return charge->Take(credit, bytes) || (Unload() && charge->Take(credit, bytes));
}

base::Held<Stored> Recorder::NewStored() {
  if (!overflow_) {
    overflow_ = tools_.overflow->NewFile();
    base::Log(base::LogLevel::kInfo, "mirror.transaction_spilled",
              {{"session", tools_.session}, {"message", "Transaction buffer overflow"},
               {"what", "it waits below --spill-dir until it ends"}});
  }
  return tools_.overflow->NewStored(overflow_);
}

// One for all of `items`, whose statements go to the disk in their order.
Recorder::Item Recorder::Fold(std::span<Item> items) {
  Item folded;
  folded.serial = items.front().serial;
  folded.wanted = items.front().wanted;
  const bool grows = IsStored(items.front().step);
  folded.step.stored = grows ? std::move(items.front().step.stored) : NewStored();
  Stored* const stored = folded.step.stored.get();
  Unit unit;
  for (Item& item : items) {
    folded.seen = std::max(folded.seen, item.seen);
    folded.took += item.took;
    items_bytes_ -= item.charge.bytes();
    if (item.step.stored) {  // of an inner savepoint that is no more
      StoreSteps(&unit, &folded);
      const Stored& inner = *item.step.stored;
      stored->records.insert(stored->records.end(), inner.records.begin(), inner.records.end());
      stored->statements += inner.statements;
    } else if (!grows || &item != &items.front()) {
      unit.bytes += item.charge.bytes();
      AppendSteps(&item, true, &unit.steps);
    }
    item.charge.Release();
  }
  StoreSteps(&unit, &folded);
  if (folded.lost != Cause::kNone) {
    folded.step = Step();
  } else if (folded.charge.Take(tools_.held, recording::kStepBytes)) {
    items_bytes_ += recording::kStepBytes;
  }
  return folded;
}

void Recorder::StoreSteps(Unit* unit, Item* folded) {
  if (!unit->steps.empty() && folded->lost == Cause::kNone) {
    folded->lost =
        tools_.overflow->Store(folded->step.stored.get(), std::exchange(*unit, Unit()));
  }
}

// The data of a COPY that is under way, as far as it has come.
void Recorder::UnloadCopy(Request* request) {
  Copied& copied = request->copies.back();
  Kept& kept = request->kept;
  int64_t bytes = 0;
  for (const base::Slice& data : copied.data) {
    bytes += data.block()->capacity;
  }
  if (tools_.overflow == nullptr || bytes == 0) {
    return;
  }
  if (!copied.stored) {
    copied.stored = NewStored();
  }
  kept.lost = tools_.overflow->Store(copied.stored.get(), std::exchange(copied.data, {}));
  kept.charge.Give(bytes);
}

// True exactly when the data is to go to the disk before `more` bytes of it come.
bool Recorder::CopyHasMuch(const Request& request, int64_t more) const {
  return tools_.overflow != nullptr &&
         request.kept.charge.bytes() + more >
             MemoryFor(static_cast<bool>(request.copies.back().stored));
}

bool Recorder::UnloadIfOlder(absl::Duration age) {
  return !items_.empty() && tools_.loop->now() - began_ > age && Unload();
}

}  // namespace mirror
