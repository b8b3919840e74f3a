#include "mirror/last_writers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace mirror {
namespace {

class LastWritersTest : public testing::Test {
 protected:
  uint64_t Note(uint64_t stamp, const std::vector<std::string>& texts,
                const std::string& tag = "UPDATE 1") {
    Unit unit;
    for (const std::string& text : texts) {
      Step& step = unit.steps.emplace_back();
      step.text = base::Slice::CopyOf(text);
      step.tag = tag;
    }
    return writers_->Note(stamp, WrittenRows(unit, {}));
  }

  std::unique_ptr<LastWriters> writers_ = std::make_unique<LastWriters>();
};

TEST_F(LastWritersTest, LatestOfTheRows) {
  EXPECT_EQ(Note(1, {"UPDATE t SET v = 1 WHERE id = 7"}), 0u);
  EXPECT_EQ(Note(2, {"UPDATE t SET v = 1 WHERE id = 8"}), 0u);
  EXPECT_EQ(Note(5, {"UPDATE t SET v = 2 WHERE id = 8", "DELETE FROM t WHERE id = 7"}), 2u);
  EXPECT_EQ(Note(6, {"UPDATE t SET v = 3 WHERE id = 7 AND v > 1"}), 5u);
}

TEST_F(LastWritersTest, OtherTableOrColumnIsAnotherRow) {
  EXPECT_EQ(Note(1, {"UPDATE t SET v = 1 WHERE id = 7"}), 0u);
  EXPECT_EQ(Note(2, {"UPDATE u SET v = 1 WHERE id = 7"}), 0u);
  EXPECT_EQ(Note(3, {"UPDATE t SET v = 1 WHERE other = 7"}), 0u);
}

TEST_F(LastWritersTest, OneNeverWaitsForWhatComesBehindIt) {
  EXPECT_EQ(Note(9, {"UPDATE t SET v = 1 WHERE id = 7"}), 0u);
  EXPECT_EQ(Note(4, {"UPDATE t SET v = 1 WHERE id = 7"}), 0u);
  EXPECT_EQ(Note(9, {"UPDATE t SET v = 1 WHERE id = 7"}), 0u);
  EXPECT_EQ(Note(10, {"UPDATE t SET v = 1 WHERE id = 7"}), 9u);
}

TEST_F(LastWritersTest, WhatChangedNothingOrProvesNothingIsNoHint) {
  EXPECT_EQ(Note(1, {"UPDATE t SET v = 1 WHERE id = 7"}, "UPDATE 0"), 0u);
  EXPECT_EQ(Note(2, {"UPDATE t SET v = 1 WHERE id > 7"}), 0u);
  EXPECT_EQ(Note(3, {"INSERT INTO t VALUES (7)"}, "INSERT 0 1"), 0u);
  EXPECT_EQ(Note(4, {"UPDATE t SET v = 1 WHERE id = 7"}), 0u);
}

}  // namespace
}  // namespace mirror
