// GapLedger: which tables of a mirror are not known to be the primary's, since when and why.
//
// One per mirror, process-wide, any thread; a mutex held for one look-up. It is told only of what
// did not reach the mirror, so a healthy transaction never comes here. Never fails.
// Bound: kEntriesMax entries; what would be one more counts to sql::kAnyTable, and folded() says
// so.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "base/counters.h"
#include "mirror/unit.h"

namespace mirror {

struct MirrorMetrics;

// What was lost of one table by one cause.
struct Gap {
  std::string table;  // as sql::WrittenTables spells it; empty: what was lost writes no table
  Cause cause = Cause::kNone;
  std::string sqlstate;  // of kRefused
  absl::Time first = absl::InfiniteFuture();  // wall clock, whole milliseconds
  absl::Time last = absl::InfinitePast();
  uint64_t statements = 0;
  uint64_t transactions = 0;
};

// The tables that the texts of a unit write, each with how many of its statements do. As
// GapLedger::RecordUnit says for texts that were not kept; "" if no statement writes one. Any
// thread.
std::map<std::string, uint64_t> TablesOf(const Unit& unit);

class GapLedger {
 public:
  static constexpr size_t kEntriesMax = 4096;

  explicit GapLedger(std::string mirror) : mirror_(std::move(mirror)) {}
  GapLedger(const GapLedger&) = delete;
  GapLedger& operator=(const GapLedger&) = delete;

  // One transaction that was lost with `statements` that write each of `tables`; none: it writes no
  // table. `sqlstate` may be empty.
  void Record(Cause cause, std::string_view sqlstate, std::span<const std::string> tables,
              uint32_t statements, absl::Time now);
  // Likewise, with the tables that the unit's texts name. Texts that were not kept, and units
  // without a statement, count to sql::kAnyTable.
  void RecordUnit(const Unit& unit, Cause cause, std::string_view sqlstate);
  // An entry as it is, added to what there is: of a file, or of an event that has no unit.
  void Restore(Gap gap);
  // Likewise, of `transactions` with `statements` in all that were lost now: they count as such.
  void RecordGaps(std::vector<Gap> gaps, uint64_t statements);
  // The entries restored were folded when they were written.
  void RestoreFolded();

  // Ordered by table. What comes meanwhile may be in it or not.
  std::vector<Gap> Snapshot() const;
  // Forgets the gaps of `table` (nullopt: of all) whose last is not after `until`; says how many.
  size_t Clear(const std::optional<std::string>& table, absl::Time until);
  // True exactly while entries were folded into sql::kAnyTable for want of room.
  bool folded() const;
  // Another number with each change.
  uint64_t version() const;

  // What a shard's lanes of this mirror count; it lives until Unwatch.
  void Watch(const MirrorMetrics* metrics);
  void Unwatch(const MirrorMetrics* metrics);
  struct Work {
    uint64_t offered = 0;
    uint64_t queued = 0;  // units, now
  };
  Work work() const;

  const std::string& mirror() const { return mirror_; }
  void Describe(base::MetricSink* sink) const;

 private:
  struct Key {
    std::string table;
    Cause cause = Cause::kNone;
    std::string sqlstate;
    auto operator<=>(const Key&) const = default;
  };
  struct Tally {
    absl::Time first;
    absl::Time last;
    uint64_t statements = 0;
    uint64_t transactions = 0;
  };
  using Entries = std::map<Key, Tally>;

  bool Add(Gap* gap);
  bool Alone(Entries::const_iterator entry) const;
  void Tell(const Gap& gap) const;

  const std::string mirror_;
  mutable std::mutex mutex_;
  Entries entries_;
  uint64_t tables_ = 0;  // distinct ones in entries_
  uint64_t version_ = 0;
  bool folded_ = false;
  std::array<base::Counter, kGapCauses> statements_;  // lost since the start, by Cause
  std::vector<const MirrorMetrics*> watched_;
};

}  // namespace mirror
