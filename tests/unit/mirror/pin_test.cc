// An INSERT written anew: its text, its parameters and their types; and what is left as it was.
#include "mirror/pin.h"

#include <gtest/gtest.h>

#include "base/byte_input.h"
#include "mirror/trace.h"
#include "pg/views.h"
#include "support/pg_messages.h"

namespace mirror {
namespace {

using Fill = PinColumn::Fill;
using support::Be16;
using support::Be32;
using support::CString;

constexpr uint32_t kInt4 = 23;
constexpr uint32_t kText = 25;
constexpr uint32_t kTimestamptz = 1184;

struct Field {
  std::string name;
  uint32_t type = 0;
};
using Row = std::vector<std::string>;  // "NULL" is one

PinTable Table() {
  PinTable table;
  table.known = true;
  table.columns = {PinColumn{"id", Fill::kSequence}, PinColumn{"v", Fill::kNothing},
                   PinColumn{"made", Fill::kMade},
                   PinColumn{"twice", Fill::kNothing, false, true}};
  return table;
}

std::string Description(const std::vector<Field>& fields) {
  std::string body = Be16(static_cast<uint16_t>(fields.size()));
  for (const Field& field : fields) {
    body += CString(field.name) + Be32(1) + Be16(1) + Be32(field.type);
    body += Be16(4) + Be32(0) + Be16(0);
  }
  return body;
}

class PinTest : public testing::Test {
 protected:
  // "text | value:type value:type", or "=why" where it goes as it was.
  std::string Pinned(const std::string& text, const std::vector<Field>& fields,
                     const std::vector<Row>& rows) {
    std::string answer;
    base::AppendByte(&answer, 1);
    base::AppendByte(&answer, 0);
    base::AppendSized(&answer, fields.empty() ? std::string() : Description(fields));
    base::AppendLe32(&answer, static_cast<uint32_t>(rows.size()));
    for (const Row& row : rows) {
      std::string body = Be16(static_cast<uint16_t>(row.size()));
      for (const std::string& value : row) {
        body += value == "NULL" ? Be32(UINT32_MAX) : support::Value(value);
      }
      base::AppendSized(&answer, body);
    }
    step_.tag = "INSERT 0 " + std::to_string(inserted_ == 0 ? rows.size() : inserted_);
    (step_.extended ? step_.parse : step_.text) =
        base::Slice::CopyOf(step_.extended ? text + std::string(1, '\0') + types_ : text);
    Returned returned;
    EXPECT_TRUE(ParseReturned(answer, &returned));
    const std::optional<sql::InsertShape> shape = sql::ReadInsert(text);
    if (!shape.has_value()) {
      return "no shape";
    }
    pin_ = PinStep(step_, returned, *shape, table_);
    return Told();
  }
  std::string Told() const {
    const std::string why =
        pin_.why == Unpinned::kNone ? "" : " =" + std::to_string(static_cast<int>(pin_.why));
    if (pin_.parse.empty()) {
      return "as it was" + why;
    }
    const std::string parse = std::string(1, '\0') + std::string(pin_.parse.view());
    const std::string bind = std::string(2, '\0') + std::string(pin_.bind.view());
    const std::optional<pg::ParseView> parsed = pg::ReadParse(parse);
    const std::optional<pg::BindView> bound = pg::ReadBind(bind);
    if (!parsed.has_value() || !bound.has_value() ||
        parsed->type_count != bound->parameter_count ||
        bound->format_count != bound->parameter_count) {
      return "malformed";
    }
    std::string told(parsed->text);
    told += " |";
    std::string_view rest = bound->parameters;
    for (size_t i = 0; i < bound->parameter_count; ++i) {
      const pg::Value value = *pg::NextValue(&rest);
      told += value.null ? " NULL" : " " + std::string(value.bytes);
      told += ":" + std::to_string(base::LoadBe32(parsed->types.data() + i * 4));
      told += bound->formats[i * 2 + 1] != 0 ? "b" : "";
    }
    return told + why;
  }
  // With `bind`: formats, values, results.
  void Extended(const std::string& types, const std::string& bind) {
    step_.extended = true;
    types_ = types;
    step_.bind = base::Slice::CopyOf(bind);
  }

