#include "mirror/gap_ledger.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "mirror/mirror_metrics.h"
#include "mirror/overflow.h"
#include "mirror/trace.h"
#include "sql/tables.h"

namespace mirror {
namespace {

// kAnyTable's own entries always find room: one for each cause.
constexpr size_t kReserved = kGapCauses;
constexpr size_t kCopiedAtOnce = 64;

absl::Time Whole(absl::Time time) { return absl::FromUnixMillis(absl::ToUnixMillis(time)); }

// Whether a backslash escapes in '...' depends on a setting that nobody noted: where that makes a
// difference, the text does not tell.
std::vector<std::string> TablesOf(const Step& step) {
  const std::string_view text = TextOf(step);
  if (text.empty()) {
    return {std::string(sql::kAnyTable)};
  }
  std::vector<std::string> tables = sql::WrittenTables(text);
  if (text.find('\\') == std::string_view::npos) {
    return tables;
  }
  const bool same =
      sql::WrittenTables(text, {.standard_conforming_strings = false}) == tables;
  return same ? tables : std::vector<std::string>{std::string(sql::kAnyTable)};
}

// Where its statements cannot be had it may be any table.
void AddStored(const Stored& stored, std::map<std::string, uint64_t>* tables) {
  if (!stored.file) {
    (*tables)[std::string(sql::kAnyTable)] += stored.statements;
    return;
  }
  for (const auto& [table, statements] : stored.file->Tables()) {
    (*tables)[table] += statements;
  }
}

}  // namespace

std::map<std::string, uint64_t> TablesOf(const Unit& unit) {
  std::map<std::string, uint64_t> tables;
  for (const Step& step : unit.steps) {
    if (step.stored && step.stored->statements > 0) {
      AddStored(*step.stored, &tables);
      continue;
    }
    for (std::string& table : TablesOf(step)) {
      ++tables[std::move(table)];
    }
  }
  if (unit.steps.empty()) {
    tables[std::string(sql::kAnyTable)] = 0;
  } else if (tables.empty()) {
    tables[""] = unit.statements();
  }
  return tables;
}

void GapLedger::Record(Cause cause, std::string_view sqlstate, std::span<const std::string> tables,
                       uint32_t statements, absl::Time now) {
  Gap gap;
  gap.cause = cause;
  gap.sqlstate = sqlstate;
  gap.first = gap.last = Whole(now);
  gap.statements = statements;
  gap.transactions = 1;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    statements_[static_cast<size_t>(cause)].Add(statements);
  }
  if (tables.empty()) {
    Restore(gap);
  }
  for (const std::string& table : tables) {
    gap.table = table;
    Restore(gap);
  }
}

void GapLedger::RecordUnit(const Unit& unit, Cause cause, std::string_view sqlstate) {
  const std::map<std::string, uint64_t> tables = TablesOf(unit);
  Gap gap;
  gap.cause = cause;
  gap.sqlstate = sqlstate;
  gap.first = gap.last = Whole(absl::Now());
  gap.transactions = 1;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    statements_[static_cast<size_t>(cause)].Add(unit.statements());
  }
  for (const auto& [table, statements] : tables) {
    gap.table = table;
    gap.statements = statements;
    Restore(gap);
  }
}

void GapLedger::Restore(Gap gap) {
  bool fresh = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    fresh = Add(&gap);
  }
  if (fresh) {
    Tell(gap);
  }
}

void GapLedger::RecordGaps(std::vector<Gap> gaps, uint64_t statements) {
  if (gaps.empty()) {
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    statements_[static_cast<size_t>(gaps.front().cause)].Add(statements);
  }
  for (Gap& gap : gaps) {
    Restore(std::move(gap));
  }
}

void GapLedger::RestoreFolded() {
  const std::lock_guard<std::mutex> lock(mutex_);
  folded_ = true;
}

