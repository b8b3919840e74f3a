// What the recorder offers for conversations: only what was committed, whole, in order.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/mirror/converse.h"
#include "support/pg_messages.h"

namespace mirror {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Recorder, OffersAutocommitWrites) {
  Converse c;
  c.Ask("INSERT INTO t VALUES (1)", "INSERT 0 1").Ask("UPDATE t SET a = 2", "UPDATE 1");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1)", "UPDATE t SET a = 2"));
}

TEST(Recorder, LeavesReadsOut) {
  Converse c;
  c.Ask("SELECT 1", "SELECT 1").Ask("BEGIN", "BEGIN", 'T').Ask("SELECT 2", "SELECT 1", 'T');
  c.Ask("COMMIT", "COMMIT").OneShot("SELECT 3").Sync().Reply("1|2|C:SELECT 1|Z:I");
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_EQ(c.held.held(), 0);
  EXPECT_EQ(c.names.held(), 0);
}

TEST(Recorder, ReadsKeepNothingBetweenTheirFrames) {
  Converse c;
  c.Query("SELECT 1").OneShot("SELECT 2").Sync();
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, X01FailedAutocommitStatementLeavesNothing) {
  Converse c;
  c.Ask("INSERT INTO t VALUES (1)", "!23505");
  c.OneShot("INSERT INTO t VALUES (2)").Sync().Reply("1|2|E:23505|Z:I");
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, X02FailedQueryOfSeveralStatementsLeavesNothing) {
  Converse c;
  c.Ask("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", "INSERT 0 1,!23505");
  c.Ask("INSERT INTO t VALUES (3); SELECT 1; INSERT INTO t VALUES (4)",
        "INSERT 0 1,SELECT 1,INSERT 0 1");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (3); INSERT INTO t VALUES (4)"));
}

TEST(Recorder, X03CommitAnsweredByRollbackLeavesNothing) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT INTO t VALUES (1)", "INSERT 0 1", 'T');
  c.Ask("SELECT 1/0", "!22012", 'E').Ask("COMMIT", "ROLLBACK");
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, TransactionIsOneUnitAtItsCommit) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT INTO t VALUES (1)", "INSERT 0 1", 'T');
  c.Ask("DELETE FROM t", "DELETE 1", 'T');
  EXPECT_THAT(c.units(), IsEmpty());
  c.Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1); DELETE FROM t"));
}

TEST(Recorder, X04RollbackToSavepointTakesWhatCameAfterIt) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT INTO t VALUES (1)", "INSERT 0 1", 'T');
  c.Ask("SAVEPOINT s", "SAVEPOINT", 'T').Ask("INSERT INTO t VALUES (2)", "INSERT 0 1", 'T');
  c.Ask("SELECT 1/0", "!22012", 'E').Ask("ROLLBACK TO s", "ROLLBACK", 'T');
  c.Ask("INSERT INTO t VALUES (3)", "INSERT 0 1", 'T').Ask("RELEASE s", "RELEASE", 'T');
  c.Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1); INSERT INTO t VALUES (3)"));
}

TEST(Recorder, X04RollbackAfterRollbackToLeavesNothing) {
  Converse c;
  c.Ask("BEGIN; SAVEPOINT s", "BEGIN,SAVEPOINT", 'T');
  c.Ask("INSERT INTO t VALUES (2); ROLLBACK TO s; INSERT INTO t VALUES (3)",
        "INSERT 0 1,ROLLBACK,INSERT 0 1", 'T');
  c.Ask("ROLLBACK", "ROLLBACK");
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, X05AbortAndChain) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT INTO t VALUES (1)", "INSERT 0 1", 'T');
  c.Ask("ABORT", "ROLLBACK").Ask("INSERT INTO t VALUES (2)", "INSERT 0 1");
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT INTO t VALUES (3)", "INSERT 0 1", 'T');
  c.Ask("COMMIT AND CHAIN", "COMMIT", 'T').Ask("INSERT INTO t VALUES (4)", "INSERT 0 1", 'T');
  c.Ask("ROLLBACK AND CHAIN", "ROLLBACK", 'T').Ask("INSERT INTO t VALUES (5)", "INSERT 0 1", 'T');
  c.Ask("END", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)",
                                     "INSERT INTO t VALUES (5)"));
}

TEST(Recorder, X05PreparedTransactionsGoAsSuch) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("INSERT INTO t VALUES (1)", "INSERT 0 1", 'T');
  c.Ask("PREPARE TRANSACTION 'g'", "PREPARE TRANSACTION");
  c.Ask("COMMIT PREPARED 'g'", "COMMIT PREPARED");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1); PREPARE TRANSACTION 'g'",
                                     "COMMIT PREPARED 'g'"));
}

