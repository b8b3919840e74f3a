#include "base/slice.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace base {
namespace {

class CountingOwner final : public BlockOwner {
 public:
  void Recycle(Block* block) override {
    EXPECT_EQ(block->references, 0u);
    ++recycled;
  }
  int recycled = 0;
};

class SliceTest : public ::testing::Test {
 protected:
  SliceTest() {
    block_.owner = &owner_;
    block_.data = bytes_.data();
    block_.capacity = static_cast<uint32_t>(bytes_.size());
  }
  std::string bytes_ = "0123456789";
  CountingOwner owner_;
  Block block_;
};

TEST_F(SliceTest, ViewsItsRangeOfTheBlock) {
  const Slice slice(&block_, 2, 5);
  EXPECT_EQ(slice.view(), "23456");
  EXPECT_EQ(slice.size(), 5u);
  EXPECT_EQ(slice.block(), &block_);
}

TEST_F(SliceTest, BlockGoesBackOnceWithTheLastSlice) {
  {
    Slice first(&block_, 0, 10);
    const Slice part = first.Sub(3, 4);
    EXPECT_EQ(part.view(), "3456");
    first.Reset();
    EXPECT_EQ(owner_.recycled, 0);
    EXPECT_EQ(part.view(), "3456");
  }
  EXPECT_EQ(owner_.recycled, 1);
}

TEST_F(SliceTest, ResetTwiceGivesBackOnce) {
  Slice slice(&block_, 0, 1);
  slice.Reset();
  slice.Reset();
  EXPECT_EQ(owner_.recycled, 1);
  EXPECT_TRUE(slice.empty());
  EXPECT_EQ(slice.view(), "");
}

TEST_F(SliceTest, MovingTakesTheReferenceAlong) {
  Slice from(&block_, 1, 3);
  const Slice to = std::move(from);
  EXPECT_EQ(block_.references, 1u);
  EXPECT_EQ(to.view(), "123");
  EXPECT_TRUE(from.empty());  // NOLINT(bugprone-use-after-move): the moved-from state is promised
}

TEST_F(SliceTest, AssignmentReleasesWhatWasHeld) {
  std::string other_bytes = "other";
  CountingOwner other_owner;
  Block other{.owner = &other_owner, .data = other_bytes.data(), .capacity = 5, .references = 0};
  Slice slice(&block_, 0, 10);
  slice = Slice(&other, 0, 5);
  EXPECT_EQ(owner_.recycled, 1);
  EXPECT_EQ(slice.view(), "other");
  slice = Slice();
  EXPECT_EQ(other_owner.recycled, 1);
}

TEST_F(SliceTest, SelfAssignmentKeepsTheBlock) {
  Slice slice(&block_, 0, 10);
  const Slice& same = slice;
  slice = same;
  EXPECT_EQ(owner_.recycled, 0);
  EXPECT_EQ(slice.view(), "0123456789");
  EXPECT_EQ(block_.references, 1u);
}

TEST_F(SliceTest, RemovePrefixMovesTheStart) {
  Slice slice(&block_, 2, 6);
  slice.RemovePrefix(2);
  EXPECT_EQ(slice.view(), "4567");
  slice.RemovePrefix(4);
  EXPECT_TRUE(slice.empty());
  EXPECT_EQ(owner_.recycled, 0);
}

TEST(SliceCopyTest, CopyIsIndependentOfItsSource) {
  std::string source = "before";
  const Slice copy = Slice::CopyOf(source);
  source = "after!";
  EXPECT_EQ(copy.view(), "before");
}

TEST(SliceCopyTest, EmptyCopyIsEmpty) {
  const Slice copy = Slice::CopyOf("");
  EXPECT_TRUE(copy.empty());
  EXPECT_EQ(copy.view(), "");
}

TEST(SliceCopyTest, DefaultSliceHasAnEmptyView) {
  const Slice none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.view(), "");
}

}  // namespace
}  // namespace base
