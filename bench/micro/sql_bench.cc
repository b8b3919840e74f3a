// What classifying costs: pgbench's statements and a report query, each lexed and classified anew
// and answered from the cache; and to see that they leave nothing behind in a session.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "sql/classify.h"
#include "sql/classify_cache.h"
#include "sql/session_effects.h"
#include "sql/split.h"

namespace {

constexpr std::string_view kTexts[] = {
    "SELECT abalance FROM pgbench_accounts WHERE aid = 84231;",
    "UPDATE pgbench_accounts SET abalance = abalance + -1234 WHERE aid = 84231;",
    "SELECT c.region, date_trunc('month', o.ordered_at) AS month, count(*) AS orders, "
    "sum(o.amount) AS total, avg(o.amount) FILTER (WHERE o.amount > 0) FROM orders o JOIN "
    "customers c ON c.id = o.customer_id WHERE o.ordered_at >= $1 AND c.segment IN ('a', 'b') "
    "GROUP BY c.region, month ORDER BY total DESC LIMIT 50",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 84231, -1234, "
    "CURRENT_TIMESTAMP);",
};
constexpr const char* kNames[] = {"pgbench SELECT", "pgbench UPDATE", "report query",
                                  "pgbench INSERT"};

void Describe(benchmark::State& state, std::string_view text) {
  state.SetLabel(std::string(kNames[state.range(0)]) + ", " + std::to_string(text.size()) +
                 " bytes");
  state.SetBytesProcessed(static_cast<int64_t>(text.size()) * state.iterations());
}

void Classify(benchmark::State& state) {
  const std::string_view text = kTexts[state.range(0)];
  for (auto _ : state) {
    sql::Statement statement = sql::Classify(text);
    benchmark::DoNotOptimize(statement);
  }
  Describe(state, text);
}
BENCHMARK(Classify)->DenseRange(0, 3);

void ClassifyCached(benchmark::State& state) {
  const std::string_view text = kTexts[state.range(0)];
  sql::ClassifyCache cache(1 << 20);
  for (auto _ : state) {
    benchmark::DoNotOptimize(&cache.Classify(text));
  }
  Describe(state, text);
}
BENCHMARK(ClassifyCached)->DenseRange(0, 3);

// A text never seen before, as from a client that pastes values in: classify, store, evict.
void ClassifyMissed(benchmark::State& state) {
  std::string text(kTexts[state.range(0)]);
  text += " -- ";
  const size_t fixed = text.size();
  sql::ClassifyCache cache(1 << 20);
  uint64_t count = 0;
  for (auto _ : state) {
    text.resize(fixed);
    text += std::to_string(++count);
    benchmark::DoNotOptimize(&cache.Classify(text));
  }
  Describe(state, text);
}
BENCHMARK(ClassifyMissed)->DenseRange(0, 3);

void Split(benchmark::State& state) {
  const std::string_view text = kTexts[state.range(0)];
  for (auto _ : state) {
    sql::Splitter splitter(text);
    std::string_view statement;
    while (splitter.Next(&statement)) benchmark::DoNotOptimize(statement);
  }
  Describe(state, text);
}
BENCHMARK(Split)->DenseRange(0, 3);

void MayHaveEffects(benchmark::State& state) {
  const std::string_view text = kTexts[state.range(0)];
  for (auto _ : state) {
    benchmark::DoNotOptimize(sql::MayHaveEffects(text));
  }
  Describe(state, text);
}
BENCHMARK(MayHaveEffects)->DenseRange(0, 3);

void ReadEffects(benchmark::State& state) {
  const std::string_view text = kTexts[state.range(0)];
  for (auto _ : state) {
    sql::SessionEffects effects = sql::ReadEffects(text);
    benchmark::DoNotOptimize(effects);
  }
  Describe(state, text);
}
BENCHMARK(ReadEffects)->DenseRange(0, 3);

}  // namespace

BENCHMARK_MAIN();
