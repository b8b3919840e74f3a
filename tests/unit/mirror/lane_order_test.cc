// The order in which lanes apply and commit what overlapped on the primary.
#include <gtest/gtest.h>

#include <algorithm>

#include "unit/mirror/lane_fixture.h"

namespace mirror {
namespace {

// Two transactions that overlap: they run side by side and commit in the order of their COMMITs.
class TwoLanesTest : public LaneTest {
 protected:
  void Overlap() {
    Start();
    Ask("BEGIN", "BEGIN", 0);
    Ask("BEGIN", "BEGIN", 1);
    Ask("INSERT INTO a VALUES (1)", "INSERT 0 1", 0);
    Ask("INSERT INTO b VALUES (1)", "INSERT 0 1", 1);
    Forward("COMMIT", 0);
    Forward("COMMIT", 1);
    Answer(request_, "COMMIT", 'I', 1);  // the later one's answer comes first
  }
  void AnswerTheFirst() { Answer(request_ - 1, "COMMIT", 'I', 0); }
  int64_t Heard(const std::string& text) {
    return std::count(mirror_.heard.begin(), mirror_.heard.end(), text);
  }
};

TEST_F(TwoLanesTest, LaterOneDoesNotCommitBeforeTheEarlierOneHasRun) {
  mirror_.hold = "INSERT INTO a";
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  Turns(5);
  EXPECT_EQ(Heard("COMMIT"), 0);  // the primary has not said yet whether the earlier one commits
  AnswerTheFirst();
  Turns(5);
  EXPECT_EQ(Heard("COMMIT"), 0);
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
}

TEST_F(TwoLanesTest, EarlierOneThatIsRolledBackHoldsUpNobody) {
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  EXPECT_EQ(Heard("COMMIT"), 0);
  Answer(request_ - 1, "ROLLBACK", 'I', 0);
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
}

TEST_F(TwoLanesTest, LaterOneThatMayBeInTheWayRunsAgainBehindTheEarlierOne) {
  mirror_.hold = "INSERT INTO a";
  Overlap();
  AnswerTheFirst();
  ASSERT_TRUE(Until([&] { return Heard("ROLLBACK") == 1; }));
  Turns(50);
  EXPECT_EQ(Heard("INSERT INTO b VALUES (1)"), 1);
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_EQ(Heard("INSERT INTO b VALUES (1)"), 2);
  EXPECT_EQ(mirrors_->metrics(0).reordered.value(), 1u);
  EXPECT_EQ(mirrors_->metrics(0).retries.value(), 0u);
}

// What it has locked is free as soon as the mirror takes its ROLLBACK: from then on others may go
// on to where they may commit, and must wait for it.
TEST_F(TwoLanesTest, OneThatIsTakenBackHasNotRunBeforeTheMirrorHearsOfIt) {
  mirror_.hold = "INSERT INTO a";
  mirror_.hold_too = "ROLLBACK";
  Overlap();
  AnswerTheFirst();
  ASSERT_TRUE(Until([&] { return mirror_.Holds("ROLLBACK"); }));
  mirror_.hold.clear();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO a VALUES (1)") == 1; }));
  Turns(5);
  EXPECT_FALSE(shared_->mirror(0)->board.Passed(Mark::kRun, shared_->clock()->now()));
  mirror_.hold_too.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
}

// Who has waited for its locks may have committed before it, once they are gone.
TEST_F(TwoLanesTest, OneThatTheMirrorLosesOnceOthersMightCommitIsOfUnknownOrder) {
  mirror_.hold = "INSERT INTO a";
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  Turns(5);
  mirror_.Hang();
  AnswerTheFirst();
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  const std::vector<Gap> gaps = shared_->mirror(0)->ledger.Snapshot();
  ASSERT_EQ(gaps.size(), 1u);  // the other had not run
  EXPECT_EQ(gaps[0].table, "b");
  EXPECT_EQ(gaps[0].cause, Cause::kOrderUnknown);
}

TEST_F(TwoLanesTest, OneWhoseCommitIsRefusedForWhatPassesIsOfUnknownOrder) {
  int left = 1;
  mirror_.hold = "INSERT INTO a";
  mirror_.answer = [&left](const std::string& text) {
    return std::string(text == "COMMIT" && left-- > 0 ? "40001" : "");
  };
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  Answer(request_ - 1, "ROLLBACK", 'I', 0);
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  const std::vector<Gap> gaps = shared_->mirror(0)->ledger.Snapshot();
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].cause, Cause::kOrderUnknown);
}

TEST_F(TwoLanesTest, OneThatChangedOtherRowsRunsAgainOnceThoseBeforeItAreCommitted) {
  int left = 1;
  mirror_.tag = [&left](const std::string& text) {
    return std::string(text.starts_with("INSERT INTO b") && left-- > 0 ? "INSERT 0 0" : "");
  };
  mirror_.hold = "INSERT INTO a";
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("ROLLBACK") == 1; }));
  AnswerTheFirst();
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).different.value(), 0u);
}

// The first statement of one was forwarded before the other was acknowledged, the second behind it.
class PartsTest : public TwoLanesTest {
 protected:
  void SeeOther() {
    Start();
    Commit("INSERT INTO c VALUES (1)");
    ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
    mirror_.heard.clear();
    Ask("BEGIN", "BEGIN", 1);
    Ask("INSERT INTO b VALUES (1)", "INSERT 0 1", 1);
    Commit("INSERT INTO a VALUES (1)");
    Ask("INSERT INTO b VALUES (2)", "INSERT 0 1", 1);
    Ask("COMMIT", "COMMIT", 1, 'I');
  }
};

