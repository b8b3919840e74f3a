#include "mirror/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "sql/classify.h"
#include "unit/mirror/converse.h"

namespace mirror {
namespace {

using config::MirrorMode;
using testing::ElementsAre;
using testing::IsEmpty;

config::Config With(std::vector<config::MirrorChoices> mirrors) {
  config::Config config;
  for (config::MirrorChoices& choices : mirrors) {
    config.mirrors.emplace_back().mirror = std::move(choices);
  }
  return config;
}

config::MirrorChoices Of(MirrorMode mode) {
  config::MirrorChoices choices;
  choices.mode = mode;
  return choices;
}

// One letter for each mode that wants the statement: writes, all, reads, ddl, dml, w+r ("b").
std::string Wanting(std::string_view text) {
  const Filters filters(With({Of(MirrorMode::kWrites), Of(MirrorMode::kAll), Of(MirrorMode::kReads),
                              Of(MirrorMode::kDdl), Of(MirrorMode::kDml),
                              Of(MirrorMode::kWritesAndReads)}));
  const uint32_t mask = filters.Wanting(KindOf(sql::Classify(text)), 0);
  std::string letters;
  for (size_t i = 0; i < 6; ++i) {
    letters += (mask >> i & 1) != 0 ? std::string(1, "wardmb"[i]) : "";
  }
  return letters;
}

constexpr std::string_view kEverywhere = "wardmb";
constexpr std::string_view kNowhere = "";
constexpr std::string_view kDdl = "wadb";
constexpr std::string_view kDml = "wamb";
constexpr std::string_view kRead = "arb";
constexpr std::string_view kOther = "a";
constexpr std::string_view kUnknown = "wadmb";

struct Row {
  std::string_view text;
  std::string_view wanted;
};

// The 43 statements of frenzy's table, with what pgbraid does. Where frenzy went by the first word
// (statements behind a comment or a bracket, EXPLAIN ANALYZE, writing CTEs) it lost writes.
constexpr Row kF06[] = {
    {"INSERT INTO t VALUES (1)", kDml},
    {"insert into t values (1)", kDml},
    {"UPDATE t SET a = 1", kDml},
    {"DELETE FROM t", kDml},
    {"MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", kDml},
    {"CREATE TABLE t (a int)", kDdl},
    {"ALTER TABLE t ADD b int", kDdl},
    {"DROP TABLE t", kDdl},
    {"TRUNCATE t", kDdl},
    {"CALL p()", kDml},
    {"DO $$ BEGIN END $$", kDml},
    {"BEGIN", kNowhere},
    {"START TRANSACTION", kNowhere},
    {"COMMIT", kNowhere},
    {"END", kNowhere},
    {"ROLLBACK", kNowhere},
    {"SAVEPOINT s", kNowhere},
    {"RELEASE s", kNowhere},
    {"ROLLBACK TO s", kNowhere},
    {"SET search_path = a", kEverywhere},
    {"RESET search_path", kEverywhere},
    {"DISCARD ALL", kEverywhere},
    {"PREPARE p AS INSERT INTO t VALUES ($1)", kEverywhere},
    {"EXECUTE p(1)", kDml},
    {"DEALLOCATE p", kEverywhere},
    {"GRANT SELECT ON t TO u", kDdl},
    {"REVOKE SELECT ON t FROM u", kDdl},
    {"COMMENT ON TABLE t IS 'x'", kDdl},
    {"COPY t FROM '/tmp/x'", kDml},
    {"COPY t FROM STDIN", kDml},
    {"COPY t TO STDOUT", kRead},
    {"SELECT setval('s', 1)", kDml},
    {"SELECT nextval('s')", kDml},
    {"SELECT 1", kRead},
    {"WITH a AS (SELECT 1) SELECT * FROM a", kRead},
    {"LISTEN c", kOther},
    {"NOTIFY c", kOther},
    {"UNLISTEN c", kOther},
    {"VACUUM t", kOther},
    {"ANALYZE t", kOther},
    {"REINDEX TABLE t", kDdl},
    {"CLUSTER t", kDdl},
    {"/* a */ (SELECT 1)", kRead},
};
static_assert(std::size(kF06) == 43);

constexpr Row kBeyondF06[] = {
    {"-- b\nINSERT INTO t VALUES (1)", kDml},
    {"WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", kDml},
    {"EXPLAIN ANALYZE DELETE FROM t", kDml},
    {"EXPLAIN DELETE FROM t", kRead},
    {"SELECT * INTO u FROM t", kDdl},
    {"CREATE TABLE u AS SELECT 1", kDdl},
    {"CREATE TEMP TABLE u (a int)", kEverywhere},
    {"CREATE TEMP TABLE u AS SELECT 1", kEverywhere},
    {"SELECT 1 INTO TEMP u", kEverywhere},
    {"INSERT INTO pg_temp.u VALUES (1)", kDml},
    {"REFRESH MATERIALIZED VIEW v", kDml},
    {"SECURITY LABEL ON TABLE t IS 'x'", kDdl},
    {"IMPORT FOREIGN SCHEMA s FROM SERVER f INTO l", kDdl},
    {"SELECT lo_create(0)", kDml},
    {"SELECT * FROM t FOR UPDATE", kRead},
    {"SHOW search_path", kRead},
    {"VALUES (1)", kRead},
    {"TABLE t", kRead},
    {"DECLARE c CURSOR FOR SELECT 1", kRead},
    {"FETCH 1 FROM c", kRead},
    {"CLOSE c", kRead},
    {"LOCK TABLE t", kOther},
    {"SELECT pg_notify('c', '')", kOther},
    {"SELECT pg_advisory_lock(1)", kEverywhere},
    {"SELECT pg_advisory_unlock(1)", kEverywhere},
    {"SELECT pg_advisory_xact_lock(1)", kRead},
    {"SELECT set_config('a.b', 'c', false)", kEverywhere},
    {"COMMIT PREPARED 'x'", kEverywhere},
    {"ROLLBACK PREPARED 'x'", kEverywhere},
    {"PREPARE TRANSACTION 'x'", kNowhere},
    // Each server's own: another process has that number there, another disk that file.
    {"SELECT pg_terminate_backend(1)", kNowhere},
    {"SELECT pg_reload_conf()", kNowhere},
    {"SELECT pg_create_physical_replication_slot('s')", kNowhere},
    {"ALTER SYSTEM SET work_mem = '1MB'", kNowhere},
    {"CHECKPOINT", kNowhere},
    {"COPY t TO '/tmp/x'", kNowhere},
    {"COPY (SELECT 1) TO PROGRAM 'cat'", kNowhere},
    {"FROBNICATE t", kUnknown},
};

TEST(Filter, F06ToF10EveryModeTakesWhatItNames) {
  for (const Row& row : kF06) {
    EXPECT_EQ(Wanting(row.text), row.wanted) << row.text;
  }
  for (const Row& row : kBeyondF06) {
    EXPECT_EQ(Wanting(row.text), row.wanted) << row.text;
  }
}

TEST(Filter, F11TransactionCommandsAreKnownByTheirTokens) {
  for (const char* text :
       {"BEGIN", "begin;", "BEGIN ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION", "COMMIT",
        "COMMIT WORK", "END", "END TRANSACTION", "ROLLBACK", "ABORT", "rollback work",
        "/* c */ COMMIT", "SAVEPOINT s"}) {
    EXPECT_EQ(KindOf(sql::Classify(text)), Kind::kControl) << text;
  }
}

TEST(Filter, TagsTellWhatWasTooLargeToKeep) {
  EXPECT_EQ(KindOfTag("SELECT 10"), Kind::kRead);
  EXPECT_EQ(KindOfTag("INSERT 0 1"), Kind::kDml);
  EXPECT_EQ(KindOfTag("CREATE FUNCTION"), Kind::kDdl);
  EXPECT_EQ(KindOfTag("ROLLBACK"), Kind::kControl);
  EXPECT_EQ(KindOfTag("REFRESH MATERIALIZED VIEW"), Kind::kUnknown);
}

TEST(Filter, PatternsNarrowWhatAModeTakes) {
  config::MirrorChoices orders;
  orders.include = {"(?i)\\borders\\b"};
  orders.exclude = {"(?i)secret"};
  const config::Config config = With({orders, config::MirrorChoices()});
  const Filters filters(config);
  ASSERT_NE(filters.marker(), nullptr);
  sql::ClassifyCache cache(1 << 20, nullptr, filters.marker());
  const auto wanting = [&](std::string_view text) {
    const sql::Statement& facts = cache.Classify(text);
    return filters.Wanting(KindOf(facts), facts.marks);
  };
  EXPECT_EQ(wanting("INSERT INTO orders VALUES (1)"), 3u);
  EXPECT_EQ(wanting("INSERT INTO items VALUES (1)"), 2u);
  EXPECT_EQ(wanting("INSERT INTO\norders SELECT secret FROM x"), 2u);
  EXPECT_EQ(wanting("SELECT * FROM orders"), 0u);
  // State and locks are not asked to match; state may be excluded, half of a lock may not.
  EXPECT_EQ(wanting("SET search_path = a"), 3u);
  EXPECT_EQ(wanting("SET a.secret = 1"), 2u);
  EXPECT_EQ(wanting("SELECT pg_advisory_unlock(1) /* secret */"), 3u);
}

TEST(Filter, WithoutPatternsNothingIsMarked) {
  EXPECT_EQ(Filters(With({Of(MirrorMode::kAll)})).marker(), nullptr);
}

TEST(Filter, EqualMirrorsShareAFilter) {
  const Filters filters(With({Of(MirrorMode::kAll), config::MirrorChoices(), Of(MirrorMode::kAll),
                              Of(MirrorMode::kWrites)}));
  EXPECT_EQ(filters.FilterOf(0), filters.FilterOf(2));
  EXPECT_EQ(filters.FilterOf(1), filters.FilterOf(3));
  EXPECT_NE(filters.FilterOf(0), filters.FilterOf(1));
}

TEST(Filter, SampleHasItsShareAndTheSmallerIsPartOfTheLarger) {
  int tenth = 0;
  int half = 0;
  for (uint64_t number = 0; number < 20'000; ++number) {
    const bool in_tenth = InSample(0.1, 7, number);
    const bool in_half = InSample(0.5, 7, number);
    EXPECT_TRUE(!in_tenth || in_half);
    EXPECT_EQ(in_half, InSample(0.5, 7, number));
    tenth += in_tenth ? 1 : 0;
    half += in_half ? 1 : 0;
    ASSERT_TRUE(InSample(1, 7, number));
    ASSERT_FALSE(InSample(0, 7, number));
  }
  // Seven standard deviations of a fair draw: 7 * sqrt(20000 * 0.1 * 0.9), 7 * sqrt(20000 / 4).
  EXPECT_NEAR(tenth, 2'000, 297);
  EXPECT_NEAR(half, 10'000, 495);
}

// -- through the recorder -------------------------------------------------------------------------

constexpr int64_t kBudget = 64 << 20;

TEST(FilteredRecorder, EachMirrorGetsWhatItsFilterWants) {
  Converse c({}, kBudget,
             With({Of(MirrorMode::kWrites), Of(MirrorMode::kReads), Of(MirrorMode::kDdl),
                   Of(MirrorMode::kAll)}),
             4);
  c.Ask("BEGIN", "BEGIN", 'T').Ask("SELECT 1", "SELECT 1", 'T').Ask("LOCK t", "LOCK TABLE", 'T');
  c.Ask("CREATE TABLE u (a int)", "CREATE TABLE", 'T').Ask("INSERT u", "INSERT 0 1", 'T');
  c.Ask("SET a.b = 1", "SET", 'T').Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.shelves[0].units, ElementsAre("CREATE TABLE u (a int); INSERT u; SET a.b = 1"));
  EXPECT_THAT(c.shelves[1].units, ElementsAre("SELECT 1; SET a.b = 1"));
  EXPECT_THAT(c.shelves[2].units, ElementsAre("CREATE TABLE u (a int); SET a.b = 1"));
  EXPECT_THAT(c.shelves[3].units,
              ElementsAre("SELECT 1; LOCK t; CREATE TABLE u (a int); INSERT u; SET a.b = 1"));
  EXPECT_EQ(c.metrics[0].filtered_statements.value(), 2u);
  EXPECT_EQ(c.metrics[1].filtered_statements.value(), 3u);
  EXPECT_EQ(c.metrics[2].filtered_statements.value(), 3u);
  EXPECT_EQ(c.metrics[3].filtered_statements.value(), 0u);
  c.Ask("INSERT v", "INSERT 0 1");
  EXPECT_EQ(c.shelves[1].units.size(), 1u);
  EXPECT_EQ(c.shelves[2].units.size(), 1u);
}

TEST(FilteredRecorder, ReadsGoAsProtocolToo) {
  Converse c({}, kBudget, With({Of(MirrorMode::kReads)}));
  c.Parse("s", "SELECT $1").Bind("", "s", "7").Execute().Sync();
  c.Reply("1|2|D|C:SELECT 1|Z:I");
  c.Parse("w", "INSERT INTO t VALUES ($1)").Bind("", "w", "8").Execute().Sync();
  c.Reply("1|2|C:INSERT 0 1|Z:I");
  c.Ask("SELECT 1; INSERT x; SELECT 2", "SELECT 1,INSERT 0 1,SELECT 1");
  EXPECT_THAT(c.units(), ElementsAre("SELECT $1 <7>", "SELECT 1; SELECT 2"));
}

TEST(FilteredRecorder, ExecuteIsWhatWasPrepared) {
  config::MirrorChoices orders = Of(MirrorMode::kWritesAndReads);
  orders.include = {"orders"};
  Converse c({}, kBudget, With({Of(MirrorMode::kWrites), Of(MirrorMode::kReads), orders}), 3);
  c.Ask("PREPARE r AS SELECT 1", "PREPARE").Ask("PREPARE w AS DELETE FROM orders", "PREPARE");
  for (Shelf& shelf : c.shelves) {
    EXPECT_EQ(shelf.units.size(), 2u);
    shelf.units.clear();
  }
  c.Ask("EXECUTE r", "SELECT 1").Ask("EXECUTE w", "DELETE 1");
  EXPECT_THAT(c.shelves[0].units, ElementsAre("EXECUTE w"));
  EXPECT_THAT(c.shelves[1].units, ElementsAre("EXECUTE r"));
  EXPECT_THAT(c.shelves[2].units, ElementsAre("EXECUTE w"));
}

TEST(FilteredRecorder, LocksTakenByExecuteStayInPairs) {
  config::MirrorChoices none;
  none.exposure = 0;
  Converse c({}, kBudget, With({none}));
  c.Ask("PREPARE l AS SELECT pg_advisory_lock(1)", "PREPARE").Ask("EXECUTE l", "SELECT 1");
  c.Ask("PREPARE k AS SELECT pg_terminate_backend(1)", "PREPARE").Ask("EXECUTE k", "SELECT 1");
  EXPECT_THAT(c.units(), ElementsAre("PREPARE l AS SELECT pg_advisory_lock(1)", "EXECUTE l",
                                     "PREPARE k AS SELECT pg_terminate_backend(1)"));
  EXPECT_EQ(c.shelf.raw[1].steps[0].trace, Trace::kHeld);
}

TEST(FilteredRecorder, SampledOutTransactionsLeaveTheirStateAndNothingElse) {
  config::MirrorChoices none;
  none.exposure = 0;
  Converse c({}, kBudget, With({none, config::MirrorChoices()}), 2);
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT a", "INSERT 0 1", 'T').Ask("SET a.b = 1", "SET", 'T');
  c.Ask("SELECT pg_advisory_lock(1)", "SELECT 1", 'T');
  c.Ask("CREATE TEMP TABLE u (a int)", "CREATE TABLE", 'T').Ask("COMMIT", "COMMIT");
  c.Ask("INSERT b", "INSERT 0 1").Ask("SELECT pg_advisory_unlock(1)", "SELECT 1");
  EXPECT_THAT(c.shelves[0].units,
              ElementsAre("SET a.b = 1; SELECT pg_advisory_lock(1); CREATE TEMP TABLE u (a int)",
                          "SELECT pg_advisory_unlock(1)"));
  EXPECT_THAT(c.shelves[1].units, testing::SizeIs(3));
  EXPECT_EQ(c.metrics[0].filtered_transactions.value(), 2u);
  EXPECT_EQ(c.metrics[1].filtered_transactions.value(), 0u);
}

TEST(FilteredRecorder, SampleTakesTransactionsWholeOrNotAtAll) {
  config::MirrorChoices half;
  half.exposure = 0.5;
  Converse c({}, kBudget, With({half}));
  constexpr size_t kTransactions = 400;
  for (size_t i = 0; i < kTransactions; ++i) {
    c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT a", "INSERT 0 1", 'T');
    c.Ask("INSERT b", "INSERT 0 1", 'T').Ask("COMMIT", "COMMIT");
  }
  for (const std::string& unit : c.units()) {
    EXPECT_EQ(unit, "INSERT a; INSERT b");
  }
  EXPECT_EQ(c.units().size() + c.metrics[0].filtered_transactions.value(), kTransactions);
  EXPECT_GT(c.units().size(), 0u);
  EXPECT_GT(c.metrics[0].filtered_transactions.value(), 0u);
}

TEST(FilteredRecorder, PreparedTransactionsComeInPairsWhateverIsLeftOfThem) {
  config::MirrorChoices none;
  none.exposure = 0;
  Converse c({}, kBudget, With({Of(MirrorMode::kReads), none}), 2);
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT a", "INSERT 0 1", 'T');
  c.Ask("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION");
  c.Ask("COMMIT PREPARED 'x'", "COMMIT PREPARED");
  for (const Shelf& shelf : c.shelves) {
    EXPECT_THAT(shelf.units, ElementsAre("; PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'"));
  }
}

TEST(FilteredRecorder, PreparedTransactionThatOnlyReadIsPreparedThere) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("SELECT 1", "SELECT 1", 'T');
  c.Ask("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION");
  EXPECT_THAT(c.units(), ElementsAre("; PREPARE TRANSACTION 'x'"));
  c.Ask("BEGIN", "BEGIN", 'T').Ask("PREPARE TRANSACTION 'y'", "ROLLBACK");  // it had failed
  EXPECT_THAT(c.units(), testing::SizeIs(1));
}

TEST(FilteredRecorder, StatementsAloneAreUnitsOfTheirOwn) {
  config::Config config = Converse::WithOneMirror();
  config.mirror_statements_alone = true;
  Converse c({}, kBudget, config);
  c.Ask("BEGIN", "BEGIN", 'T').Ask("SET LOCAL a.b = 1", "SET", 'T');
  c.Ask("INSERT a", "INSERT 0 1", 'T').Ask("INSERT b", "INSERT 0 1", 'T').Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("INSERT a", "INSERT b"));
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT c", "INSERT 0 1", 'T').Ask("ROLLBACK", "ROLLBACK");
  EXPECT_THAT(c.units(), testing::SizeIs(2));
}

TEST(FilteredRecorder, LossesAreToldToThoseWhoMissSomething) {
  base::Limits limits;
  limits.mirror_transaction_max = 64 * 1024;
  Converse c(limits, kBudget, With({Of(MirrorMode::kWrites), Of(MirrorMode::kReads)}), 2);
  c.Ask("INSERT '" + std::string(200'000, 'x') + "'", "INSERT 0 1");
  EXPECT_THAT(c.shelves[0].units, ElementsAre("dropped too_large"));
  EXPECT_THAT(c.shelves[1].units, IsEmpty());
  c.Query("SELECT 1").End();
  EXPECT_THAT(c.shelves[0].units, testing::SizeIs(1));
  EXPECT_THAT(c.shelves[1].units, ElementsAre("dropped outcome_unknown"));
}

TEST(FilteredRecorder, WritingFunctionsMakeReadsWrites) {
  config::Config config = Converse::WithOneMirror();
  ASSERT_TRUE(config.writing_functions.Add("app.log_it"));
  Converse c({}, kBudget, config);
  c.Ask("SELECT log_it(1)", "SELECT 1").Ask("SELECT app.log_it(2)", "SELECT 1");
  c.Ask("SELECT other.log_it(3)", "SELECT 1").Ask("SELECT log_it FROM t", "SELECT 1");
  EXPECT_THAT(c.units(), ElementsAre("SELECT log_it(1)", "SELECT app.log_it(2)"));
}

TEST(FilteredRecorder, ListenKeepsItsConnectionAndItsPlaceInTheSample) {
  config::MirrorChoices none = Of(MirrorMode::kAll);
  none.exposure = 0;
  Converse c({}, kBudget, With({none}));
  c.Ask("LISTEN c", "LISTEN").Ask("NOTIFY c", "NOTIFY");
  EXPECT_THAT(c.units(), ElementsAre("LISTEN c"));
  EXPECT_EQ(c.shelf.raw[0].steps[0].trace, Trace::kHeld);
}

// 0x95 0x5C is one character of SJIS; its second byte is a backslash in ASCII.
constexpr char kTwoInSjis[] = "INSERT E'\x95\x5c'; INSERT 'b'";

TEST(FilteredRecorder, TextsAreSplitInTheClientsEncoding) {
  Converse c;
  c.Ask("SET client_encoding = 'SJIS'", "SET").Ask(kTwoInSjis, "INSERT 0 1,INSERT 0 1");
  EXPECT_THAT(c.units(), ElementsAre("SET client_encoding = 'SJIS'",
                                     "INSERT E'\x95\x5c'; INSERT 'b'"));
  c.Ask("SET NAMES 'UTF8'", "SET").Ask(kTwoInSjis, "INSERT 0 1");
  EXPECT_EQ(c.shelf.raw.back().steps.size(), 1u);  // a string that goes on to the end
}

TEST(FilteredRecorder, TheServersWordOnTheEncodingCounts) {
  Converse c;
  c.recorder->SetLexing("client_encoding", "shift-jis");
  c.Ask(kTwoInSjis, "INSERT 0 1,INSERT 0 1");
  EXPECT_EQ(c.shelf.raw.back().steps.size(), 2u);
  backend::Note note;
  note.kind = turn::ReplyKind::kAsync;
  note.text = "client_encoding=UTF8";
  c.recorder->OnNote(note);
  c.Ask(kTwoInSjis, "INSERT 0 1");
  EXPECT_EQ(c.shelf.raw.back().steps.size(), 1u);
}

}  // namespace
}  // namespace mirror
