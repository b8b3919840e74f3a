// Unit: what one committed transaction sends to a mirror, and the memory it is charged for.
//
// Values. A Step's bytes are Slices, so the lanes of several mirrors share them; they never leave
// their shard. Whoever holds a Unit holds the Charge for it: the budget is given back when it dies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/credit.h"
#include "base/held.h"
#include "base/instant.h"
#include "base/slice.h"

namespace mirror {

// Bytes taken from a budget, given back when this dies. Movable; the Credit outlives it.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : credit_(std::exchange(other.credit_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Charge& operator=(Charge&& other) noexcept {
    std::swap(credit_, other.credit_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Charge() { Release(); }

  // Adds `bytes` of `credit` (the same one for life); false: the budget has not that much left.
  bool Take(base::Credit* credit, int64_t bytes) {
    if (!credit->Take(bytes)) {
      return false;
    }
    credit_ = credit;
    bytes_ += bytes;
    return true;
  }
  void Release() {
    if (credit_ != nullptr) {
      credit_->Give(bytes_);
    }
    credit_ = nullptr;
    bytes_ = 0;
  }
  // Gives back some of it.
  void Give(int64_t bytes) {
    credit_->Give(bytes);
    bytes_ -= bytes;
  }
  int64_t bytes() const { return bytes_; }

 private:
  base::Credit* credit_ = nullptr;
  int64_t bytes_ = 0;
};

// Why a unit was dropped, or a statement could not be kept; kNone: it was not. Those behind
// kSpillLost stand in the gap ledger only.
enum class Cause : uint8_t {
  kNone,
  kOverBudget,      // no memory left for this mirror
  kTooLarge,        // above mirror_transaction_max
  kFunctionCall,    // holds a FunctionCall message
  kOutcomeUnknown,  // the connection was lost: mirror's or primary's, nobody knows what happened
  kTimeout,         // the mirror did not answer within mirror_timeout
  kStateLost,       // needed what a lost connection held: a temporary table, a lock
  kShutdown,        // pgbraid ended first
  kRetries,         // refused for what passes, or lost, again and again
  kSpillLost,       // could not be written to the spill, or not be read again
  kRefused,         // the mirror answered with an error
  kDifferent,       // the mirror changed another number of rows than the primary
  kOrderUnknown,    // nobody can tell which came first: implicit writes overlapped, or it had to
                    // run once more after others might commit
  kCrash,           // pgbraid was killed while work was queued
  kLedgerLost,      // the ledger's own file could not be read
};
inline constexpr size_t kCauses = 10;  // of dropped units
inline constexpr size_t kGapCauses = 15;

// Why what the primary made up for an INSERT is not given to the mirror; kNone: it is, or it made
// up nothing.
enum class Unpinned : uint8_t {
  kNone,
  kTolerated,    // the mirror is not to be given it
  kShape,        // the text is of no form that proves which value is whose
  kRows,         // another number of rows came back than the text has
  kTooLarge,     // more rows or bytes than are kept
  kUndescribed,  // nobody has asked what the values are: their types or names are not known
  kType,         // a binary value of a type that users made
  kTable,        // what the mirror's table is like is not known
  kNotReturned,  // a column was filled and not returned
  kCurrval,      // its transaction asks for a sequence's last value behind it
  kRefused,      // the mirror did not take it
  kChanged,      // the mirror has made another value of it
};
inline constexpr size_t kUnpinnedReasons = 12;

// What a step leaves behind in the mirror's session.
enum class Trace : uint8_t {
  kNone,
  kSet,         // a setting or an SQL-prepared statement: the journal can rebuild it
  kReset,       // RESET ALL: the settings of the journal go
  kDeallocate,  // DEALLOCATE: one prepared statement goes, or all of them
  kDiscard,     // DISCARD ALL: the session is as new
  kLost,        // a setting, and its text was not kept: what comes later may mean something else
  kHeld,        // a temporary object, a session lock, or code that may have made one
  kDiscardTemp,  // DISCARD TEMP: the temporary objects are gone
};

struct Stored;  // see overflow.h

// One statement as it goes to the mirror; or, with `stored` and no `copy_in`, several of them.
struct Step {
  base::Slice text;       // simple protocol: the SQL text
  base::Slice parse;      // extended: the Parse body behind the name
  std::string statement;  // extended: the name; empty: it goes through the unnamed statement
  base::Slice bind;       // extended: the Bind body behind the two names; empty: only Parse is sent
  uint32_t row_limit = 0;
  bool extended = false;
  bool named = false;     // the client has prepared it by name: so does the mirror, see parsed.h
  bool copy_in = false;
  std::string tag;  // the primary's CommandComplete; empty: a portal that was not run to its end;
                    // "!" and an SQLSTATE: it failed, having perhaps committed some of its work
  std::vector<base::Slice> copy;  // the client's CopyData frames, as they were on the wire
  uint64_t seen = 0;       // the clock when it was forwarded; 0: its unit's `after` counts
  base::Instant sent;      // to the primary
  base::Instant answered;  // by it
  base::Held<Stored> stored;  // what waits on the disk: the statements, or data before `copy`

