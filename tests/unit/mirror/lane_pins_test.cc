// Values that the primary made up, given to a scripted mirror: what is asked of it, what it is
// sent, and what becomes of it when it refuses or stores something else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/mirror/lane_fixture.h"

namespace mirror {
namespace {

using support::DataRow;
using testing::ElementsAre;
using testing::StartsWith;

constexpr std::string_view kInsert = "INSERT INTO t(v) VALUES ('a') RETURNING id";
constexpr std::string_view kPinned = "INSERT INTO t(v, \"id\") VALUES ('a', $1) RETURNING id";
constexpr std::string_view kQuestion = "SELECT c.relkind";

class LanePinsTest : public LaneTest {
 protected:
  LanePinsTest() {
    config_.mirrors[0].mirror.generated = config::Generated::kPin;
    mirror_.rows = [this](const std::string& text) {
      if (text.starts_with(kQuestion)) {
        return support::RowDescription({"1", "2", "3", "4", "5", "6"}) +
               DataRow({"t", "f", "id", "", "", "nextval('s')"}) +
               DataRow({"t", "f", "v", "", "", std::nullopt});
      }
      return text == kPinned ? DataRow({stored}) : std::string();
    };
  }
  // An INSERT that the primary has answered with one id, text.
  void Insert(const std::string& id, char status = 'I') {
    Forward(std::string(kInsert), 0);
    ASSERT_TRUE(Session().listening());
    Part(support::RowDescription({"id"}));
    Part(DataRow({id}));
    Answer(request_, "INSERT 0 1", status, 0);
  }
  void Part(const std::string& frame) { Session().OnPart(request_, PieceOf(frame)); }
  const MirrorMetrics& metrics() const { return mirrors_->metrics(0); }
  uint64_t Unpinned(mirror::Unpinned why) const {
    return metrics().unpinned[static_cast<size_t>(why)].value();
  }

  std::string stored = "7";  // what the mirror returns of what it was given
};

TEST_F(LanePinsTest, ATableIsAskedForOnceAndAgainBehindWhatMayHaveChangedIt) {
  Start();
  Insert("7");
  Insert("7");
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_THAT(mirror_.heard, ElementsAre(StartsWith(kQuestion), kPinned, kPinned));
  mirror_.heard.clear();
  Commit("ALTER TABLE t ADD n int", {"ALTER TABLE"});
  Insert("7");
  ASSERT_TRUE(UntilCounts("4 4 0 0 0"));
  EXPECT_THAT(mirror_.heard,
              ElementsAre("ALTER TABLE t ADD n int", StartsWith(kQuestion), kPinned));
  EXPECT_EQ(metrics().pinned_rows.value(), 3U);
}

TEST_F(LanePinsTest, TheQuestionIsAskedUnderWhatTheTransactionHasSet) {
  Start();
  Ask("BEGIN", "BEGIN", 0);
  Ask("SET LOCAL search_path = s", "SET", 0);
  Insert("7", 'T');
  Ask("COMMIT", "COMMIT", 0, 'I');
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_THAT(mirror_.heard,
              ElementsAre("BEGIN", "SET LOCAL search_path = s", StartsWith(kQuestion), "ROLLBACK",
                          "BEGIN", "SET LOCAL search_path = s", kPinned, "COMMIT"));
}

TEST_F(LanePinsTest, WhatIsRefusedIsAskedForAgainAndThenGoesAsItWas) {
  mirror_.answer = [](const std::string& text) {
    return std::string(text == kPinned ? "42703" : "");
  };
  Start();
  Insert("7");
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_THAT(mirror_.heard, ElementsAre(StartsWith(kQuestion), kPinned, StartsWith(kQuestion),
                                         kPinned, kInsert));
  EXPECT_EQ(Unpinned(mirror::Unpinned::kRefused), 1U);
  EXPECT_EQ(metrics().pinned_rows.value(), 0U);
}

TEST_F(LanePinsTest, ARefusalThatIsNotDueToItIsAVerdict) {
  mirror_.answer = [](const std::string& text) {
    return std::string(text == kPinned ? "23505" : "");
  };
  Start();
  Insert("7");
  ASSERT_TRUE(UntilCounts("1 0 1 0 0"));
  EXPECT_THAT(mirror_.heard, ElementsAre(StartsWith(kQuestion), kPinned));
}

TEST_F(LanePinsTest, AnotherValueThanWasGivenIsToldOf) {
  Start();
  Insert("7");
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(metrics().different.value(), 0U);
  stored = "8";
  Insert("7");
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_EQ(metrics().different.value(), 1U);
  EXPECT_EQ(Unpinned(mirror::Unpinned::kChanged), 1U);
}

TEST_F(LanePinsTest, ATableThatTheMirrorDoesNotKnowIsLeft) {
  mirror_.rows = nullptr;
  Start();
  Insert("7");
  Insert("7");
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_THAT(mirror_.heard, ElementsAre(StartsWith(kQuestion), kInsert, kInsert));
  EXPECT_EQ(Unpinned(mirror::Unpinned::kTable), 2U);
}

// A connection that is lost before the answer: the question is asked on the next one.
TEST_F(LanePinsTest, AQuestionThatIsNotAnsweredIsAskedOnAnotherConnection) {
  mirror_.hold = kQuestion;
  Start();
  Insert("7");
  Turns(20);
  mirror_.hold.clear();
  mirror_.Hang();
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_THAT(mirror_.heard, ElementsAre(StartsWith(kQuestion), kPinned));
  EXPECT_EQ(mirror_.logins, 2);
}

TEST_F(LanePinsTest, ALongTransactionIsWrittenWhole) {
  Start();
  Ask("BEGIN", "BEGIN", 0);
  for (int i = 0; i < 600; ++i) {
    Insert("7", 'T');
  }
  Ask("COMMIT", "COMMIT", 0, 'I');
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(std::count(mirror_.heard.begin(), mirror_.heard.end(), kPinned), 600);
  EXPECT_EQ(metrics().pinned_rows.value(), 600U);
}

}  // namespace
}  // namespace mirror
