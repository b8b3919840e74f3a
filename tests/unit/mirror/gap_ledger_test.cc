#include "mirror/gap_ledger.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/slice.h"
#include "mirror/mirror_metrics.h"

namespace mirror {
namespace {

absl::Time At(int64_t second) { return absl::FromUnixSeconds(second); }

// "table cause sqlstate statements/transactions first-last", one line per gap.
std::string Told(const GapLedger& ledger) {
  std::string text;
  for (const Gap& gap : ledger.Snapshot()) {
    text += gap.table + " " + std::string(Name(gap.cause)) + " " + gap.sqlstate + " " +
            std::to_string(gap.statements) + "/" + std::to_string(gap.transactions) + " " +
            std::to_string(absl::ToUnixSeconds(gap.first)) + "-" +
            std::to_string(absl::ToUnixSeconds(gap.last)) + "\n";
  }
  return text;
}

// Without the times, which are the clock's.
std::string ToldOfUnits(const GapLedger& ledger) {
  std::string text;
  for (const Gap& gap : ledger.Snapshot()) {
    text += gap.table + " " + std::string(Name(gap.cause)) + " " + gap.sqlstate + " " +
            std::to_string(gap.statements) + "/" + std::to_string(gap.transactions) + "\n";
  }
  return text;
}

Step Simple(std::string_view text) {
  Step step;
  step.text = base::Slice::CopyOf(text);
  return step;
}

Step Extended(std::string_view text) {
  Step step;
  step.extended = true;
  step.parse = base::Slice::CopyOf(std::string(text) + std::string("\0\0\0", 3));
  return step;
}

// What a scrape is told.
class Samples final : public base::MetricSink {
 public:
  void Add(std::string_view name, std::string_view, std::string_view labels,
           const base::Counter& counter) override {
    Put(name, labels, static_cast<int64_t>(counter.value()));
  }
  void Add(std::string_view name, std::string_view, std::string_view labels,
           const base::Gauge& gauge) override {
    Put(name, labels, gauge.value());
  }
  void Add(std::string_view, std::string_view, std::string_view,
           const base::Histogram&) override {}
  int64_t Of(const std::string& series) const {
    const auto found = values_.find(series);
    return found == values_.end() ? -1 : found->second;
  }

 private:
  void Put(std::string_view name, std::string_view labels, int64_t value) {
    values_[std::string(name) + "{" + std::string(labels) + "}"] = value;
  }
  std::map<std::string, int64_t> values_;
};

int64_t Sample(const GapLedger& ledger, const std::string& series) {
  Samples samples;
  ledger.Describe(&samples);
  return samples.Of(series);
}

TEST(GapLedger, AddsUpByTableAndCause) {
  GapLedger ledger("m");
  const std::vector<std::string> both = {"b", "a"};
  const std::vector<std::string> one = {"a"};
  ledger.Record(Cause::kTimeout, "", both, 2, At(20));
  ledger.Record(Cause::kTimeout, "", one, 3, At(10));
  ledger.Record(Cause::kTimeout, "", one, 1, At(15));
  ledger.Record(Cause::kRefused, "42P01", one, 1, At(30));
  ledger.Record(Cause::kRefused, "23505", one, 1, At(31));
  EXPECT_EQ(Told(ledger),
            "a timeout  6/3 10-20\n"
            "a refused 23505 1/1 31-31\n"
            "a refused 42P01 1/1 30-30\n"
            "b timeout  2/1 20-20\n");
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_tables{mirror=\"m\"}"), 2);
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_statements{mirror=\"m\",cause=\"timeout\"}"), 6);
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_statements{mirror=\"m\",cause=\"refused\"}"), 2);
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_statements{mirror=\"m\",cause=\"crash\"}"), 0);
}

TEST(GapLedger, NamesTheTablesOfAUnit) {
  GapLedger ledger("m");
  Unit unit;
  unit.steps.push_back(Simple("INSERT INTO T VALUES ('secret')"));
  unit.steps.push_back(Extended("UPDATE t SET a = $1"));
  unit.steps.push_back(Extended("WITH x AS (DELETE FROM s.u) INSERT INTO t SELECT 1"));
  unit.steps.push_back(Simple("SET search_path = s"));
  ledger.RecordUnit(unit, Cause::kOverBudget, "");
  EXPECT_EQ(ToldOfUnits(ledger), "s.u over_budget  1/1\nt over_budget  3/1\n");
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_statements{mirror=\"m\",cause=\"over_budget\"}"), 4);
}

TEST(GapLedger, WhatNobodyKeptMayBeAnyTable) {
  GapLedger ledger("m");
  ledger.RecordUnit(Unit(), Cause::kOutcomeUnknown, "");
  Unit unit;
  unit.steps.push_back(Step());
  unit.steps.push_back(Simple("INSERT INTO t VALUES (1)"));
  Step named;
  named.extended = true;
  named.statement = "prepared in SQL";
  unit.steps.push_back(std::move(named));
  ledger.RecordUnit(unit, Cause::kTooLarge, "");
  EXPECT_EQ(ToldOfUnits(ledger),
            "* too_large  2/1\n* outcome_unknown  0/1\nt too_large  1/1\n");
}

