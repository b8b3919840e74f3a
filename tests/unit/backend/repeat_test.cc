// Which turns may be asked again, and from where.
#include "backend/repeat.h"

#include "gtest/gtest.h"

namespace backend {
namespace {

class RepeatTest : public testing::Test {
 protected:
  // A frame of one byte of body; the answer is its request.
  turn::RequestId Say(char type, bool shared = false, bool told = false, size_t size = 1) {
    const std::string bytes = std::string(1, type) + std::string(4, 'l') + std::string(size, 'b');
    pg::Piece piece;
    piece.type = type;
    piece.first = piece.last = true;
    piece.bytes = bytes;
    if (repeat_.open()) {
      repeat_.OnFrame(piece, ++last_, shared, told);
    }
    return last_;
  }
  // The types of the frames that would be sent again.
  std::string From(turn::RequestId request) {
    std::string types;
    const std::string_view bytes = repeat_.From(request);
    for (size_t at = 0; at < bytes.size(); at += 6) {
      types += bytes[at];
    }
    return types;
  }

  Repeat repeat_;
  turn::RequestId last_ = 0;
};

TEST_F(RepeatTest, E12_FromTheFirstUseOfASharedStatementOn) {
  Say('P');
  Say('C');
  Say('H');
  const turn::RequestId bind = Say('B', true);
  Say('D');
  Say('E');
  EXPECT_EQ(From(bind), "BDE");
  Say('P');
  Say('S');
  EXPECT_EQ(From(bind), "BDEPS");
  EXPECT_EQ(From(bind + 1), "");  // what runs is not repeated
}

TEST_F(RepeatTest, E12_ADescribeBeforeTheBind) {
  const turn::RequestId first = Say('D', true);
  const turn::RequestId second = Say('D', true);
  const turn::RequestId bind = Say('B', true);
  const turn::RequestId later = Say('D', true);
  EXPECT_EQ(From(first), "DDBD");
  EXPECT_EQ(From(second), "DBD");
  EXPECT_EQ(From(bind), "BD");
  EXPECT_EQ(From(later), "");  // the portal before it would have to be made again
}

TEST_F(RepeatTest, E12_NothingBehindWhatMayHaveRun) {
  for (const char before : {'B', 'E', 'Q', 'F', 'd'}) {
    repeat_.Begin(true);
    Say(before);
    EXPECT_EQ(From(Say('B', true)), "") << before;
  }
  repeat_.Begin(true);
  Say('B', true);
  Say('E');
  EXPECT_EQ(From(Say('B', true)), "");
}

TEST_F(RepeatTest, E12_NotWithinATransaction) {
  repeat_.Begin(false);
  EXPECT_EQ(From(Say('B', true)), "");
  repeat_.Begin(true);
  EXPECT_EQ(From(Say('B', true)), "B");
}

TEST_F(RepeatTest, E12_WhoKnowsTheRowsFromBeforeMustBeToldTheNewOnes) {
  const turn::RequestId bind = Say('B', true, true);
  EXPECT_EQ(From(bind), "");
  Say('D');
  Say('E');
  EXPECT_EQ(From(bind), "BDE");
  repeat_.Begin(true);
  const turn::RequestId blind = Say('B', true, true);
  Say('E');
  Say('D');
  EXPECT_EQ(From(blind), "");
}

TEST_F(RepeatTest, E12_NotBeforeAnotherTurn) {
  const turn::RequestId bind = Say('B', true);
  Say('S');
  EXPECT_EQ(From(bind), "BS");
  Say('B', true);
  EXPECT_EQ(From(bind), "");
}

TEST_F(RepeatTest, E12_ALongTurnIsNotKept) {
  const turn::RequestId bind = Say('B', true);
  EXPECT_EQ(From(bind), "B");
  Say('B', true, false, Repeat::kBytesMax);
  EXPECT_EQ(From(bind), "");
  EXPECT_FALSE(repeat_.open());
}

}  // namespace
}  // namespace backend
