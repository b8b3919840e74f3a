// What a recorder keeps of the rows that an INSERT returns, and what it does not listen to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mirror/returned.h"
#include "support/pg_messages.h"
#include "unit/mirror/converse.h"

namespace mirror {
namespace {

using support::DataRow;
using support::RowDescription;

constexpr std::string_view kInsert = "INSERT INTO t(v) VALUES ('a') RETURNING id";

config::Config With(config::Generated generated) {
  config::Config config = Converse::WithOneMirror();
  config.mirror_choices.generated = generated;
  return config;
}

// Of each step: "id -> 1 2", "id": the description's fields; "=why" where nothing was kept.
std::string Told(const Unit& unit) {
  std::string told;
  for (const Step& step : unit.steps) {
    told += told.empty() ? "" : "; ";
    if (step.unpinned != Unpinned::kNone) {
      told += "=" + std::to_string(static_cast<int>(step.unpinned));
    }
    if (step.returned.empty()) {
      continue;
    }
    Returned returned;
    EXPECT_TRUE(ParseReturned(step.returned.view(), &returned));
    for (const ReturnedField& field : ReadFields(returned.description)) {
      told += std::string(field.name) + " ";
    }
    told += "->";
    for (const std::string_view row : returned.rows) {
      told += " " + std::string(row.substr(6));  // behind the count and the length of one value
    }
  }
  return told;
}

class ReturnedTest : public testing::Test {
 protected:
  explicit ReturnedTest(config::Generated generated = config::Generated::kPin)
      : talk(base::Limits(), 64 << 20, With(generated)) {}
  std::string Last() const { return talk.shelf.raw.empty() ? "" : Told(talk.shelf.raw.back()); }

  Converse talk;
};

TEST_F(ReturnedTest, OfAQueryWithItsDescription) {
  talk.Query(kInsert).Part(RowDescription({"id"})).Part(DataRow({"7"}), 2);
  talk.Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "id -> 7");
  EXPECT_FALSE(talk.recorder->listening());
}

TEST_F(ReturnedTest, OfEachStatementOfOneQueryItsOwn) {
  talk.Query("SELECT 1; INSERT INTO t VALUES (1) RETURNING a; UPDATE t SET v = 1 RETURNING v; " +
             std::string(kInsert));
  talk.Part(RowDescription({"x"})).Part(DataRow({"no"})).Reply("C:SELECT 1");
  talk.Part(RowDescription({"a"})).Part(DataRow({"1"})).Reply("C:INSERT 0 1");
  talk.Part(RowDescription({"v"})).Part(DataRow({"no"})).Reply("C:UPDATE 1");
  talk.Part(RowDescription({"id"})).Part(DataRow({"2"})).Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "a -> 1; ; id -> 2");
}

TEST_F(ReturnedTest, OfAStatementThatWasDescribedOnceAndOfAPortal) {
  talk.Parse("s", kInsert).Send(support::Frame('D', "Ss" + std::string(1, '\0'))).Sync();
  talk.Reply("1").Part(support::Frame('t', support::Be16(0))).Part(RowDescription({"id"}));
  talk.Reply("Z:I");
  for (const char* id : {"1", "2"}) {
    talk.Bind("", "s").Execute().Sync().Reply("2").Part(DataRow({id})).Reply("C:INSERT 0 1|Z:I");
    EXPECT_EQ(Last(), "id -> " + std::string(id));
  }
  talk.Parse("", kInsert).Bind("p", "").Send(support::Frame('D', "Pp" + std::string(1, '\0')));
  talk.Execute("p").Sync();
  talk.Reply("1|2").Part(RowDescription({"portal"})).Part(DataRow({"3"}));
  talk.Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "portal -> 3");
}

TEST_F(ReturnedTest, WithoutADescriptionTheRowsAlone) {
  talk.OneShot(kInsert).OneShot(kInsert).Sync().Reply("1|2").Part(DataRow({"1"}));
  talk.Reply("C:INSERT 0 1|1|2").Part(DataRow({"2"})).Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "-> 1; -> 2");
}