TEST(Recorder, X06X07ParametersStayBytes) {
  Converse c;
  c.Parse("", "UPDATE t SET a = 1 -$1").Bind("", "", "-5").Execute().Sync();
  c.Reply("1|2|C:UPDATE 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("UPDATE t SET a = 1 -$1 <-5>"));
  const Step& step = c.shelf.raw[0].steps[0];
  EXPECT_EQ(step.bind.view(), support::Be16(0) + support::Be16(1) + support::Value("-5") +
                                  support::Be16(0));
}

TEST(Recorder, X08BoundAndNotExecutedLeavesNothing) {
  Converse c;
  c.Parse("", "INSERT INTO t VALUES (1)").Bind("", "").Sync().Reply("1|2|Z:I");
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, PreparedStatementServesManyExecutes) {
  Converse c;
  c.Parse("s", "INSERT INTO t VALUES ($1)").Sync().Reply("1|Z:I");
  c.Bind("", "s", "1").Execute().Bind("", "s", "2").Execute().Sync();
  c.Reply("2|C:INSERT 0 1|2|C:INSERT 0 1|Z:I");
  EXPECT_THAT(c.units(),
              ElementsAre("INSERT INTO t VALUES ($1) <1>; INSERT INTO t VALUES ($1) <2>"));
}

TEST(Recorder, NameBelongsToTheParseThatSucceeded) {
  Converse c;
  c.Parse("s", "INSERT INTO t VALUES (1)").Sync().Parse("s", "DELETE FROM t").Sync();
  c.Bind("", "s").Execute().Sync();
  c.Reply("1|Z:I|E:42P05|Z:I|2|C:INSERT 0 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1) <>"));
}

TEST(Recorder, UnnamedStatementIsReplacedByAReader) {
  Converse c;
  c.OneShot("INSERT INTO t VALUES (1)").OneShot("SELECT 1").Sync();
  c.Reply("1|2|C:INSERT 0 1|1|2|C:SELECT 1|Z:I");
  c.Bind("", "").Execute().Sync().Reply("2|C:SELECT 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1) <>"));
}

TEST(Recorder, ClosedNameIsForgotten) {
  Converse c;
  c.Parse("s", "INSERT INTO t VALUES (1)").CloseStatement("s").Parse("s", "SELECT 1").Sync();
  c.Bind("", "s").Execute().Sync().Reply("1|3|1|Z:I|2|C:SELECT 1|Z:I");
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_EQ(c.names.held(), 0);
}

TEST(Recorder, PipelineThatFailsLeavesNothingAndTheNextTurnIsExact) {
  Converse c;
  c.OneShot("INSERT INTO t VALUES (1)").OneShot("SELECT 1/0").OneShot("INSERT INTO t VALUES (2)");
  c.Sync().OneShot("INSERT INTO t VALUES (3)").Sync();
  c.Reply("1|2|C:INSERT 0 1|1|2|E:22012|Z:I|1|2|C:INSERT 0 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (3) <>"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, SwallowedQueryAndParseLeaveNothing) {
  Converse c;
  c.Parse("", "SELEC").Query("INSERT INTO t VALUES (1)").Parse("s", "DELETE FROM t").Sync();
  c.Reply("E:42601|Z:I");
  c.Bind("", "s").Execute().Sync().Reply("E:26000|Z:I");
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_EQ(c.held.held() + c.names.held(), 0);
}

TEST(Recorder, FramesSentAfterTheErrorWasToldLeaveNothing) {
  Converse c;
  c.Parse("", "SELEC").Reply("E:42601").OneShot("INSERT INTO t VALUES (1)").Sync().Reply("Z:I");
  c.Ask("INSERT INTO t VALUES (2)", "INSERT 0 1");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (2)"));
}

TEST(Recorder, CommitByExecuteBeforeAnErrorIsCommitted) {
  Converse c;
  c.OneShot("BEGIN").OneShot("INSERT INTO t VALUES (1)").OneShot("COMMIT").OneShot("SELECT 1/0");
  c.Sync().Reply("1|2|C:BEGIN|1|2|C:INSERT 0 1|1|2|C:COMMIT|1|2|E:22012|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1) <>"));
}

TEST(Recorder, InsertBeforeBeginWaitsForTheBlock) {
  Converse c;
  c.Ask("INSERT INTO t VALUES (1); BEGIN", "INSERT 0 1,BEGIN", 'T').Ask("ROLLBACK", "ROLLBACK");
  c.Ask("INSERT INTO t VALUES (2); BEGIN", "INSERT 0 1,BEGIN", 'T').Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (2)"));
}