// True: there was no such entry yet. `*gap` is then about what it was folded into.
bool GapLedger::Add(Gap* gap) {
  ++version_;
  Key key{.table = gap->table, .cause = gap->cause, .sqlstate = gap->sqlstate};
  auto found = entries_.find(key);
  if (found == entries_.end() && entries_.size() >= kEntriesMax - kReserved) {
    folded_ = true;
    gap->table = key.table = sql::kAnyTable;
    gap->sqlstate = key.sqlstate = "";
    found = entries_.find(key);
  }
  const bool fresh = found == entries_.end();
  if (fresh) {
    found = entries_.emplace(std::move(key), Tally{.first = gap->first, .last = gap->last}).first;
    tables_ += !gap->table.empty() && Alone(found) ? 1 : 0;
  }
  Tally& tally = found->second;
  tally.first = std::min(tally.first, gap->first);
  tally.last = std::max(tally.last, gap->last);
  tally.statements += gap->statements;
  tally.transactions += gap->transactions;
  return fresh;
}

// True exactly when no other entry is about the same table: those stand beside each other.
bool GapLedger::Alone(Entries::const_iterator entry) const {
  const std::string& table = entry->first.table;
  const auto next = std::next(entry);
  return (entry == entries_.begin() || std::prev(entry)->first.table != table) &&
         (next == entries_.end() || next->first.table != table);
}

void GapLedger::Tell(const Gap& gap) const {
  base::Log(base::LogLevel::kWarn, "mirror.gap",
            {{"mirror", mirror_},
             {"table", gap.table},
             {"cause", Name(gap.cause)},
             {"sqlstate", gap.sqlstate}});
}

// A few at a time, so that no shard waits for the whole.
std::vector<Gap> GapLedger::Snapshot() const {
  std::vector<Gap> gaps;
  Key from;
  bool more = true;
  while (more) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto entry = gaps.empty() ? entries_.begin() : entries_.upper_bound(from);
    for (size_t i = 0; i < kCopiedAtOnce && entry != entries_.end(); ++i, ++entry) {
      const Key& key = entry->first;
      const Tally& tally = entry->second;
      from = key;
      gaps.push_back(Gap{.table = key.table, .cause = key.cause, .sqlstate = key.sqlstate,
                         .first = tally.first, .last = tally.last,
                         .statements = tally.statements, .transactions = tally.transactions});
    }
    more = entry != entries_.end();
  }
  return gaps;
}

size_t GapLedger::Clear(const std::optional<std::string>& table, absl::Time until) {
  const std::lock_guard<std::mutex> lock(mutex_);
  size_t cleared = 0;
  bool any_left = false;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const std::string& name = entry->first.table;
    if ((table.has_value() && *table != name) || entry->second.last > until) {
      any_left = any_left || name == sql::kAnyTable;
      ++entry;
      continue;
    }
    tables_ -= !name.empty() && Alone(entry) ? 1 : 0;
    entry = entries_.erase(entry);
    ++cleared;
  }
  folded_ = folded_ && any_left;
  version_ += cleared > 0 ? 1 : 0;
  return cleared;
}

bool GapLedger::folded() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return folded_;
}

uint64_t GapLedger::version() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return version_;
}

void GapLedger::Watch(const MirrorMetrics* metrics) {
  const std::lock_guard<std::mutex> lock(mutex_);
  watched_.push_back(metrics);
}

void GapLedger::Unwatch(const MirrorMetrics* metrics) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase(watched_, metrics);
}

GapLedger::Work GapLedger::work() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  Work work;
  for (const MirrorMetrics* metrics : watched_) {
    work.offered += metrics->offered.value();
    work.queued += static_cast<uint64_t>(metrics->queued_units.value());
  }
  return work;
}

void GapLedger::Describe(base::MetricSink* sink) const {
  base::Gauge tables;
  std::array<base::Counter, kGapCauses> statements;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    tables.Set(static_cast<int64_t>(tables_));
    for (size_t i = 0; i < kGapCauses; ++i) {
      statements[i].Add(statements_[i].value());
    }
  }
  const std::string label = "mirror=\"" + mirror_ + "\"";
  sink->Add("pgbraid_mirror_gap_tables", "Tables that stand in the mirror's gap ledger.", label,
            tables);
  for (size_t i = 1; i < kGapCauses; ++i) {
    const std::string labels =
        label + ",cause=\"" + std::string(Name(static_cast<Cause>(i))) + "\"";
    sink->Add("pgbraid_mirror_gap_statements", "Statements that the mirror lacks, by cause.",
              labels, statements[i]);
  }
}

}  // namespace mirror
