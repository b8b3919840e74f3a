#include "sql/split.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

Strings Split(std::string_view text, sql::LexOptions options = {}) {
  Strings out;
  sql::Splitter splitter(text, options);
  std::string_view statement;
  while (splitter.Next(&statement)) out.emplace_back(statement);
  return out;
}

TEST(Splitter, YieldsNonEmptyStatementsInOrder) {
  EXPECT_EQ(Split(""), Strings());
  EXPECT_EQ(Split(" ; ;; -- x\n /* ; */ "), Strings());
  EXPECT_EQ(Split("select 1"), Strings({"select 1"}));
  EXPECT_EQ(Split("select 1;"), Strings({"select 1"}));
  EXPECT_EQ(Split("select 1; select 2"), Strings({"select 1", "select 2"}));
  EXPECT_EQ(Split(";;a;;b;"), Strings({"a", "b"}));
  EXPECT_EQ(Split("/* x */ a /* y */ b -- z\n; c"), Strings({"a /* y */ b", "c"}));
}

TEST(Splitter, LeavesQuotedSemicolonsAlone) {
  EXPECT_EQ(Split("a ';' \";\" $$;$$ $x$;$x$ e'\\';' /* ; */ -- ;\n b; c"),
            Strings({"a ';' \";\" $$;$$ $x$;$x$ e'\\';' /* ; */ -- ;\n b", "c"}));
  EXPECT_EQ(Split("select 'it''s;'; b"), Strings({"select 'it''s;'", "b"}));
  EXPECT_EQ(Split("select 'a\\'; b"), Strings({"select 'a\\'", "b"}));
  EXPECT_EQ(Split("select 'a\\'; b", {.standard_conforming_strings = false}),
            Strings({"select 'a\\'; b"}));
  EXPECT_EQ(Split("a 'open; b"), Strings({"a 'open; b"}));
  EXPECT_EQ(Split("do $$ begin x; end $$; b"), Strings({"do $$ begin x; end $$", "b"}));
}

TEST(Splitter, KeepsBracketsTogether) {
  const std::string kRule =
      "create rule r as on insert to t do also (insert into a values (1); "
      "insert into b values (2))";
  EXPECT_EQ(Split(kRule + "; select 1"), Strings({kRule, "select 1"}));
  EXPECT_EQ(Split("a ) ; b"), Strings({"a )", "b"}));
  EXPECT_EQ(Split("a [;] b"), Strings({"a [", "] b"}));
}

TEST(Splitter, KeepsAtomicBodiesTogether) {
  const Strings kBodies = {
      "create function f() returns int begin atomic select 1; select 2; end",
      "CREATE OR REPLACE FUNCTION f(x int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
      "create procedure p() begin atomic insert into t values (1); end",
      "create function f() returns int begin atomic end",
      "create function f() returns int begin atomic select case when a then 1 end; end",
      "create function f() returns int begin atomic "
      "select case when case a when 1 then true end then 2 end from t; select 3; end",
      "create function f() returns int begin atomic select 1 as end; select t.end from t; end",
      "create function f() returns int begin atomic select 1 end; select 2; end",
      "create function f() returns int begin atomic select 1 as case; select 2; end",
      "create function f() returns int begin atomic select (case when a then 1 end); end",
      "create function f() returns int begin /* c */ atomic select 1; end",
      "create function f() returns int begin atomic "
      "create function g() returns int begin atomic select 1; end; select 2; end",
  };
  for (const std::string& body : kBodies) {
    EXPECT_EQ(Split(body + "; select 9"), Strings({body, "select 9"})) << body;
  }
}

TEST(Splitter, DoesNotSeeBodiesElsewhere) {
  EXPECT_EQ(Split("begin; atomic; end"), Strings({"begin", "atomic", "end"}));
  EXPECT_EQ(Split("begin atomic; end"), Strings({"begin atomic", "end"}));
  EXPECT_EQ(Split("create view v as select begin atomic from t; b"),
            Strings({"create view v as select begin atomic from t", "b"}));
  EXPECT_EQ(Split("create function f() returns int return 1; b"),
            Strings({"create function f() returns int return 1", "b"}));
  EXPECT_EQ(Split("create function f(\"begin\" atomic) returns int return 1; b").size(), 2U);
  EXPECT_EQ(Split("create function f(begin atomic) returns int return 1; b").size(), 2U);
  EXPECT_EQ(Split("create \"function\" begin atomic; b").size(), 2U);
  EXPECT_EQ(Split("create table function begin atomic; b").size(), 2U);
}

TEST(Splitter, APieceIsOneStatementAgain) {
  const std::string kText =
      "select 1; create function f() returns int begin atomic select 1; end;"
      "create rule r as on insert to t do (a; b); ;; 'x;' ; end";
  const Strings pieces = Split(kText);
  EXPECT_EQ(pieces.size(), 5U);
  for (const std::string& piece : pieces) EXPECT_EQ(Split(piece), Strings({piece}));
}

}  // namespace