TEST(Recorder, CommitInTheMiddleOfAQueryThatFails) {
  Converse c;
  c.Ask("BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); SELECT 1/0",
        "BEGIN,INSERT 0 1,COMMIT,INSERT 0 1,!22012");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1)"));
}

TEST(Recorder, SuspendedPortalIsOneStepWithItsRows) {
  Converse c;
  c.Parse("", "INSERT INTO t SELECT 1 RETURNING a").Bind("", "").Execute("", 2).Execute("", 3);
  c.Sync().Reply("1|2|D|D|s|D|s|Z:I");
  c.Parse("", "INSERT INTO t SELECT 2 RETURNING a").Bind("", "").Execute("", 2).Execute();
  c.Sync().Reply("1|2|s|C:INSERT 0 9|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t SELECT 1 RETURNING a <> rows 5",
                                     "INSERT INTO t SELECT 2 RETURNING a <>"));
}

TEST(Recorder, X11CopyInTakesItsData) {
  Converse c;
  c.Query("COPY t FROM STDIN").Reply("G").CopyData("1\n").CopyData("2\n").CopyDone();
  c.Reply("C:COPY 2|Z:I");
  c.OneShot("COPY t FROM STDIN").CopyData("333\n").CopyDone().Sync();
  c.Reply("1|2|G|C:COPY 1|Z:I");
  EXPECT_THAT(c.units(),
              ElementsAre("COPY t FROM STDIN + 14 bytes", "COPY t FROM STDIN <> + 9 bytes"));
  const Step& step = c.shelf.raw[0].steps[0];
  EXPECT_EQ(step.copy[0].view(), support::Frame('d', "1\n") + support::Frame('d', "2\n"));
}

TEST(Recorder, X11TwoCopiesInOneQueryEachTakeTheirOwn) {
  Converse c;
  c.Query("COPY t FROM STDIN; COPY u FROM STDIN; DELETE FROM v").CopyDone();
  c.CopyData("4444\n").CopyDone().Reply("G|C:COPY 0|G|C:COPY 1|C:DELETE 0|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("COPY t FROM STDIN + 0 bytes; COPY u FROM STDIN + 10 bytes; "
                                     "DELETE FROM v"));
}