  base::Slice returned;  // of INSERT ... RETURNING, see returned.h; empty: nothing is to be pinned
  Unpinned unpinned = Unpinned::kNone;  // why there is nothing
  base::Slice pinned_parse;    // of the unit under way: what is sent instead, see pin.h; empty: it
  base::Slice pinned_bind;     // goes as it was
  std::vector<uint16_t> pinned_fields;  // of what it returns, those that must come back the same
  bool pins_sequence = false;  // a sequence's value was given, so the mirror's has not moved

  Trace trace = Trace::kNone;
  std::string key;        // kSet, kDeallocate: what of; empty: all
  bool local = false;     // ends with its transaction: alone it is worth nothing
  bool survives = false;  // PREPARE, DEALLOCATE: a rollback does not undo it
  bool asks = false;      // asks for what only this session's connection knows: currval, lastval

  bool fails() const { return tag.starts_with('!'); }
};

// A transaction's place in the order of all sessions; see order.h.
struct Place {
  uint64_t stamp = 0;
  uint64_t acked = 0;
  bool is_explicit = false;  // it was a BEGIN ... COMMIT, or is replayed as one
};

// Told when a unit that was handed to a lane has met its fate.
class UnitTeller {
 public:
  virtual ~UnitTeller() = default;
  // `number`: what it came with.
  virtual void OnSettled(uint64_t number) = 0;
};

struct UnitOutcome;

// Told of every unit's fate, whatever it was. On the shard of the lanes.
class OutcomeTaker {
 public:
  virtual ~OutcomeTaker() = default;
  virtual void OnOutcome(const UnitOutcome& outcome) = 0;
};

struct Unit {
  std::vector<Step> steps;
  Place place;
  uint64_t after = 0;         // the clock when its last statement was forwarded
  uint64_t behind = 0;        // a hint: this stamp's transaction wrote one of its rows before; 0
  std::string begin;          // instead of a plain BEGIN: with its options
  bool read_only = false;     // by these
  base::Slice prepare;        // PREPARE TRANSACTION's text, instead of COMMIT
  int64_t bytes = 0;          // what it is charged for
  base::Instant committed;    // when the primary's answer was read
  absl::Duration took;        // its statements on the primary; zero: not known

  uint8_t encodings = 0;      // of sql::Encoding, a bit for each that its texts may be in; 0: safe
  bool commits = false;       // perhaps while it runs: it cannot be taken back, nor wait to commit
  bool meets = false;         // nobody can tell its order with another's, see overlaps.h

  // True exactly when it goes to the mirror within BEGIN and COMMIT.
  bool block() const {
    return place.is_explicit || steps.size() > 1 || !prepare.empty() || stored();
  }
  // True exactly when nothing is lost by leaving out BEGIN and COMMIT.
  bool may_be_alone() const {
    return steps.size() == 1 && prepare.empty() && begin.empty() && !stored();
  }
  // True exactly for COMMIT PREPARED and ROLLBACK PREPARED: without it the mirror would keep the
  // locks of a transaction that it has prepared, and all that comes behind would wait for them.
  bool ends_prepared() const;
  // True exactly when it may be cancelled, to run again, for one that waits for what it holds. What
  // only selects holds nothing, and has perhaps moved a sequence, which no rollback moves back.
  bool may_be_cancelled() const;
  // True exactly when some of it waits on the disk.
  bool stored() const;
  // How many of the client's statements it has.
  uint64_t statements() const;
};

// Good for the call only.
struct UnitOutcome {
  const Unit* unit = nullptr;
  Cause dropped = Cause::kNone;
  bool refused = false;
  bool differs = false;  // applied, with another outcome of some statement
  // Of the first statement that came out otherwise: its tag on the primary, and here; here its
  // SQLSTATE if it was refused.
  std::string_view was = {};
  std::string_view is = {};
  absl::Duration took = {};  // to execute and commit, without waiting for others; if applied
};

}  // namespace mirror
