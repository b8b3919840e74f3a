#include "mirror/redact.h"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"

namespace mirror {
namespace {

constexpr uint32_t kInt4 = 23;
constexpr uint32_t kText = 25;

std::string AllValues(std::string_view text) {
  return Redactor({.all_values = true, .types = {}, .columns = {}}).RedactText(text);
}

// The Bind body behind the names: formats none, `values`, no formats of results.
std::string BindOf(std::initializer_list<std::string_view> values) {
  std::string body(2, '\0');
  base::AppendBe16(&body, static_cast<uint16_t>(values.size()));
  for (const std::string_view value : values) {
    base::AppendBe32(&body, static_cast<uint32_t>(value.size()));
    body += value;
  }
  return body.append(2, '\0');
}

Step Extended(std::string_view text, std::initializer_list<uint32_t> types) {
  std::string parse(text);
  parse += '\0';
  base::AppendBe16(&parse, static_cast<uint16_t>(types.size()));
  for (const uint32_t type : types) {
    base::AppendBe32(&parse, type);
  }
  Step step;
  step.extended = true;
  step.parse = base::Slice::CopyOf(parse);
  step.bind = base::Slice::CopyOf(BindOf({"17", "canary"}));
  return step;
}

Step Redacted(const Redactor& redactor, Step step) {
  Unit unit;
  unit.steps.push_back(std::move(step));
  return redactor.Redact(unit).steps[0];
}

TEST(Redactor, TakesConstantsAndCommentsFromTexts) {
  EXPECT_EQ(AllValues("INSERT INTO t VALUES ('canary', 12.5, $$canary$$, E'x\\n', B'1', $1)"),
            "INSERT INTO t VALUES ( '' , 0 , '' , '' , B'' , $1 )");
  EXPECT_EQ(AllValues("SELECT 1 -- canary\n /* canary */ + 2"), "SELECT 0 + 0");
  EXPECT_EQ(AllValues("SELECT 'it''s', \"column\""), "SELECT '' , \"column\"");
  EXPECT_EQ(AllValues("UPDATE t SET a = TRUE WHERE b IS NOT false AND c = false"),
            "UPDATE t SET a = NULL WHERE b IS NOT false AND c = NULL");
}

TEST(Redactor, KeepsNothingOfATextThatMayMeanSomethingElse) {
  // With standard_conforming_strings off the canary is within a constant, with it on it is not.
  EXPECT_EQ(AllValues("SELECT 'a\\', canary, '"), "");
}

TEST(Redactor, ReadsATextInEachEncodingOfItsSession) {
  // In SJIS the backslash is the second byte of a character, so the string ends before the canary.
  const Redactor all({.all_values = true, .types = {}, .columns = {}});
  const std::string_view text = "SELECT E'\x95\\', canary, 'x'";
  constexpr uint8_t kSjis = 1U << static_cast<uint8_t>(sql::Encoding::kSjis);
  EXPECT_EQ(all.RedactText(text, kSjis), "SELECT '' , canary , ''");
  EXPECT_EQ(all.RedactText(text, kSjis | 1), "");
}

TEST(Redactor, AlwaysTakesPasswords) {
  const Redactor none({});
  EXPECT_EQ(none.RedactText("ALTER ROLE r PASSWORD 'canary' LOGIN"),
            "ALTER ROLE r PASSWORD '' LOGIN");
  EXPECT_EQ(none.RedactText("create user u with encrypted password  E'canary'"),
            "create user u with encrypted password  ''");
  EXPECT_EQ(none.RedactText("CREATE SUBSCRIPTION s CONNECTION 'password=canary' PUBLICATION p"),
            "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p");
  EXPECT_EQ(none.RedactText("INSERT INTO t VALUES ('x')  -- y"),
            "INSERT INTO t VALUES ('x')  -- y");
}

TEST(Redactor, WithoutOrdersAStatementStaysAsItIs) {
  const Redactor none({});
  Step step = Extended("INSERT INTO t VALUES ($1, $2)", {kInt4, kText});
  step.copy.push_back(base::Slice::CopyOf("d data"));
  const Step kept = Redacted(none, step);
  EXPECT_EQ(kept.parse.view(), step.parse.view());
  EXPECT_EQ(kept.bind.view(), step.bind.view());
  EXPECT_EQ(kept.copy.size(), 1U);
}

TEST(Redactor, AllValuesGoFromBindsAndCopies) {
  const Redactor all({.all_values = true, .types = {}, .columns = {}});
  Step step = Extended("INSERT INTO t VALUES ($1, 'canary')", {kInt4, kText});
  step.copy.push_back(base::Slice::CopyOf("d canary"));
  const Step kept = Redacted(all, step);
  EXPECT_EQ(kept.parse.view().substr(0, kept.parse.view().find('\0')),
            "INSERT INTO t VALUES ( $1 , '' )");
  EXPECT_EQ(kept.bind.view(), std::string_view("\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 14));
  EXPECT_TRUE(kept.copy.empty());
}

TEST(Redactor, ValuesOfTypesGoAndThoseOfUnknownType) {
  const Redactor texts({.all_values = false, .types = {kText}, .columns = {}});
  const std::string_view expected(
      "\0\0\0\2\0\0\0\2"
      "17\xff\xff\xff\xff\0\0",
      16);
  EXPECT_EQ(Redacted(texts, Extended("SELECT $1, $2", {kInt4, kText})).bind.view(), expected);
  EXPECT_EQ(Redacted(texts, Extended("SELECT $1, $2", {kInt4})).bind.view(), expected);
  EXPECT_EQ(Redacted(texts, Extended("SELECT $1, $2", {kInt4, 0})).bind.view(), expected);
}

Redactor Columns(std::vector<sql::ColumnName> columns) {
  return Redactor({.all_values = false, .types = {}, .columns = std::move(columns)});
}

TEST(Redactor, ConstantsOfColumnsGoAndThoseThatMayBeTheirs) {
  const Redactor one = Columns({{"", "users", "email"}});
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"INSERT INTO users(id, email) VALUES (1, 'canary')",
       "INSERT INTO users ( id , email ) VALUES ( 1 , '' )"},
      {"INSERT INTO s.users(id, email) VALUES (1, 'canary')",
       "INSERT INTO s . users ( id , email ) VALUES ( 1 , '' )"},
      {"INSERT INTO users VALUES (1, 'canary')", "INSERT INTO users VALUES ( 0 , '' )"},
      {"INSERT INTO orders VALUES (1, 'x')", "INSERT INTO orders VALUES ( 1 , 'x' )"},
      {"UPDATE users SET email = 'canary', n = 5 WHERE id = 7",
       "UPDATE users SET email = '' , n = 5 WHERE id = 7"},
      {"SELECT 1 FROM users WHERE email LIKE 'canary' LIMIT 5",
       "SELECT 0 FROM users WHERE email LIKE '' LIMIT 5"},
      {"SELECT find('canary')", "SELECT find ( '' )"},
      {"INSERT INTO orders(note) VALUES (lower('canary'))",
       "INSERT INTO orders ( note ) VALUES ( lower ( '' ) )"},
  };
  for (const auto& [text, kept] : rows) {
    EXPECT_EQ(one.RedactText(text), kept);
  }
  EXPECT_EQ(Columns({{"", "", "email"}}).RedactText("INSERT INTO orders VALUES ('canary')"),
            "INSERT INTO orders VALUES ( '' )");
}

TEST(Redactor, ParametersOfColumnsGoAndThoseThatMayBeTheirs) {
  const Redactor one = Columns({{"", "users", "email"}});
  const std::string_view kept = "17";
  const auto binds = [&](std::string_view text) {
    const Step step = Redacted(one, Extended(text, {kInt4, kText}));
    const bool first = step.bind.view().find(kept) != std::string_view::npos;
    const bool second = step.bind.view().find("canary") != std::string_view::npos;
    return std::pair(first, second);
  };
  EXPECT_EQ(binds("INSERT INTO users(id, email) VALUES ($1, $2)"), std::pair(true, false));
  EXPECT_EQ(binds("INSERT INTO users(email, id) VALUES ($1, $2)"), std::pair(false, true));
  EXPECT_EQ(binds("UPDATE users SET email = $2 WHERE id = $1"), std::pair(true, false));
  EXPECT_EQ(binds("UPDATE users SET note = $2 WHERE id = $1"), std::pair(true, true));
  EXPECT_EQ(binds("UPDATE users SET note = $2 WHERE id = $1 OR email = $2"),
            std::pair(true, false));
  EXPECT_EQ(binds("UPDATE users SET note = $2 WHERE id = f($1)"), std::pair(false, true));
  EXPECT_EQ(binds("SELECT 1 FROM t WHERE id = $1"), std::pair(true, false)) << "$2 is nowhere";
  EXPECT_EQ(binds("INSERT INTO users VALUES ($1, $2)"), std::pair(false, false));
}

TEST(Redactor, AColumnAndATypeHideBoth) {
  const Redactor both({.all_values = false, .types = {kInt4}, .columns = {{"", "", "email"}}});
  const Step kept = Redacted(both, Extended("INSERT INTO t(a, b) VALUES ($1, $2)", {kInt4, kText}));
  EXPECT_EQ(kept.bind.view().find("17"), std::string_view::npos);
  EXPECT_NE(kept.bind.view().find("canary"), std::string_view::npos);
}

Step Copy(std::string_view text, std::string_view data) {
  Step step;
  step.text = base::Slice::CopyOf(text);
  step.copy_in = true;
  std::string frames;
  for (const std::string_view part : {data.substr(0, 3), data.substr(3)}) {
    frames += 'd';
    base::AppendBe32(&frames, static_cast<uint32_t>(part.size() + 4));
    frames += part;
  }
  step.copy.push_back(base::Slice::CopyOf(std::string_view(frames).substr(0, 10)));
  step.copy.push_back(base::Slice::CopyOf(std::string_view(frames).substr(10)));
  return step;
}

std::string Frames(const Step& step) {
  std::string frames;
  for (const base::Slice& slice : step.copy) {
    frames += slice.view();
  }
  return frames;
}

TEST(Redactor, FieldsOfColumnsGoFromCopies) {
  const Redactor one = Columns({{"", "users", "email"}});
  const std::string_view data = "1\tcanary\n2\tcanary\n";
  const Step hidden = Copy("COPY users(id, email) FROM STDIN", data);
  EXPECT_EQ(Frames(Redacted(one, hidden)), std::string("d\0\0\0\x0e" "1\t\\N\n2\t\\N\n", 15));
  for (const char* text : {"COPY users FROM STDIN", "COPY users(id, email) FROM STDIN NULL ''",
                           "COPY users(email) FROM STDIN"}) {
    EXPECT_EQ(Frames(Redacted(one, Copy(text, data))), "") << text;
  }
  for (const char* text : {"COPY orders FROM STDIN", "COPY users(id, note) FROM STDIN"}) {
    EXPECT_EQ(Frames(Redacted(one, Copy(text, data))), Frames(hidden)) << text;
  }
}

TEST(Redactor, ABindThatIsCutIsNotKept) {
  const Redactor all({.all_values = true, .types = {}, .columns = {}});
  const std::string whole = BindOf({"canary"});
  for (size_t length = 0; length + 2 < whole.size(); ++length) {
    Step step;
    step.bind = base::Slice::CopyOf(std::string_view(whole).substr(0, length));
    EXPECT_TRUE(Redacted(all, std::move(step)).bind.empty()) << length;
  }
}

}  // namespace
}  // namespace mirror
