// Which statements a connection holds, also while what it was asked is not answered.
#include "backend/prepared.h"

#include "gtest/gtest.h"

namespace backend {
namespace {

const std::string kNoTypes("\0\0", 2);

TEST(StatementTable, OneTextInOneContextIsOneStatement) {
  StatementTable table(3);
  Statement* const one = table.Use("SELECT 1", kNoTypes, "role");
  EXPECT_EQ(table.Use("SELECT 1", kNoTypes, "role"), one);
  EXPECT_EQ(one->name, "pgbraid_3_1");
  Statement* const other = table.Use("SELECT 1", kNoTypes, "another role");
  EXPECT_NE(other, one);
  EXPECT_NE(other->name, one->name);
  table.LetGo(one);
  table.LetGo(one);
  table.LetGo(other);
  EXPECT_EQ(table.size(), 0u);
}

TEST(StatementTable, E8_OneTextWithOtherTypesIsAnotherStatement) {
  StatementTable table(0);
  const std::string integer("\0\1\0\0\0\x17", 6);
  const std::string text("\0\1\0\0\0\x19", 6);
  Statement* const one = table.Use("SELECT $1", integer, "");
  Statement* const other = table.Use("SELECT $1", text, "");
  EXPECT_NE(one, other);
  EXPECT_EQ(other->types, text);
  for (Statement* statement : {one, other}) {
    table.LetGo(statement);
  }
}

TEST(StatementTable, E11_WhereTypesEndAndTextBeginsCannotBeShifted) {
  StatementTable table(0);
  Statement* const one = table.Use("bc", "a", "");
  Statement* const other = table.Use("c", "ab", "");
  Statement* const third = table.Use("c", "a", "b");
  EXPECT_NE(one, other);
  EXPECT_NE(one, third);
  EXPECT_NE(other, third);
  for (Statement* statement : {one, other, third}) {
    table.LetGo(statement);
  }
}

class PreparedTest : public testing::Test {
 protected:
  Statement* Make(const std::string& text) {
    Statement* const statement = table_.Use(text, kNoTypes, "");
    made_.push_back(statement);
    return statement;
  }
  ~PreparedTest() override {
    prepared_.Clear();
    for (Statement* statement : made_) {
      table_.LetGo(statement);
    }
    EXPECT_EQ(table_.size(), 0u);
  }

  StatementTable table_{0};
  Prepared prepared_{&table_};
  std::vector<Statement*> made_;
};

TEST_F(PreparedTest, TheOneNotUsedForLongestGoesFirst) {
  Statement* const a = Make("a");
  Statement* const b = Make("b");
  prepared_.Add(a, 1);
  prepared_.Add(b, 2);
  EXPECT_EQ(prepared_.Touch(a), Held::kYes);
  EXPECT_EQ(prepared_.TakeExcess(2), "");
  EXPECT_EQ(prepared_.TakeExcess(1), b->name);
  EXPECT_EQ(prepared_.Touch(b), Held::kNo);
}

TEST_F(PreparedTest, E7_WhatFailedIsNotThere) {
  Statement* const a = Make("a");
  Statement* const b = Make("b");
  Statement* const c = Make("c");
  prepared_.Add(a, 1);
  prepared_.Add(b, 3);
  prepared_.Add(c, 6);
  prepared_.OnFailed(2, 5);
  EXPECT_EQ(prepared_.Touch(a), Held::kYes);
  EXPECT_EQ(prepared_.Touch(b), Held::kNo);
  EXPECT_EQ(prepared_.Touch(c), Held::kYes);
}

TEST_F(PreparedTest, OnlyWhatAServerAcceptedIsProven) {
  Statement* const a = Make("a");
  Statement* const b = Make("b");
  prepared_.Add(a, 1);
  prepared_.Add(b, 2);
  prepared_.OnFailed(2, 3);
  EXPECT_EQ(table_.UseProven("a", kNoTypes, ""), nullptr);
  prepared_.Settle();
  EXPECT_EQ(table_.UseProven("a", kNoTypes, ""), a);
  table_.LetGo(a);
  EXPECT_EQ(table_.UseProven("b", kNoTypes, ""), nullptr);
}

TEST_F(PreparedTest, E10_ADeallocateAllTakesWhatWasThereBefore) {
  Statement* const a = Make("a");
  Statement* const b = Make("b");
  prepared_.Add(a, 1);
  prepared_.Doubt(2);
  EXPECT_EQ(prepared_.Touch(a), Held::kNo);
  prepared_.Add(b, 3);
  prepared_.OnDeallocated();
  prepared_.Settle();
  EXPECT_EQ(prepared_.Touch(a), Held::kNo);
  EXPECT_EQ(prepared_.Touch(b), Held::kYes);
}

TEST_F(PreparedTest, E10_ADeallocateAllThatFailedTakesNothing) {
  Statement* const a = Make("a");
  prepared_.Add(a, 1);
  prepared_.Doubt(2);
  prepared_.OnFailed(2, 2);
  EXPECT_EQ(prepared_.Touch(a), Held::kYes);
}

TEST_F(PreparedTest, E10_ADeallocateAllThatWasNeverRunTakesNothing) {
  Statement* const a = Make("a");
  prepared_.Add(a, 1);
  prepared_.Doubt(2);
  prepared_.Settle();
  EXPECT_EQ(prepared_.Touch(a), Held::kYes);
}

TEST_F(PreparedTest, E12_AChangeOutdatesItOnEveryConnection) {
  Statement* const a = Make("a");
  Statement* const b = Make("b");
  Prepared other(&table_);
  for (Prepared* prepared : {&prepared_, &other}) {
    prepared->Add(a, 1);
    prepared->Add(b, 2);
    prepared->Settle();
  }
  prepared_.OnUse(7, b);
  prepared_.OnUse(8, a);
  EXPECT_EQ(prepared_.OnChanged(6), nullptr);
  EXPECT_EQ(prepared_.OnChanged(8), a);
  EXPECT_FALSE(a->proven);
  for (Prepared* prepared : {&prepared_, &other}) {
    EXPECT_EQ(prepared->Touch(a), Held::kOutdated);
    EXPECT_EQ(prepared->Touch(b), Held::kYes);
  }
  prepared_.Add(a, 11);
  EXPECT_EQ(prepared_.Touch(a), Held::kYes);
  EXPECT_EQ(other.Touch(a), Held::kOutdated);
  EXPECT_EQ(prepared_.size(), 2u);
}

TEST_F(PreparedTest, E12_WhetherAnOutdatedOneWasClosedIsNotKnownAfterAnError) {
  Statement* const a = Make("a");
  prepared_.Add(a, 1);
  prepared_.Settle();
  prepared_.OnUse(2, a);
  EXPECT_EQ(prepared_.OnChanged(2), a);
  prepared_.Add(a, 4);
  prepared_.OnFailed(3, 6);
  EXPECT_EQ(prepared_.Touch(a), Held::kOutdated);
  prepared_.Add(a, 7);
  prepared_.Settle();
  EXPECT_EQ(prepared_.Touch(a), Held::kYes);
}

TEST_F(PreparedTest, E12_WhereTooMuchWasAskedAllIsOutdated) {
  Statement* const a = Make("a");
  prepared_.Add(a, 1);
  prepared_.Settle();
  for (turn::RequestId request = 2; request < 3000; ++request) {
    prepared_.OnUse(request, a);
  }
  EXPECT_EQ(prepared_.OnChanged(2999), nullptr);
  EXPECT_EQ(prepared_.Touch(a), Held::kOutdated);
}

}  // namespace
}  // namespace backend
