#include "mirror/overlaps.h"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"

namespace mirror {
namespace {

class OverlapsTest : public testing::Test {
 protected:
  // One that was forwarded at `after` and is acknowledged now.
  bool Simple(uint64_t session, uint64_t after, const std::string& text,
              const std::string& tag = "UPDATE 1") {
    Unit unit;
    Step& step = unit.steps.emplace_back();
    step.text = base::Slice::CopyOf(text);
    step.tag = tag;
    unit.after = after;
    unit.place.stamp = unit.place.acked = ++clock_;
    return overlaps_->Meets(unit, session, WrittenRows(unit, {}));
  }
  bool Bound(uint64_t session, uint64_t after, const std::string& text, const std::string& value,
             bool binary) {
    Unit unit;
    Step& step = unit.steps.emplace_back();
    step.extended = true;
    step.parse = base::Slice::CopyOf(text + std::string(3, '\0'));
    std::string bind;
    base::AppendBe16(&bind, 1);
    base::AppendBe16(&bind, binary ? 1 : 0);
    base::AppendBe16(&bind, 1);
    base::AppendBe32(&bind, static_cast<uint32_t>(value.size()));
    bind += value;
    base::AppendBe16(&bind, 0);
    step.bind = base::Slice::CopyOf(bind);
    step.tag = "UPDATE 1";
    unit.after = after;
    unit.place.stamp = unit.place.acked = ++clock_;
    return overlaps_->Meets(unit, session, WrittenRows(unit, {}));
  }

  std::unique_ptr<Overlaps> overlaps_ = std::make_unique<Overlaps>();
  uint64_t clock_ = 0;
};

TEST_F(OverlapsTest, TwoOfOneTableAtOneTime) {
  EXPECT_FALSE(Simple(1, 0, "UPDATE t SET v = 1"));
  EXPECT_TRUE(Simple(2, 0, "UPDATE t SET v = 2"));
  EXPECT_FALSE(Simple(3, 2, "UPDATE t SET v = 3"));  // it saw both
  EXPECT_TRUE(Simple(4, 2, "DELETE FROM t WHERE v = 3", "DELETE 1"));
}

TEST_F(OverlapsTest, OneSessionIsInOrder) {
  EXPECT_FALSE(Simple(1, 0, "UPDATE t SET v = 1"));
  EXPECT_FALSE(Simple(1, 0, "UPDATE t SET v = 2"));
}

TEST_F(OverlapsTest, OtherTablesAndOtherRows) {
  EXPECT_FALSE(Simple(1, 0, "UPDATE t SET v = 1 WHERE id = 5"));
  EXPECT_FALSE(Simple(2, 0, "UPDATE u SET v = 2 WHERE id = 5"));
  EXPECT_FALSE(Simple(3, 0, "UPDATE t SET v = 3 WHERE id = 6"));
  EXPECT_TRUE(Simple(4, 0, "UPDATE t SET v = 4 WHERE id = 05"));
}

TEST_F(OverlapsTest, AnotherColumnProvesNothing) {
  EXPECT_FALSE(Simple(1, 0, "UPDATE t SET v = 1 WHERE id = 5"));
  EXPECT_TRUE(Simple(2, 0, "UPDATE t SET v = 3 WHERE other = 6"));
}

TEST_F(OverlapsTest, ParametersAreLookedAt) {
  const std::string text = "UPDATE t SET v = v + 1 WHERE id = $1";
  EXPECT_FALSE(Bound(1, 0, text, "5", false));
  EXPECT_FALSE(Bound(2, 0, text, "6", false));
  EXPECT_TRUE(Bound(3, 0, text, "05", false));
  EXPECT_FALSE(Bound(4, 3, text, std::string("\0\0\0\5", 4), true));
  EXPECT_FALSE(Bound(5, 3, text, std::string("\0\0\0\6", 4), true));
  EXPECT_TRUE(Bound(6, 3, text, std::string("\0\0\0\5", 4), true));
  EXPECT_TRUE(Bound(7, 6, text, "x", false) || Bound(8, 6, text, "y", false));  // texts: who knows
}

TEST_F(OverlapsTest, WhatTouchesNoRowThatWasThere) {
  EXPECT_FALSE(Simple(1, 0, "UPDATE t SET v = 1", "UPDATE 0"));
  EXPECT_FALSE(Simple(2, 0, "INSERT INTO t VALUES (1)", "INSERT 0 1"));
  EXPECT_FALSE(Simple(3, 0, "UPDATE t SET v = 1"));
  EXPECT_TRUE(Simple(4, 0, "INSERT INTO t VALUES (1) ON Conflict (id) DO UPDATE SET v = 2",
                     "INSERT 0 1"));
}

TEST_F(OverlapsTest, TransactionsHaveAnOrder) {
  EXPECT_FALSE(Simple(1, 0, "UPDATE t SET v = 1"));
  Unit unit;
  unit.steps.emplace_back().text = base::Slice::CopyOf("UPDATE t SET v = 2");
  unit.steps.front().tag = "UPDATE 1";
  unit.place = Place{.stamp = 2, .acked = 2, .is_explicit = true};
  EXPECT_FALSE(overlaps_->Meets(unit, 2, WrittenRows(unit, {})));
}

TEST_F(OverlapsTest, MoreThanIsKeptIsTakenForAnOverlap) {
  bool met = false;
  for (uint64_t i = 0; i < Overlaps::kSeenMax + 1; ++i) {
    met = Simple(i + 1, 0, "UPDATE t SET v = 1 WHERE id = " + std::to_string(i));
    EXPECT_EQ(met, i == Overlaps::kSeenMax) << i;
  }
}

}  // namespace
}  // namespace mirror
