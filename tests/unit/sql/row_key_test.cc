#include "sql/row_key.h"

#include <gtest/gtest.h>

#include <string>

namespace sql {
namespace {

std::string Key(std::string_view text) {
  const RowKey key = RowKeyOf(text);
  if (key.column.empty()) {
    return "";
  }
  return key.column + "=" +
         (key.parameter != 0 ? "$" + std::to_string(key.parameter) : key.number);
}

TEST(RowKey, OneColumnWithOneValue) {
  EXPECT_EQ(Key("UPDATE t SET v = 'x' WHERE id = 5"), "id=5");
  EXPECT_EQ(Key("update only s.t as q set v = v + 1 where q.\"Id\" = 007;"), "Id=7");
  EXPECT_EQ(Key("DELETE FROM t WHERE id=$2 AND (a OR b) RETURNING *"), "id=$2");
  EXPECT_EQ(Key("UPDATE t SET v = (SELECT max(v) FROM u WHERE id = 9) WHERE id = $1"), "id=$1");
  EXPECT_EQ(Key("UPDATE t SET v = $1 WHERE id = $2::bigint"), "id=$2");
  EXPECT_EQ(Key("/* x */ DELETE FROM t -- where id = 1\n WHERE id = 3"), "id=3");
}

TEST(RowKey, WhatProvesNothing) {
  for (const char* text : {
           "UPDATE t SET v = 1",
           "UPDATE t SET id = 6 WHERE id = 5",
           "UPDATE t SET (id, v) = (6, 7) WHERE id = 5",
           "UPDATE t SET v = 1 WHERE id = 5 OR v = 2",
           "UPDATE t SET v = 1 WHERE id = 5 AND x OR y",
           "UPDATE t SET v = 1 WHERE NOT id = 5",
           "UPDATE t SET v = 1 WHERE id > 5",
           "UPDATE t SET v = 1 WHERE id = 5 + 1",
           "UPDATE t SET v = 1 WHERE id = 1.5",
           "UPDATE t SET v = 1 WHERE id = 'a'",
           "UPDATE t SET v = 1 WHERE id = other",
           "UPDATE t SET v = 1 WHERE lower(id) = 5",
           "UPDATE t SET v = 1 WHERE (id = 5)",
           "UPDATE t SET v = 1 FROM u WHERE id = 5",
           "DELETE FROM t USING u WHERE id = 5",
           "UPDATE t SET v = 1 WHERE CURRENT OF c",
           "WITH w AS (SELECT 1) UPDATE t SET v = 1 WHERE id = 5",
           "INSERT INTO t VALUES (1)",
           "UPDATE t SET v = 1 WHERE id = 5 AND v = 'x",
           "UPDATE",
           "",
       }) {
    EXPECT_EQ(Key(text), "") << text;
  }
}

TEST(RowKey, WholeNumbersHaveOneSpelling) {
  EXPECT_EQ(WholeNumber("0012"), "12");
  EXPECT_EQ(WholeNumber("000"), "0");
  EXPECT_EQ(WholeNumber("-0"), "0");
  EXPECT_EQ(WholeNumber("-07"), "-7");
  EXPECT_EQ(WholeNumber("1e3"), "");
  EXPECT_EQ(WholeNumber(""), "");
  EXPECT_EQ(WholeNumber("-"), "");
}

TEST(RowKey, SaysWhatTheTextCallsTheTable) {
  const auto table = [](const std::string& text) { return RowKeyOf(text).table; };
  EXPECT_EQ(table("UPDATE T SET v = 1 WHERE id = 7"), "t");
  EXPECT_EQ(table("UPDATE ONLY app.\"T\" AS x SET v = 1 WHERE x.id = 7"), "app.T");
  EXPECT_EQ(table("DELETE FROM ONLY t WHERE id = $1"), "t");
  EXPECT_EQ(table("DELETE FROM t WHERE id > 7"), "") << "nothing is proved";
}

}  // namespace
}  // namespace sql
