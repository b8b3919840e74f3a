#include "sql/copy_target.h"

#include <gtest/gtest.h>

namespace sql {
namespace {

using Format = CopyTarget::Format;

TEST(CopyTarget, TableColumnsAndFormat) {
  const auto target = ReadCopyTarget("COPY S.\"T\" (A, b) FROM STDIN");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->table, (ColumnName{"s", "T", ""}));
  EXPECT_EQ(target->columns, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(target->format, Format::kText);
  EXPECT_TRUE(ReadCopyTarget("COPY t FROM STDIN")->columns.empty());
}

TEST(CopyTarget, OptionsThatLeaveTheDataAsTheyAre) {
  EXPECT_EQ(ReadCopyTarget("COPY t(a) FROM STDIN (FORMAT csv, HEADER)")->format, Format::kCsv);
  EXPECT_EQ(ReadCopyTarget("COPY t(a) FROM STDIN WITH CSV HEADER")->format, Format::kCsv);
  EXPECT_EQ(ReadCopyTarget("COPY t(a) FROM STDIN BINARY")->format, Format::kBinary);
  EXPECT_EQ(ReadCopyTarget("COPY BINARY t(a) FROM STDIN")->format, Format::kBinary);
  EXPECT_EQ(ReadCopyTarget("COPY t(a) FROM STDIN WITH (FREEZE false, FORMAT text) WHERE a > 1")
                ->format,
            Format::kText);
}

TEST(CopyTarget, OthersAreNotSure) {
  for (const char* text :
       {"COPY t(a) FROM STDIN (DELIMITER '|')", "COPY t(a) FROM STDIN CSV QUOTE '!'",
        "COPY t(a) FROM STDIN (FORMAT 'csv')", "COPY t(a) FROM STDIN (HEADER match)",
        "COPY t(a) FROM STDIN NULL 'x'", "COPY t(a) FROM 'file'", "COPY t(a) TO STDOUT",
        "COPY a.b.c FROM STDIN", "COPY t(a, FROM STDIN", "COPY", "INSERT INTO t VALUES (1)"}) {
    EXPECT_FALSE(ReadCopyTarget(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace sql