TEST(GapLedger, WhatWritesNoTableIsToldWithoutOne) {
  GapLedger ledger("m");
  Unit unit;
  unit.steps.push_back(Simple("SET a = 1"));
  unit.steps.push_back(Simple("GRANT ALL ON t TO joe"));
  ledger.RecordUnit(unit, Cause::kRefused, "42704");
  EXPECT_EQ(ToldOfUnits(ledger), " refused 42704 2/1\n");
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_tables{mirror=\"m\"}"), 0);
}

// Nobody noted how the session's strings ended, so neither reading may name a table.
TEST(GapLedger, ABackslashThatDecidesMakesItAnyTable) {
  GapLedger ledger("m");
  Unit unit;
  unit.steps.push_back(Simple(R"(INSERT INTO t VALUES ('\'); DELETE FROM secret --'))"));
  unit.steps.push_back(Simple(R"(INSERT INTO u VALUES ('C:\x'))"));
  ledger.RecordUnit(unit, Cause::kTimeout, "");
  EXPECT_EQ(ToldOfUnits(ledger), "* timeout  1/1\nu timeout  1/1\n");
}

TEST(GapLedger, ClearsByTableAndTime) {
  GapLedger ledger("m");
  const std::vector<std::string> tables = {"a", "b", ""};
  ledger.Record(Cause::kTimeout, "", tables, 1, At(10));
  const std::vector<std::string> one = {"a"};
  ledger.Record(Cause::kRefused, "42P01", one, 1, At(20));
  const uint64_t version = ledger.version();
  EXPECT_EQ(ledger.Clear("c", absl::InfiniteFuture()), 0u);
  EXPECT_EQ(ledger.version(), version);
  EXPECT_EQ(ledger.Clear("a", At(15)), 1u);
  EXPECT_EQ(Told(ledger), " timeout  1/1 10-10\na refused 42P01 1/1 20-20\nb timeout  1/1 10-10\n");
  EXPECT_NE(ledger.version(), version);
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_tables{mirror=\"m\"}"), 2);
  EXPECT_EQ(ledger.Clear("a", At(20)), 1u);
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_tables{mirror=\"m\"}"), 1);
  EXPECT_EQ(ledger.Clear(std::nullopt, absl::InfiniteFuture()), 2u);
  EXPECT_EQ(Told(ledger), "");
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_tables{mirror=\"m\"}"), 0);
}

TEST(GapLedger, FoldsIntoAnyTableBeyondItsBound) {
  GapLedger ledger("m");
  constexpr size_t kTables = 2 * GapLedger::kEntriesMax;
  for (size_t i = 0; i < kTables; ++i) {
    const std::vector<std::string> table = {"t" + std::to_string(i)};
    ledger.Record(i % 2 == 0 ? Cause::kTimeout : Cause::kRefused, i % 2 == 0 ? "" : "42P01", table,
                  1, At(static_cast<int64_t>(i)));
  }
  EXPECT_TRUE(ledger.folded());
  const std::vector<Gap> gaps = ledger.Snapshot();
  EXPECT_LE(gaps.size(), GapLedger::kEntriesMax);
  uint64_t statements = 0;
  uint64_t folded = 0;
  for (const Gap& gap : gaps) {
    statements += gap.statements;
    folded += gap.table == "*" ? 1 : 0;
  }
  EXPECT_EQ(statements, kTables);  // none is forgotten
  EXPECT_EQ(folded, 2u);
  EXPECT_EQ(Sample(ledger, "pgbraid_mirror_gap_tables{mirror=\"m\"}"),
            static_cast<int64_t>(gaps.size() - 1));
  ledger.Clear("t0", absl::InfiniteFuture());
  EXPECT_TRUE(ledger.folded());
  ledger.Clear("*", absl::InfiniteFuture());
  EXPECT_FALSE(ledger.folded());
}

TEST(GapLedger, KnowsTheWorkOfTheShardsThatLive) {
  GapLedger ledger("m");
  MirrorMetrics a;
  MirrorMetrics b;
  a.offered.Add(5);
  a.queued_units.Add(2);
  b.offered.Add(7);
  b.queued_units.Add(1);
  ledger.Watch(&a);
  ledger.Watch(&b);
  EXPECT_EQ(ledger.work().offered, 12u);
  EXPECT_EQ(ledger.work().queued, 3u);
  ledger.Unwatch(&a);
  EXPECT_EQ(ledger.work().offered, 7u);
  EXPECT_EQ(ledger.work().queued, 1u);
}

TEST(GapLedger, ForgetsNothingThatManyThreadsTell) {
  GapLedger ledger("m");
  constexpr int kThreads = 4;
  constexpr int kTimes = 2000;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&ledger] {
      for (int j = 0; j < kTimes; ++j) {
        const std::vector<std::string> tables = {"all", "t" + std::to_string(j % 100)};
        ledger.Record(Cause::kTimeout, "", tables, 1, At(j));
        if (j % 100 == 0) {
          static_cast<void>(ledger.Snapshot());
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const std::vector<Gap> gaps = ledger.Snapshot();
  ASSERT_EQ(gaps.size(), 101u);
  EXPECT_EQ(gaps[0].statements, static_cast<uint64_t>(kThreads * kTimes));
  EXPECT_EQ(gaps[1].statements, static_cast<uint64_t>(kThreads * kTimes / 100));
}

}  // namespace
}  // namespace mirror