  PinTable table_ = Table();
  Step step_;
  std::string types_;
  size_t inserted_ = 0;  // 0: as many as rows
  Pin pin_;
};

const std::vector<Field> kId = {{"id", kInt4}, {"made", kTimestamptz}};

TEST_F(PinTest, WhatWasReturnedAndMadeUpIsGivenBehindTheRest) {
  EXPECT_EQ(Pinned("INSERT INTO t (v) VALUES ('a'), ('b;$1') RETURNING id, made", kId,
                   {{"7", "noon"}, {"8", "NULL"}}),
            "INSERT INTO t (v, \"id\", \"made\") VALUES ('a', $1, $3), ('b;$1', $2, $4) RETURNING "
            "id,"
            " made | 7:23 8:23 noon:1184 NULL:1184");
  EXPECT_EQ(pin_.rows, 2U);
  EXPECT_TRUE(pin_.sequence);
  EXPECT_EQ(pin_.fields, std::vector<uint16_t>{0});  // one time has several texts
}

TEST_F(PinTest, ItsOwnParametersStayInFront) {
  Extended(Be16(1) + Be32(kText),
           Be16(1) + Be16(1) + Be16(2) + support::Value("x") + support::Value("y") + Be16(0));
  EXPECT_EQ(Pinned("INSERT INTO t(v, twice) VALUES ($1 || $2, DEFAULT) RETURNING id, made", kId,
                   {{"7", "noon"}}),
            "INSERT INTO t(v, twice, \"id\", \"made\") VALUES ($1 || $2, DEFAULT, $3, $4) "
            "RETURNING "
            "id, made | x:25b y:0b 7:23 noon:1184");
}

TEST_F(PinTest, BinaryValuesNeedTheirType) {
  const std::string bind = Be16(0) + Be16(0) + Be16(1) + Be16(1);
  Extended(Be16(0), bind);
  const std::string text = "INSERT INTO t(v) VALUES ('a') RETURNING id, made";
  EXPECT_EQ(Pinned(text, kId, {{"1234", "12345678"}}),
            "INSERT INTO t(v, \"id\", \"made\") VALUES ('a', $1, $2) RETURNING id, made | 1234:23b "
            "12345678:1184b");
  EXPECT_EQ(Pinned(text, {}, {{"1234", "12345678"}}), "as it was =5");
  EXPECT_EQ(Pinned(text, {{"id", kInt4}, {"made", 16384}}, {{"1234", "12345678"}}),
            "INSERT INTO t(v, \"id\") VALUES ('a', $1) RETURNING id, made | 1234:23b =6");
  Extended(Be16(0), Be16(0) + Be16(0) + Be16(2) + Be16(0) + Be16(1));
  EXPECT_EQ(Pinned(text, {}, {{"12", "12345678"}}),
            "INSERT INTO t(v, \"id\") VALUES ('a', $1) RETURNING id, made | 12:0 =5");
}

TEST_F(PinTest, OnlyTheWordDefaultAndWhatServersMakeUpIsReplaced) {
  EXPECT_EQ(Pinned("INSERT INTO t(id, v, made) VALUES (DEFAULT, 'a', now()), (3, 'b', "
                   "'2020-01-01') "
                   "RETURNING id, made",
                   kId, {{"7", "noon"}, {"3", "x"}}),
            "INSERT INTO t(id, v, made) VALUES ($1, 'a', $2), (3, 'b', '2020-01-01') RETURNING id, "
            "made | 7:23 noon:1184");
  EXPECT_EQ(Pinned("INSERT INTO t(id, v, made) VALUES (1, DEFAULT, 'x') RETURNING id, v, made",
                   {{"id", kInt4}, {"v", kText}, {"made", kText}}, {{"1", "a", "x"}}),
            "as it was");
}

TEST_F(PinTest, WithoutColumnsThoseOfTheMirrorAreNamed) {
  EXPECT_EQ(Pinned("INSERT INTO t VALUES (DEFAULT, 'a') RETURNING *",
                   {{"id", kInt4}, {"v", kText}, {"made", kText}, {"twice", kInt4}},
                   {{"7", "a", "noon", "2"}}),
            "INSERT INTO t (\"id\", \"v\", \"made\") VALUES ($1, 'a', $2) RETURNING * | 7:23 "
            "noon:25");
  EXPECT_EQ(Pinned("INSERT INTO s.t AS q DEFAULT VALUES RETURNING id, made", kId, {{"7", "x"}}),
            "INSERT INTO s.t AS q (\"id\", \"made\") VALUES ($1, $2) RETURNING id, made | 7:23 "
            "x:1184");
  EXPECT_EQ(Pinned("INSERT INTO t VALUES (1, 2, 3, 4, 5) RETURNING id, made", kId, {{"7", "x"}}),
            "as it was =2");
}

TEST_F(PinTest, AnIdentityThatIsAlwaysMadeIsOverridden) {
  table_.columns[0].always = true;
  EXPECT_EQ(Pinned("INSERT INTO t DEFAULT VALUES RETURNING id, made", kId, {{"7", "x"}}),
            "INSERT INTO t (\"id\", \"made\") OVERRIDING SYSTEM VALUE VALUES ($1, $2) RETURNING "
            "id, "
            "made | 7:23 x:1184");
  EXPECT_EQ(Pinned("INSERT INTO t(v) OVERRIDING SYSTEM VALUE VALUES (1) RETURNING id, made", kId,
                   {{"7", "x"}}),
            "INSERT INTO t(v, \"id\", \"made\") OVERRIDING SYSTEM VALUE VALUES (1, $1, $2) "
            "RETURNING "
            "id, made | 7:23 x:1184");
  EXPECT_EQ(Pinned("INSERT INTO t(v) OVERRIDING USER VALUE VALUES (1) RETURNING id, made", kId,
                   {{"7", "x"}}),
            "as it was =2");
}

TEST_F(PinTest, NamesAreQuoted) {
  table_.columns[0].name = "I\"d; --";
  EXPECT_EQ(Pinned("INSERT INTO t(v) VALUES (1) RETURNING *", {{"I\"d; "
                                                                "--", kInt4}, {"made", kText}},
                   {{"7", "x"}}),
            "INSERT INTO t(v, \"I\"\"d; --\", \"made\") VALUES (1, $1, $2) RETURNING * | 7:23 "
            "x:25");
}

TEST_F(PinTest, RowsMustBeAsManyAsTheTextHas) {
  const std::string two = "INSERT INTO t(v) VALUES (1), (2) ON CONFLICT DO NOTHING RETURNING id, "
                          "made";
  EXPECT_EQ(Pinned(two, kId, {{"7", "x"}}), "as it was =3");
  inserted_ = 2;  // what came back was not all of it
  EXPECT_EQ(Pinned("INSERT INTO t(v) VALUES (1) RETURNING id, made", kId, {{"7", "x"}}),
            "as it was =3");
  EXPECT_EQ(Pinned("INSERT INTO t(v) SELECT 1 RETURNING id, made", kId, {{"7", "x"}, {"8", "x"}}),
            "as it was =3");
  inserted_ = 0;
  EXPECT_EQ(Pinned(two, kId, {}), "as it was");
  EXPECT_EQ(Pinned("INSERT INTO t(v) SELECT a -- b\n FROM c RETURNING id, made", kId, {{"7", "x"}}),
            "INSERT INTO t(v, \"id\", \"made\") SELECT a, $1, $2 -- b\n FROM c RETURNING id, made "
            "| "
            "7:23 x:1184");
  EXPECT_EQ(Pinned("INSERT INTO t SELECT 1 RETURNING id, made", kId, {{"7", "x"}}), "as it was =2");
}

TEST_F(PinTest, WhatWasFilledAndNotReturnedIsTold) {
  EXPECT_EQ(Pinned("INSERT INTO t(v) VALUES (1) RETURNING id", {{"id", kInt4}}, {{"7"}}),
            "INSERT INTO t(v, \"id\") VALUES (1, $1) RETURNING id | 7:23 =8");
  EXPECT_EQ(Pinned("INSERT INTO t(id, made, v) VALUES (1, 'x', DEFAULT) RETURNING "
                   "v", {{"v", kText}},
                   {{"7"}}),
            "as it was");
  EXPECT_EQ(Pinned("INSERT INTO t(id, made) VALUES (1, DEFAULT) RETURNING id", {{"id", kInt4}},
                   {{"7"}}),
            "as it was =8");
  EXPECT_EQ(Pinned("INSERT INTO t(v) VALUES (1) RETURNING *, *", kId, {{"7", "x"}}), "as it was "
                                                                                     "=2");
  EXPECT_EQ(Pinned("INSERT INTO t(v) VALUES (1) RETURNING *", {}, {{"7", "x"}}), "as it was =5");
}

TEST_F(PinTest, ATriggersValueIsGivenWhereATriggerMakesOneUp) {
  const std::string text = "INSERT INTO t(id, made) VALUES (1, 'x'), (2, 'x') RETURNING v";
  EXPECT_EQ(Pinned(text, {{"v", kText}}, {{"NULL"}, {"b"}}), "as it was");
  table_.triggers = true;
  EXPECT_EQ(Pinned(text, {{"v", kText}}, {{"NULL"}, {"b"}}),
            "INSERT INTO t(id, made, \"v\") VALUES (1, 'x', $1), (2, 'x', $2) RETURNING v | "
            "NULL:25 "
            "b:25");
  EXPECT_EQ(Pinned(text, {{"v", kText}}, {{"NULL"}, {"NULL"}}), "as it was");
}

TEST_F(PinTest, WhatTheMirrorDoesNotKnowIsLeft) {
  table_.known = false;
  EXPECT_EQ(Pinned("INSERT INTO t(v) VALUES (1) RETURNING id, made", kId, {{"7", "x"}}),
            "as it was =7");
}

TEST_F(PinTest, AStatementUnderAnotherNameIsLeft) {
  Extended(Be16(0), Be16(0) + Be16(0) + Be16(0));
  step_.statement = "pgbraid_parsed";
  EXPECT_EQ(Pinned("INSERT INTO t(v) VALUES (1) RETURNING id, made", kId, {{"7", "x"}}),
            "as it was =2");
}

TEST(Pin, WhatADefaultIsFilledWith) {
  EXPECT_EQ(FillOf("nextval('t_id_seq'::regclass)"), Fill::kSequence);
  EXPECT_EQ(FillOf("(nextval('s'::regclass) + 1)"), Fill::kSequence);
  for (const char* made : {"now()", "CURRENT_TIMESTAMP", "(CURRENT_DATE + 1)", "gen_random_uuid()",
                           "CURRENT_USER", "s.f(1)", "\"F\"()"}) {
    EXPECT_EQ(FillOf(made), Fill::kMade) << made;
  }
  for (const char* same : {"", "0", "'x'::text", "'now()'::text", "true", "NULL::integer",
                           "ARRAY[1, 2]", "(1 + 2)"}) {
    EXPECT_EQ(FillOf(same), Fill::kNothing) << same;
  }
}

}  // namespace
}  // namespace mirror