TEST_F(PartsTest, StatementWaitsForWhatWasAcknowledgedBeforeItAndTheOnesBeforeDoNot) {
  mirror_.hold = "INSERT INTO a";
  SeeOther();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  Turns(5);
  EXPECT_EQ(Heard("INSERT INTO b VALUES (2)"), 0);
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("3 3 0 0 0"));
  EXPECT_EQ(mirror_.heard, (std::vector<std::string>{
      "BEGIN", "INSERT INTO b VALUES (1)", "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (2)",
      "COMMIT"}));
}

TEST_F(PartsTest, OneInTheMidstOfItsStatementsLetsGoForWhomItWaits) {
  mirror_.hold = "INSERT INTO a";
  SeeOther();
  ASSERT_TRUE(Until([&] { return Heard("ROLLBACK") == 1; }));
  EXPECT_EQ(Heard("INSERT INTO b VALUES (2)"), 0);
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("3 3 0 0 0"));
  EXPECT_EQ(Heard("INSERT INTO b VALUES (1)"), 2);
  EXPECT_EQ(mirrors_->metrics(0).reordered.value(), 1u);
}

TEST_F(PartsTest, OneThatIsLostInTheMidstOfItsStatementsRunsAgain) {
  mirror_.hold = "INSERT INTO a";
  SeeOther();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  mirror_.Hang();
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("3 2 0 1 0 cause=\"outcome_unknown\"=1"));  // of the other's
  EXPECT_EQ(Heard("INSERT INTO b VALUES (2)"), 1);
}

TEST_F(PartsTest, RefusalInTheMidstIsTriedAgainBehindAllAndCountedOnce) {
  mirror_.hold = "INSERT INTO a";
  mirror_.answer = [](const std::string& text) {
    return std::string(text == "INSERT INTO b VALUES (1)" ? "23505" : "");
  };
  SeeOther();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("3 2 1 0 0"));
  EXPECT_EQ(Heard("INSERT INTO b VALUES (1)"), 2);
  EXPECT_EQ(Heard("INSERT INTO b VALUES (2)"), 0);
}

// It is asked to go before its turn, since the PREPARE that it waits for does not get on.
TEST_F(TwoLanesTest, WhatEndsAPreparedTransactionBeforeThatIsPreparedHasItsTurnLater) {
  mirror_.hold = "INSERT INTO a";
  mirror_.answer = [this](const std::string& text) {
    return std::string(text == "COMMIT PREPARED 'g'" && Heard("PREPARE TRANSACTION 'g'") == 0
                           ? "42704" : "");
  };
  Start();
  Ask("BEGIN", "BEGIN", 0);
  Ask("INSERT INTO a VALUES (1)", "INSERT 0 1", 0);
  Ask("PREPARE TRANSACTION 'g'", "PREPARE TRANSACTION", 0, 'I');
  Ask("COMMIT PREPARED 'g'", "COMMIT PREPARED", 1, 'I');
  ASSERT_TRUE(Until([&] { return Heard("COMMIT PREPARED 'g'") == 2; }));  // it is asked twice
  Turns(5);
  EXPECT_EQ(Counts(), "2 0 0 0 2");
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
}

// Both change row 1, and overlap: on the primary the later one has waited for the earlier one.
TEST_F(TwoLanesTest, OneThatFollowsAnotherInARowBeginsWhenThatHasRun) {
  mirror_.hold = "UPDATE a SET b = 1";
  Start();
  for (const size_t session : {0, 1, 2}) {
    Ask("BEGIN", "BEGIN", session);
  }
  Ask("UPDATE a SET b = 1 WHERE c = 1", "UPDATE 1", 0);
  Ask("UPDATE a SET b = 3 WHERE c = 2", "UPDATE 1", 2);
  Forward("COMMIT", 0);
  const turn::RequestId first = request_;
  Forward("UPDATE a SET b = 2 WHERE c = 1", 1);
  const turn::RequestId second = request_;
  Forward("COMMIT", 2);
  const turn::RequestId third = request_;
  Answer(first, "COMMIT", 'I', 0);
  Answer(third, "COMMIT", 'I', 2);
  Answer(second, "UPDATE 1", 'T', 1);
  Ask("COMMIT", "COMMIT", 1, 'I');
  ASSERT_TRUE(Until([&] { return Heard("UPDATE a SET b = 3 WHERE c = 2") == 1; }));
  Turns(5);
  EXPECT_EQ(Heard("UPDATE a SET b = 2 WHERE c = 1"), 0);
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("3 3 0 0 0"));
}

TEST(UnitTest, IsCancelledForOthersUnlessThatCouldNotBeUndone) {
  Unit unit;
  unit.steps.resize(2);
  unit.steps[0].tag = unit.steps[1].tag = "SELECT 1";
  EXPECT_FALSE(unit.may_be_cancelled()) << "perhaps of nextval()";
  unit.steps[1].tag = "UPDATE 1";
  EXPECT_TRUE(unit.may_be_cancelled());
  unit.commits = true;
  EXPECT_FALSE(unit.may_be_cancelled());
}

TEST_F(LaneTest, OtherTagThanThePrimarysIsDeliveredAndCounted) {
  mirror_.tag = [](const std::string&) { return std::string("UPDATE 2"); };
  Start();
  Commit("UPDATE t SET a = 1", {"UPDATE 1"});
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).different.value(), 1u);
}

TEST_F(LaneTest, InsertsTagWithAnObjectIdIsTheSame) {
  mirror_.tag = [](const std::string&) { return std::string("INSERT 16384 1"); };
  Start();
  Commit("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).different.value(), 0u);
}

}  // namespace
}  // namespace mirror