TEST_F(ReturnedTest, NothingIsKeptOfWhatFailed) {
  talk.Query(kInsert).Part(RowDescription({"id"})).Part(DataRow({"7"})).Reply("E:23505|Z:I");
  talk.Query(kInsert).Part(RowDescription({"id"})).Part(DataRow({"8"}));
  talk.Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "id -> 8");
}

TEST_F(ReturnedTest, NothingOfWhatReturnsNothingIsListenedTo) {
  talk.Query("INSERT INTO t VALUES (1)");
  EXPECT_FALSE(talk.recorder->listening());
  talk.Reply("C:INSERT 0 1|Z:I").Query("UPDATE t SET v = 1 RETURNING v");
  EXPECT_FALSE(talk.recorder->listening());
  talk.Reply("C:UPDATE 0|Z:I").Query("SELECT 'returning'");
  EXPECT_FALSE(talk.recorder->listening());
}

TEST_F(ReturnedTest, BoundsOfRowsAndBytes) {
  for (const size_t rows : {kReturnedRowsMax, kReturnedRowsMax + 1}) {
    talk.Query(kInsert).Part(RowDescription({"id"}));
    for (size_t i = 0; i < rows; ++i) {
      talk.Part(DataRow({"7"}));
    }
    talk.Reply("C:INSERT 0 " + std::to_string(rows) + "|Z:I");
    EXPECT_EQ(Last().starts_with("="), rows > kReturnedRowsMax);
  }
  talk.Query(kInsert).Part(RowDescription({"id"}));
  talk.Part(DataRow({std::string(kReturnedBytesMax, 'x')}), 7).Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "=4");
}

TEST_F(ReturnedTest, WhatIsGivenInPartsOrByAnotherNameIsLeft) {
  talk.OneShot(kInsert);
  talk.Sync().Reply("1|2").Part(DataRow({"1"})).Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "-> 1");
  talk.Parse("", kInsert).Bind("", "").Execute("", 1).Sync();
  talk.Reply("1|2").Part(DataRow({"1"})).Reply("s|Z:I");
  EXPECT_EQ(Last(), "=3");
  talk.Ask("PREPARE p AS " + std::string(kInsert), "PREPARE").Ask("EXECUTE p", "INSERT 0 1");
  EXPECT_EQ(Last(), "=2");
}

class ToleratedTest : public ReturnedTest {
 protected:
  ToleratedTest() : ReturnedTest(config::Generated::kTolerate) {}
};

TEST_F(ToleratedTest, IsOnlyCounted) {
  talk.Query(kInsert);
  EXPECT_FALSE(talk.recorder->listening());
  talk.Part(RowDescription({"id"})).Part(DataRow({"7"})).Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "=1");
}

class OffTest : public ReturnedTest {
 protected:
  OffTest() : ReturnedTest(config::Generated::kOff) {}
};

TEST_F(OffTest, IsNotLookedAt) {
  talk.Query(kInsert).Part(RowDescription({"id"})).Part(DataRow({"7"}));
  talk.Reply("C:INSERT 0 1|Z:I");
  EXPECT_EQ(Last(), "");
}

TEST(Returned, DamagedBytesAreRefused) {
  ReturnedRows rows;
  base::CreditPool pool(1 << 20, 1024);
  base::Credit credit(&pool);
  pg::Piece piece;
  const std::string row = DataRow({"7"});
  piece.type = 'D';
  piece.first = piece.last = true;
  piece.bytes = row;
  piece.body = piece.bytes.substr(pg::kHeaderBytes);
  piece.body_length = static_cast<uint32_t>(piece.body.size());
  rows.Add(piece, &credit);
  base::Slice kept;
  ASSERT_EQ(rows.Take("", sql::LexOptions(), &kept), Unpinned::kNone);
  Returned returned;
  EXPECT_TRUE(ParseReturned(kept.view(), &returned));
  for (size_t cut = 0; cut < kept.size(); ++cut) {
    EXPECT_FALSE(ParseReturned(kept.view().substr(0, cut), &returned)) << cut;
  }
}

}  // namespace
}  // namespace mirror
