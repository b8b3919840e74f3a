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
