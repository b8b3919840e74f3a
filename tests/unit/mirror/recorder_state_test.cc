// What the recorder makes of statements that depend on what was said before them, or that commit by
// themselves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/mirror/converse.h"
#include "support/pg_messages.h"

namespace mirror {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(RecorderState, TextBehindASetThatIsUnderWayIsReadAsItWillRun) {
  Converse c;
  c.Query("SET standard_conforming_strings = off").Query(R"(SELECT 'a\''; DELETE FROM t; --')");
  c.Query("SET standard_conforming_strings = on").Query(R"(SELECT 'a\'; DELETE FROM u; --')");
  c.Reply("C:SET|Z:I|C:SELECT 1|C:DELETE 1|Z:I|C:SET|Z:I|C:SELECT 1|C:DELETE 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("SET standard_conforming_strings = off", "DELETE FROM t",
                                     "SET standard_conforming_strings = on", "DELETE FROM u"));
}

TEST(RecorderState, TextBehindASetThatFailedIsReadAsBefore) {
  Converse c;
  c.Query("SET standard_conforming_strings = off").Query(R"(SELECT 'a\'; DELETE FROM t; --')");
  c.Reply("E:42501|Z:I|C:SELECT 1|C:DELETE 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("DELETE FROM t"));
}

TEST(RecorderState, AnsweredParseAndCloseCountAtOnce) {
  Converse c;
  c.Parse("s", "DELETE FROM t").Sync().Reply("1|Z:I");
  c.Answered('C', "S" + support::CString("s")).Bind("", "s").Execute().Sync();
  c.Reply("E:26000|Z:I");
  c.Answered('P', support::CString("s") + support::CString("DELETE FROM u") + support::Be16(0));
  c.Bind("", "s").Execute().Sync().Reply("2|C:DELETE 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("DELETE FROM u <>"));
  c.Answered('C', "S" + support::CString("s")).End();
  EXPECT_EQ(c.names.held(), 0);
}

// What waits for its locks goes on as soon as it has run, before its answer is here.
TEST(RecorderState, EndOfAPreparedTransactionTakesItsPlaceWhenItIsForwarded) {
  for (const bool simple : {true, false}) {
    Converse c;
    if (simple) {
      c.Query("COMMIT PREPARED 'g'");
    } else {
      c.OneShot("COMMIT PREPARED 'g'").Sync();
    }
    ASSERT_EQ(c.shelf.reserved.size(), 1u);
    c.Reply(simple ? "C:COMMIT PREPARED|Z:I" : "1|2|C:COMMIT PREPARED|Z:I");
    ASSERT_EQ(c.shelf.raw.size(), 1u);
    EXPECT_EQ(c.shelf.raw[0].place.stamp, c.shelf.reserved[0]);
    EXPECT_EQ(c.shelf.released, c.shelf.reserved);
  }
}

TEST(RecorderState, WhatCommitsByItselfIsAloneInAPipeline) {
  Converse c;
  c.OneShot("DELETE FROM t").OneShot("CREATE INDEX CONCURRENTLY i ON t(a)");
  c.OneShot("DELETE FROM u").Sync();
  c.Reply("1|2|C:DELETE 1|1|2|C:CREATE INDEX|1|2|C:DELETE 1|Z:I");
  c.OneShot("DELETE FROM t").OneShot("CALL p()").OneShot("DELETE FROM u").Sync();
  c.Reply("1|2|C:DELETE 1|1|2|C:CALL|1|2|C:DELETE 1|Z:I");
  EXPECT_THAT(c.units(),
              ElementsAre("DELETE FROM t <>", "CREATE INDEX CONCURRENTLY i ON t(a) <>",
                          "DELETE FROM u <>", "DELETE FROM t <>", "CALL p() <>",
                          "DELETE FROM u <>"));
}

TEST(RecorderState, WhatCommittedByItselfOutlivesALaterError) {
  Converse c;
  c.OneShot("DROP INDEX CONCURRENTLY i").OneShot("SELECT 1/0").Sync();
  c.Reply("1|2|C:DROP INDEX|1|2|E:22012|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("DROP INDEX CONCURRENTLY i <>"));
}

TEST(RecorderState, ProcedureThatFailsMayHaveCommitted) {
  Converse c;
  c.Ask("CALL p()", "!22012").Ask("DO 'BEGIN COMMIT; PERFORM 1/0; END'", "!22012");
  ASSERT_EQ(c.shelf.raw.size(), 2u);
  EXPECT_EQ(c.shelf.raw[0].steps.at(0).tag, "!22012");
  c.Ask("DO 'BEGIN PERFORM 1/0; END'", "!22012");  // cannot have
  c.Ask("BEGIN", "BEGIN", 'T').Ask("CALL p()", "!22012", 'E').Ask("ROLLBACK", "ROLLBACK");
  c.Ask("CALL p(); SELECT 1", "!22012");  // one transaction
  EXPECT_THAT(c.units(), ElementsAre("CALL p()", "DO 'BEGIN COMMIT; PERFORM 1/0; END'"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(RecorderState, ProcedureThatFailsForWhatPassesIsOfUnknownOutcome) {
  Converse c;
  c.Ask("CALL p()", "!57014");
  c.OneShot("DELETE FROM t").OneShot("CALL p()").Sync();
  c.Reply("1|2|C:DELETE 1|1|2|E:22012|Z:I");
  c.OneShot("CALL p()").OneShot("DELETE FROM t").OneShot("SELECT 1/0").Sync();
  c.Reply("1|2|C:CALL|1|2|C:DELETE 1|1|2|E:22012|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("dropped outcome_unknown", "dropped outcome_unknown",
                                     "dropped outcome_unknown"));
  EXPECT_EQ(c.shelf.raw[1].steps.size(), 2u);
  EXPECT_EQ(c.shelf.raw[2].steps.size(), 1u);
  EXPECT_EQ(c.held.held(), 0);
}

TEST(RecorderState, PrepareBehindASavepointStaysInItsPlace) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("CREATE TABLE m(a int)", "CREATE TABLE", 'T');
  c.Ask("SAVEPOINT s", "SAVEPOINT", 'T').Ask("PREPARE q AS DELETE FROM m", "PREPARE", 'T');
  c.Ask("DELETE FROM t", "DELETE 1", 'T').Ask("ROLLBACK TO s", "ROLLBACK", 'T');
  c.Ask("EXECUTE q", "DELETE 0", 'T').Ask("ROLLBACK TO s", "ROLLBACK", 'T');
  EXPECT_THAT(c.units(), IsEmpty());
  c.Ask("DELETE FROM u", "DELETE 1", 'T').Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(),
              ElementsAre("CREATE TABLE m(a int); PREPARE q AS DELETE FROM m; DELETE FROM u"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(RecorderState, SqlThatNamesAParsedStatementTakesItAlong) {
  Converse c;
  c.Parse("s", "INSERT INTO t VALUES ($1)").Parse("r", "SELECT 1").Sync().Reply("1|1|Z:I");
  c.Ask("EXECUTE s(1)", "INSERT 0 1").Ask("EXECUTE r", "SELECT 1");
  c.Ask("EXPLAIN ANALYZE EXECUTE s(1)", "EXPLAIN");
  ASSERT_EQ(c.shelf.raw.size(), 2u);
  const std::vector<Step>& steps = c.shelf.raw[0].steps;
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].statement, "s");
  EXPECT_TRUE(steps[0].bind.empty());
  EXPECT_EQ(steps[1].text.view(), "EXECUTE s(1)");
  EXPECT_EQ(steps[2].text.view(), "DEALLOCATE \"s\"");
}

TEST(RecorderState, ParsedTextIsReadUnderTheSettingsOfItsParse) {
  Converse c;
  c.Report("DateStyle=ISO, MDY").Report("TimeZone=UTC");
  c.Parse("s", "INSERT INTO d VALUES ('01/02/2020')").Sync().Reply("1|Z:I");
  c.Bind("", "s").Execute().Sync().Reply("2|C:INSERT 0 1|Z:I");
  c.Query("SET DateStyle = 'ISO, DMY'").Reply("C:SET").Report("DateStyle=ISO, DMY").Reply("Z:I");
  c.Bind("", "s").Execute().Sync().Reply("2|C:INSERT 0 1|Z:I");
  ASSERT_EQ(c.shelf.raw.size(), 3u);
  EXPECT_EQ(c.shelf.raw[0].steps.size(), 1u);
  const std::vector<Step>& steps = c.shelf.raw[2].steps;
  ASSERT_EQ(steps.size(), 5u);
  EXPECT_EQ(steps[0].text.view(),
            "SELECT 1, pg_catalog.set_config('datestyle', 'ISO, MDY', true), "
            "pg_catalog.set_config('timezone', 'UTC', true)");
  EXPECT_TRUE(steps[1].bind.empty());
  EXPECT_EQ(steps[2].text.view(),
            "SELECT 1, pg_catalog.set_config('datestyle', 'ISO, DMY', true), "
            "pg_catalog.set_config('timezone', 'UTC', true)");
  EXPECT_EQ(steps[3].statement, steps[1].statement);
  EXPECT_FALSE(steps[3].bind.empty());
}

TEST(RecorderState, CursorThatAWriteRefersToGoesWithIt) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("DECLARE c CURSOR FOR SELECT 1", "DECLARE CURSOR", 'T');
  c.Ask("DECLARE other CURSOR FOR SELECT 2", "DECLARE CURSOR", 'T').Ask("FETCH c", "FETCH 1", 'T');
  c.Ask("FETCH 1 FROM other", "FETCH 1", 'T').Ask("SAVEPOINT s", "SAVEPOINT", 'T');
  c.Ask("MOVE c", "MOVE 1", 'T').Ask("DELETE FROM u", "DELETE 1", 'T');
  c.Ask("ROLLBACK TO s", "ROLLBACK", 'T');
  c.Ask("UPDATE t SET a = 1 WHERE CURRENT OF c", "UPDATE 1", 'T').Ask("FETCH C", "FETCH 1", 'T');
  c.Ask("CLOSE c", "CLOSE CURSOR", 'T').Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(),
              ElementsAre("DECLARE c CURSOR FOR SELECT 1; FETCH c; MOVE c; "
                          "UPDATE t SET a = 1 WHERE CURRENT OF c; FETCH C; CLOSE c"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(RecorderState, CursorThatWritesGoesWithItsRows) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T');
  c.Ask("DECLARE c CURSOR FOR SELECT nextval('s')", "DECLARE CURSOR", 'T');
  c.Ask("FETCH 3 FROM c", "FETCH 3", 'T').Ask("CLOSE ALL", "CLOSE CURSOR ALL", 'T');
  c.Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("DECLARE c CURSOR FOR SELECT nextval('s'); FETCH 3 FROM c; "
                                     "CLOSE ALL"));
}

TEST(RecorderState, CursorThatOnlyReadsCostsNothingInTheEnd) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("DECLARE c CURSOR FOR SELECT 1", "DECLARE CURSOR", 'T');
  for (int i = 0; i < 3000; ++i) {
    c.Ask("FETCH c", "FETCH 1", 'T');
  }
  EXPECT_LT(c.held.held(), 1'000'000);
  c.Ask("DELETE FROM t", "DELETE 1", 'T').Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("DELETE FROM t"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(RecorderState, TypesThatUsersMadeAreLeftToTheMirror) {
  Converse c;
  c.Send(support::Frame('P', support::CString("") + support::CString("INSERT INTO e VALUES ($1)") +
                                 support::Be16(3) + support::Be32(23) + support::Be32(16384) +
                                 support::Be32(90000)));
  c.Bind("", "", "x").Execute().Sync().Reply("1|2|C:INSERT 0 1|Z:I");
  EXPECT_EQ(c.shelf.raw.at(0).steps.at(0).parse.view(),
            support::CString("INSERT INTO e VALUES ($1)") + support::Be16(3) + support::Be32(23) +
                support::Be32(0) + support::Be32(0));
}

}  // namespace
}  // namespace mirror
