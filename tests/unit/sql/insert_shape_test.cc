#include "sql/insert_shape.h"

#include <gtest/gtest.h>

#include <string>

namespace sql {
namespace {

std::string Cut(std::string_view text, Span span) {
  return std::string(text.substr(span.begin, span.end - span.begin));
}

// "table(columns) value value | value value -> returned", or "" where nothing is proved.
std::string Shape(std::string_view text, LexOptions options = {}) {
  const std::optional<InsertShape> shape = ReadInsert(text, options);
  if (!shape.has_value()) {
    return "";
  }
  std::string told;
  for (const std::string& part : shape->table) {
    told += (told.empty() ? "" : ".") + part;
  }
  if (shape->has_columns) {
    told += "(";
    for (const std::string& column : shape->columns) {
      told += (told.ends_with('(') ? "" : ",") + column;
    }
    told += ")";
  }
  if (shape->overriding != InsertShape::Overriding::kNone) {
    told += shape->overriding == InsertShape::Overriding::kUser ? " user" : " system";
  }
  if (shape->source == InsertShape::Source::kDefaultValues) {
    told += " defaults";
  } else if (shape->source == InsertShape::Source::kSelect) {
    told += " select up to '" + std::string(text.substr(0, shape->select_end)).substr(
                                    shape->source_span.end) + "'";
  }
  for (size_t i = 0; i < shape->values.size(); ++i) {
    const InsertValue& value = shape->values[i];
    told += i > 0 && i % shape->width() == 0 ? " |" : "";
    told += " " + Cut(text, value.span) + (value.is_default ? "*" : "") +
            (value.parameters ? "$" : "");
  }
  told += shape->conflict ? " conflict ->" : " ->";
  for (const ReturnedItem& item : shape->returned) {
    told += item.kind == ReturnedItem::Kind::kStar     ? " *"
            : item.kind == ReturnedItem::Kind::kColumn ? " " + item.column
                                                       : " ?";
  }
  return told;
}

TEST(InsertShape, ColumnsValuesAndWhatComesBack) {
  EXPECT_EQ(Shape("INSERT INTO t (a, \"B\") VALUES (1, DEFAULT) RETURNING id"),
            "t(a,B) 1 DEFAULT* -> id");
  EXPECT_EQ(Shape("insert into S.T as q values ($1, 'x'), (f($2, 3), now()) returning q.Id, *;"),
            "s.t $1$ 'x' | f($2, 3)$ now() -> id *");
  EXPECT_EQ(Shape("INSERT INTO t DEFAULT VALUES RETURNING *"), "t defaults -> *");
  EXPECT_EQ(Shape(";INSERT INTO t(a) OVERRIDING SYSTEM VALUE VALUES (1) RETURNING t.a AS b, a c"),
            "t(a) system 1 -> a a");
  EXPECT_EQ(Shape("INSERT INTO t(a) OVERRIDING USER VALUE VALUES (1) RETURNING a"),
            "t(a) user 1 -> a");
  EXPECT_EQ(Shape("INSERT INTO t(a) VALUES (1) ON CONFLICT (a) WHERE (b) DO UPDATE SET (a, b) = "
                  "(EXCLUDED.a, t.returning) RETURNING a"),
            "t(a) 1 conflict -> a");
  EXPECT_EQ(Shape("INSERT INTO t VALUES (ARRAY[1, 2], (1), ROW(1, 2)) RETURNING a"),
            "t ARRAY[1, 2] (1) ROW(1, 2) -> a");
}

TEST(InsertShape, WhatStandsInStringsAndCommentsIsNoText) {
  EXPECT_EQ(Shape("/* VALUES ( */ INSERT INTO t -- (\n (a /* ) */) VALUES ('a),(;$1' -- )\n, $$)$$,"
                  " $q$ $$ ; $q$, E'\\');') RETURNING /* * */ id -- ;\n"),
            "t(a) 'a),(;$1' $$)$$ $q$ $$ ; $q$ E'\\');' -> id");
  EXPECT_EQ(Shape("INSERT INTO t VALUES ('a\\', 'b') RETURNING id"), "t 'a\\' 'b' -> id");
  LexOptions escapes;
  escapes.standard_conforming_strings = false;
  EXPECT_EQ(Shape("INSERT INTO t VALUES ('a\\', 'b') RETURNING id", escapes), "");
  EXPECT_EQ(Shape("INSERT INTO t VALUES ('a\\'', 'b') RETURNING id", escapes),
            "t 'a\\'' 'b' -> id");
  LexOptions sjis;
  sjis.encoding = Encoding::kSjis;
  sjis.standard_conforming_strings = false;
  EXPECT_EQ(Shape("INSERT INTO t VALUES ('\x83\x5c', 'b') RETURNING id", sjis),
            "t '\x83\x5c' 'b' -> id");
}

TEST(InsertShape, WhatIsReturnedIsAColumnOnlyByItsName) {
  EXPECT_EQ(Shape("INSERT INTO t(a) VALUES (1) RETURNING id + 1, f(id), id::text, (id), 'id', "
                  "u.id, "
                  "s.t.id, current_date, user, NULL, \"user\", old.id, a[1], *"),
            "t(a) 1 -> ? ? ? ? ? ? ? ? ? ? user ? ? *");
  EXPECT_EQ(Shape("INSERT INTO t AS q(a) VALUES (1) RETURNING t.id, q.id, q.*"),
            "t(a) 1 -> ? id *");
}

TEST(InsertShape, SelectsOfOnePart) {
  EXPECT_EQ(Shape("INSERT INTO t(a) SELECT b AS c, (SELECT 1 FROM x) FROM y JOIN z ON true WHERE d "
                  "RETURNING id"),
            "t(a) select up to ' b AS c, (SELECT 1 FROM x)' -> id");
  EXPECT_EQ(Shape("INSERT INTO t(a) SELECT ALL 1 IS DISTINCT FROM 2 ON CONFLICT DO NOTHING "
                  "RETURNING "
                  "id"),
            "t(a) select up to ' ALL 1 IS DISTINCT FROM 2' conflict -> id");
  EXPECT_EQ(Shape("INSERT INTO t(a) SELECT x.from, mode() WITHIN GROUP (ORDER BY y) FROM x "
                  "RETURNING "
                  "id"),
            "t(a) select up to ' x.from, mode() WITHIN GROUP (ORDER BY y)' -> id");
}

TEST(InsertShape, WhatProvesNothing) {
  for (const char* text : {
           "INSERT INTO t(a) VALUES (1)",
           "INSERT INTO t(a) VALUES (1) RETURNING",
           "INSERT INTO t(a) VALUES (1) RETURNING id,",
           "INSERT INTO t(a) VALUES (1) RETURNING id; SELECT 1",
           "INSERT INTO t(a) VALUES (1), (1, 2) RETURNING id",
           "INSERT INTO t(a) VALUES () RETURNING id",
           "INSERT INTO t(a) VALUES (1,) RETURNING id",
           "INSERT INTO t(a) VALUES (1) ORDER BY 1 RETURNING id",
           "INSERT INTO t(a) VALUES (1) UNION VALUES (2) RETURNING id",
           "INSERT INTO t(a) (VALUES (1)) RETURNING id",
           "INSERT INTO t(a) TABLE u RETURNING id",
           "INSERT INTO t(a) WITH w AS (SELECT 1) SELECT 1 RETURNING id",
           "WITH w AS (SELECT 1) INSERT INTO t(a) VALUES (1) RETURNING id",
           "EXPLAIN ANALYZE INSERT INTO t(a) VALUES (1) RETURNING id",
           "INSERT INTO t(a) SELECT DISTINCT b FROM c RETURNING id",
           "INSERT INTO t(a) SELECT 1 UNION ALL SELECT 2 RETURNING id",
           "INSERT INTO t(a) SELECT FROM c RETURNING id",
           "INSERT INTO t(a) SELECT RETURNING id",
           "INSERT INTO t(a) DEFAULT VALUES RETURNING id",
           "INSERT INTO t(a[1]) VALUES (1) RETURNING id",
           "INSERT INTO t(a.b) VALUES (1) RETURNING id",
           "INSERT INTO d.s.t(a) VALUES (1) RETURNING id",
           "INSERT INTO U&\"t\"(a) VALUES (1) RETURNING id",
           "INSERT INTO t(a) VALUES (1) RETURNING WITH (OLD AS o) id",
           "INSERT INTO t(a) VALUES (1 RETURNING id",
           "INSERT INTO t(a) VALUES ('1) RETURNING id",
           "INSERT INTO t(a) VALUES (1) RETURNING id /* ",
           "INSERT t(a) VALUES (1) RETURNING id",
           "",
       }) {
    EXPECT_EQ(Shape(text), "") << text;
  }
}

std::string Times(std::string_view piece, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    text += piece;
  }
  return text;
}

TEST(InsertShape, Bounds) {
  const auto rows = [](size_t count) {
    return "INSERT INTO t(a) VALUES " + Times("(1),", count - 1) + "(1) RETURNING id";
  };
  EXPECT_TRUE(ReadInsert(rows(kInsertRowsMax)).has_value());
  EXPECT_FALSE(ReadInsert(rows(kInsertRowsMax + 1)).has_value());
  const auto columns = [](size_t count) {
    return "INSERT INTO t(" + Times("a,", count - 1) + "a) VALUES (1) RETURNING id";
  };
  EXPECT_TRUE(ReadInsert(columns(kInsertColumnsMax)).has_value());
  EXPECT_FALSE(ReadInsert(columns(kInsertColumnsMax + 1)).has_value());
  const auto values = [](size_t count) {
    return "INSERT INTO t VALUES (" + Times("1,", count - 1) + "1) RETURNING id";
  };
  EXPECT_TRUE(ReadInsert(values(kInsertValuesMax)).has_value());
  EXPECT_FALSE(ReadInsert(values(kInsertValuesMax + 1)).has_value());
  EXPECT_FALSE(ReadInsert("INSERT INTO t VALUES (1) RETURNING " +
                          Times("a,", kInsertColumnsMax) + "a").has_value());
  EXPECT_FALSE(ReadInsert("INSERT INTO t VALUES " + Times("(", 1 << 20)).has_value());
}

}  // namespace
}  // namespace sql