TEST(Recorder, X11CopyThatFailsLeavesNothing) {
  Converse c;
  c.Query("COPY t FROM STDIN").Reply("G").CopyData("x\n");
  c.Send(support::Frame('f', support::CString("no")));
  c.Reply("E:57014|Z:I").CopyData("late\n").CopyDone();
  c.Ask("INSERT INTO t VALUES (1)", "INSERT 0 1");
  EXPECT_THAT(c.units(), ElementsAre("INSERT INTO t VALUES (1)"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, CopyDataInPiecesIsTheSameBytes) {
  Converse c;
  const std::string frame = support::Frame('d', std::string(300'000, 'x'));
  c.Query("COPY t FROM STDIN").Reply("G").Send(frame, 7).CopyDone().Reply("C:COPY 1|Z:I");
  std::string bytes;
  for (const base::Slice& data : c.shelf.raw.at(0).steps.at(0).copy) {
    bytes += data.view();
  }
  EXPECT_EQ(bytes, frame);
}

TEST(Recorder, FrameInPiecesIsOneStatement) {
  Converse c;
  const std::string text = "INSERT INTO t VALUES ('" + std::string(200'000, 'x') + "')";
  c.Send(support::Frame('Q', support::CString(text)), 5).Reply("C:INSERT 0 1|Z:I");
  EXPECT_THAT(c.units(), ElementsAre(text));
}

TEST(Recorder, K2TransactionAboveItsBoundIsDroppedWhole) {
  base::Limits limits;
  limits.mirror_transaction_max = 4096;
  Converse c(limits);
  const std::string big = "INSERT INTO t VALUES ('" + std::string(3000, 'x') + "')";
  c.Ask("BEGIN", "BEGIN", 'T').Ask(big, "INSERT 0 1", 'T').Ask(big, "INSERT 0 1", 'T');
  c.Ask("COMMIT", "COMMIT").Ask("INSERT INTO t VALUES (1)", "INSERT 0 1");
  EXPECT_THAT(c.units(), ElementsAre("dropped too_large", "INSERT INTO t VALUES (1)"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, SavepointSavesATransactionFromWhatWasTooLarge) {
  base::Limits limits;
  limits.mirror_transaction_max = 4096;
  Converse c(limits);
  const std::string big = "INSERT INTO t VALUES ('" + std::string(9000, 'x') + "')";
  c.Ask("BEGIN; DELETE FROM t; SAVEPOINT s", "BEGIN,DELETE 1,SAVEPOINT", 'T');
  c.Send(support::Frame('Q', support::CString(big)), 3).Reply("C:INSERT 0 1|Z:T");
  c.Ask("ROLLBACK TO s", "ROLLBACK", 'T').Ask("COMMIT", "COMMIT");
  EXPECT_THAT(c.units(), ElementsAre("DELETE FROM t"));
}

TEST(Recorder, TooLargeReaderLosesNothing) {
  base::Limits limits;
  limits.mirror_transaction_max = 4096;
  Converse c(limits);
  const std::string big = "SELECT '" + std::string(9000, 'x') + "'";
  c.Send(support::Frame('Q', support::CString(big)), 3).Reply("C:SELECT 1|Z:I");
  EXPECT_THAT(c.units(), IsEmpty());
}

TEST(Recorder, TooLargeCopyIsDropped) {
  base::Limits limits;
  limits.mirror_transaction_max = 64 * 1024;
  Converse c(limits);
  c.Query("COPY t FROM STDIN").Reply("G");
  for (int i = 0; i < 10; ++i) {
    c.CopyData(std::string(10'000, 'x'));
  }
  c.CopyDone().Reply("C:COPY 10|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("dropped too_large"));
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, K1WithoutBudgetTransactionsAreDroppedWhole) {
  Converse c(base::Limits(), 2048);
  const std::string big = "INSERT INTO t VALUES ('" + std::string(1200, 'x') + "')";
  c.Ask("BEGIN", "BEGIN", 'T').Ask(big, "INSERT 0 1", 'T').Ask(big, "INSERT 0 1", 'T');
  c.Ask("COMMIT", "COMMIT").Ask("DELETE FROM t", "DELETE 1");
  EXPECT_THAT(c.units(), ElementsAre("dropped over_budget", "DELETE FROM t"));
}

TEST(Recorder, SettingsAreMirroredAndLocalOnesOnlyWithTheirTransaction) {
  Converse c;
  c.Ask("SET search_path = a", "SET");
  c.Ask("BEGIN; SET LOCAL x.y = 1; COMMIT", "BEGIN,SET,COMMIT");
  c.Ask("BEGIN; SET LOCAL x.y = 1; DELETE FROM t; COMMIT", "BEGIN,SET,DELETE 1,COMMIT");
  c.Ask("BEGIN; SET x.y = 2; ROLLBACK", "BEGIN,SET,ROLLBACK");
  EXPECT_THAT(c.units(), ElementsAre("SET search_path = a", "SET LOCAL x.y = 1; DELETE FROM t"));
  EXPECT_EQ(c.shelf.raw[0].steps[0].trace, Trace::kSet);
  EXPECT_EQ(c.shelf.raw[0].steps[0].key, "set search_path");
}

TEST(Recorder, SqlPreparedStatements) {
  Converse c;
  c.Ask("PREPARE w AS INSERT INTO t VALUES ($1)", "PREPARE").Ask("EXECUTE w(1)", "INSERT 0 1");
  c.Ask("PREPARE r AS SELECT 1", "PREPARE").Ask("EXECUTE r", "SELECT 1");
  c.Bind("", "w", "2").Execute().Sync().Reply("2|C:INSERT 0 1|Z:I");
  c.Ask("DEALLOCATE w", "DEALLOCATE").Bind("", "w", "3").Execute().Sync().Reply("E:26000|Z:I");
  EXPECT_THAT(c.units(),
              ElementsAre("PREPARE w AS INSERT INTO t VALUES ($1)", "EXECUTE w(1)",
                          "PREPARE r AS SELECT 1", "w <2>", "DEALLOCATE w"));
}

TEST(Recorder, PrepareOutlivesARollback) {
  Converse c;
  c.Ask("BEGIN; PREPARE w AS DELETE FROM t; DELETE FROM u; ROLLBACK",
        "BEGIN,PREPARE,DELETE 1,ROLLBACK");
  EXPECT_THAT(c.units(), ElementsAre("PREPARE w AS DELETE FROM t"));
}

TEST(Recorder, DeallocateOfAParsedNameStaysHere) {
  Converse c;
  c.Parse("s", "DELETE FROM t").Sync().Reply("1|Z:I").Ask("DEALLOCATE s", "DEALLOCATE");
  c.Parse("s2", "DELETE FROM t").Sync().Reply("1|Z:I").Ask("DISCARD ALL", "DISCARD ALL");
  EXPECT_THAT(c.units(), ElementsAre("DISCARD ALL"));
  EXPECT_EQ(c.names.held(), 0);
}

TEST(Recorder, StringsWithBackslashesAreSplitAsTheSessionHasThem) {
  Converse c;
  const char* const text = R"(INSERT INTO t VALUES ('\'); DELETE FROM t; SELECT '')";
  c.Ask(text, "INSERT 0 1,DELETE 1,SELECT 1");
  c.Ask("SET standard_conforming_strings = off", "SET").Ask(text, "INSERT 0 1");
  EXPECT_EQ(c.units()[0], R"(INSERT INTO t VALUES ('\'); DELETE FROM t)");
  EXPECT_EQ(c.units()[2], text);
}

TEST(Recorder, FunctionCallDropsItsTransactionByCause) {
  Converse c;
  const std::string call = support::Frame('F', support::Be32(1) + support::Be16(0) +
                                                   support::Be16(0) + support::Be16(0));
  c.Send(call).Reply("V|Z:I");
  c.Ask("BEGIN", "BEGIN", 'T').Ask("DELETE FROM t", "DELETE 1", 'T').Send(call).Reply("V|Z:T");
  c.Ask("COMMIT", "COMMIT").Send(call).Reply("E:42501|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("dropped function_call", "dropped function_call"));
}

TEST(Recorder, VacuumCommitsWhatCameBeforeIt) {
  Converse c;
  c.OneShot("SET work_mem = 1024").OneShot("VACUUM t").OneShot("SELECT 1/0").Sync();
  c.Reply("1|2|C:SET|1|2|C:VACUUM|1|2|E:22012|Z:I");
  EXPECT_THAT(c.units(), ElementsAre("SET work_mem = 1024 <>"));
}

TEST(Recorder, K8ClientThatLeavesInsideItsTransactionLeavesNothing) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("DELETE FROM t", "DELETE 1", 'T').Query("DELETE FROM u");
  c.End();
  EXPECT_THAT(c.units(), IsEmpty());
  EXPECT_TRUE(c.shelf.ended);
  EXPECT_EQ(c.held.held(), 0);
}

TEST(Recorder, PrimaryLostDuringACommitIsUnknown) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Ask("DELETE FROM t", "DELETE 1", 'T').Query("COMMIT");
  c.End();
  EXPECT_THAT(c.units(), ElementsAre("dropped outcome_unknown"));
}

TEST(Recorder, PrimaryLostDuringAPreparedCommitIsUnknown) {
  Converse c;
  c.OneShot("BEGIN").OneShot("DELETE FROM t").Sync().Reply("1|2|C:BEGIN|1|2|C:DELETE 1|Z:T");
  c.OneShot("COMMIT").Sync();
  c.End();
  EXPECT_THAT(c.units(), ElementsAre("dropped outcome_unknown"));
}

TEST(Recorder, PrimaryLostBehindARollbackIsUnknown) {
  Converse c;
  c.Ask("BEGIN", "BEGIN", 'T').Query("ROLLBACK").Query("DELETE FROM t");
  c.End();
  EXPECT_THAT(c.units(), ElementsAre("dropped outcome_unknown"));
}

TEST(Recorder, PrimaryLostDuringAFunctionCallIsUnknown) {
  Converse c;
  c.Send(std::string("F\0\0\0\x0e\0\0\0\x01\0\0\0\0\0\0", 15));
  c.End();
  EXPECT_THAT(c.units(), ElementsAre("dropped outcome_unknown"));
}

TEST(Recorder, PrimaryLostWhileItReadLosesNothing) {
  Converse c;
  c.Parse("s", "DELETE FROM t").Bind("", "s").Sync().Reply("1|2|Z:I");
  c.OneShot("SELECT 1").Sync().Query("BEGIN").Query("COMMIT");
  c.End();
  EXPECT_THAT(c.units(), IsEmpty());
}

TEST(Recorder, DeepPipelinesKeepTheirOrder) {
  Converse c;
  c.Parse("w", "INSERT INTO t VALUES ($1)").Parse("r", "SELECT $1").Sync().Reply("1|1|Z:I");
  for (int i = 0; i < 1000; ++i) {
    c.Bind("", i % 2 == 0 ? "w" : "r", std::to_string(i)).Execute().Sync();
  }
  for (int i = 0; i < 1000; ++i) {
    c.Reply(i % 2 == 0 ? "2|C:INSERT 0 1|Z:I" : "2|C:SELECT 1|Z:I");
  }
  ASSERT_EQ(c.units().size(), 500u);
  EXPECT_EQ(c.units()[499], "INSERT INTO t VALUES ($1) <998>");
}

}  // namespace
}  // namespace mirror
