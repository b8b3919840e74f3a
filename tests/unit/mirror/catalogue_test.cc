// What is asked of a mirror about a table, and what is made of its answer.
#include "mirror/catalogue.h"

#include <gtest/gtest.h>

#include "support/pg_messages.h"

namespace mirror {
namespace {

using Fill = PinColumn::Fill;

void Tell(TableReader* reader, const std::string& frame, size_t pieces = 1) {
  const size_t step = (frame.size() + pieces - 1) / pieces;
  for (size_t at = 0; at < frame.size(); at += step) {
    pg::Piece piece;
    piece.type = frame[0];
    piece.first = at == 0;
    piece.bytes = std::string_view(frame).substr(at, step);
    piece.last = at + piece.bytes.size() == frame.size();
    piece.body = piece.first ? piece.bytes.substr(pg::kHeaderBytes) : piece.bytes;
    reader->OnPart(1, piece);
  }
}

TEST(Catalogue, ReadsColumnsInTheirOrder) {
  using support::DataRow;
  TableReader reader;
  EXPECT_TRUE(reader.listening());
  Tell(&reader, DataRow({"ignored: another query's row"}));
  Tell(&reader, DataRow({"t", "f", "id", "a", "", std::nullopt}), 3);
  Tell(&reader, DataRow({"t", "f", "n", "", "", "nextval('s'::regclass)"}));
  Tell(&reader, DataRow({"t", "f", "made", "", std::nullopt, "now()"}));
  Tell(&reader, DataRow({"t", "f", "twice", "", "s", "(n * 2)"}));
  Tell(&reader, DataRow({"t", "f", "v", "", "", "'x'::text"}));
  const PinTable table = reader.Take();
  EXPECT_TRUE(table.known);
  EXPECT_FALSE(table.triggers);
  ASSERT_EQ(table.columns.size(), 5U);
  EXPECT_TRUE(table.columns[0].always);
  EXPECT_EQ(table.columns[0].fill, Fill::kSequence);
  EXPECT_EQ(table.columns[1].fill, Fill::kSequence);
  EXPECT_EQ(table.columns[2].fill, Fill::kMade);
  EXPECT_TRUE(table.columns[3].derived);
  EXPECT_EQ(table.columns[4].fill, Fill::kNothing);
}

TEST(Catalogue, WhatHasNoRowsIsNotKnown) {
  TableReader reader;
  EXPECT_FALSE(reader.Take().known);
}

TEST(Catalogue, WhatIsNotLaidOutAsARowIsNotKnown) {
  TableReader reader;
  Tell(&reader, support::DataRow({"t", "f", "id", "a", "", "x"}));
  Tell(&reader, support::Frame('D', support::Be16(6) + support::Be32(1000) + "short"));
  EXPECT_FALSE(reader.Take().known);
}

TEST(Catalogue, ForgetsWhenTablesMayHaveChangedAndAtItsBound) {
  Catalogue catalogue;
  PinTable table;
  table.known = true;
  catalogue.Put("a", 1, table);
  ASSERT_NE(catalogue.Find("a", 1), nullptr);
  EXPECT_EQ(catalogue.Find("a", 2), nullptr);
  EXPECT_EQ(catalogue.Find("a", 1), nullptr);
  catalogue.Put("a", 1, table);
  for (size_t i = 0; i < Catalogue::kTablesMax; ++i) {
    catalogue.Put(std::to_string(i), 1, table);
  }
  EXPECT_EQ(catalogue.Find("a", 1), nullptr);
  EXPECT_NE(catalogue.Find(std::to_string(Catalogue::kTablesMax - 1), 1), nullptr);
}

TEST(Catalogue, NamesAreQuotedInTheQuestion) {
  const std::string text = TableText({"s", "a\"b'c"});
  EXPECT_NE(text.find("to_regclass('\"s\".\"a\"\"b\'\'c\"')"), std::string::npos) << text;
  EXPECT_EQ(TableText({"back\\slash"}), "");
}

TEST(Catalogue, WhatDecidesWhatANameMeans) {
  for (const char* text : {"SET search_path = a", "SET LOCAL search_path TO a", "SET SCHEMA 'a'",
                           "SET ROLE r", "SET SESSION AUTHORIZATION u", "RESET ALL",
                           "SELECT set_config('search_path', 'a', false)", "RESET search_path"}) {
    EXPECT_TRUE(ChangesNames(text)) << text;
  }
  for (const char* text : {"SET statement_timeout = 1", "SET LOCAL my.tenant = '1'",
                           "PREPARE p AS SELECT 1", "SET TimeZone = 'UTC'"}) {
    EXPECT_FALSE(ChangesNames(text)) << text;
  }
}

TEST(Catalogue, WhatMayMakeAnotherTableOfIt) {
  const auto changes = [](const std::string& text, Trace trace = Trace::kNone) {
    Step step;
    step.text = base::Slice::CopyOf(text);
    step.trace = trace;
    return ChangesTables(step);
  };
  EXPECT_TRUE(changes("/* x */ ALTER TABLE t ADD a int"));
  EXPECT_TRUE(changes("create table t()"));
  EXPECT_TRUE(changes("DROP TABLE t"));
  EXPECT_TRUE(changes("DO $$$$", Trace::kHeld));
  EXPECT_FALSE(changes("CREATE TEMP TABLE t()", Trace::kHeld));
  EXPECT_FALSE(changes("INSERT INTO alter VALUES (1)"));
  EXPECT_FALSE(changes("CALL p()", Trace::kHeld));
}

}  // namespace
}  // namespace mirror
