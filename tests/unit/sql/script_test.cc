#include "sql/script.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace sql {
namespace {

// "line<statement>" of each, with a space between them.
std::string Read(std::string_view text) {
  ScriptReader reader(text);
  std::string all;
  std::string statement;
  size_t line = 0;
  while (reader.Next(&statement, &line)) {
    all += (all.empty() ? "" : " ") + std::to_string(line) + "<" + statement + ">";
  }
  return all;
}

TEST(ScriptReader, YieldsStatementsWithTheirLines) {
  EXPECT_EQ(Read(""), "");
  EXPECT_EQ(Read(";;\n;"), "");
  EXPECT_EQ(Read("SELECT 1; SELECT 2"), "1<SELECT 1> 1<SELECT 2>");
  EXPECT_EQ(Read("-- head\nSELECT 1;\n\n/* a\n b */ SELECT ';';"), "2<SELECT 1> 5<SELECT ';'>");
}

TEST(ScriptReader, LeavesOutCommandsOfPsql) {
  EXPECT_EQ(Read("\\set ON_ERROR_STOP on\nSELECT 1;\n\\echo it's over; SELECT 9;\nSELECT 2;\n"),
            "2<SELECT 1> 4<SELECT 2>");
  EXPECT_EQ(Read("SELECT 1 \\gset\nSELECT 2 \\g\nSELECT 3;"),
            "1<SELECT 1 > 2<SELECT 2 > 3<SELECT 3>");
  EXPECT_EQ(Read("SELECT\n\\echo x\n1;"), "1<SELECT\n1>");
  EXPECT_EQ(Read("SELECT E'\\\\', '\\x';"), "1<SELECT E'\\\\', '\\x'>");
}

TEST(ScriptReader, LeavesOutTheDataOfCopy) {
  EXPECT_EQ(Read("COPY t (a) FROM stdin;\n\\N\nit's;\n\\.\nSELECT 1;\n"),
            "1<COPY t (a) FROM stdin> 5<SELECT 1>");
  EXPECT_EQ(Read("COPY t FROM stdin;\r\n1\r\n\\.\r\nSELECT 1;"),
            "1<COPY t FROM stdin> 4<SELECT 1>");
  EXPECT_EQ(Read("COPY t FROM stdin;\n1\n"), "1<COPY t FROM stdin>");
  EXPECT_EQ(Read("COPY t FROM '/f';\nSELECT 1;"), "1<COPY t FROM '/f'> 2<SELECT 1>");
}

TEST(ScriptReader, KeepsBodiesWhole) {
  EXPECT_EQ(
      Read("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END; TABLE t"),
      "1<CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END> 1<TABLE t>");
}

}  // namespace
}  // namespace sql
