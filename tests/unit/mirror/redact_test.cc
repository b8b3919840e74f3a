#include "mirror/redact.h"

#include <gtest/gtest.h>

#include <string>

#include "base/bytes.h"

namespace mirror {
namespace {

using config::CaptureRedact;

constexpr uint32_t kInt4 = 23;
constexpr uint32_t kText = 25;

std::string AllValues(std::string_view text) {
  return Redactor(CaptureRedact::kAllValues, {}).RedactText(text);
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
}

TEST(Redactor, KeepsNothingOfATextThatMayMeanSomethingElse) {
  // With standard_conforming_strings off the canary is within a constant, with it on it is not.
  EXPECT_EQ(AllValues("SELECT 'a\\', canary, '"), "");
}

TEST(Redactor, AlwaysTakesPasswords) {
  const Redactor none(CaptureRedact::kNone, {});
  EXPECT_EQ(none.RedactText("ALTER ROLE r PASSWORD 'canary' LOGIN"),
            "ALTER ROLE r PASSWORD '' LOGIN");
  EXPECT_EQ(none.RedactText("create user u with encrypted password  E'canary'"),
            "create user u with encrypted password  ''");
  EXPECT_EQ(none.RedactText("INSERT INTO t VALUES ('x')  -- y"),
            "INSERT INTO t VALUES ('x')  -- y");
}

TEST(Redactor, WithoutOrdersAStatementStaysAsItIs) {
  const Redactor none(CaptureRedact::kNone, {});
  Step step = Extended("INSERT INTO t VALUES ($1, $2)", {kInt4, kText});
  step.copy.push_back(base::Slice::CopyOf("d data"));
  const Step kept = Redacted(none, step);
  EXPECT_EQ(kept.parse.view(), step.parse.view());
  EXPECT_EQ(kept.bind.view(), step.bind.view());
  EXPECT_EQ(kept.copy.size(), 1U);
}

TEST(Redactor, AllValuesGoFromBindsAndCopies) {
  const Redactor all(CaptureRedact::kAllValues, {});
  Step step = Extended("INSERT INTO t VALUES ($1, 'canary')", {kInt4, kText});
  step.copy.push_back(base::Slice::CopyOf("d canary"));
  const Step kept = Redacted(all, step);
  EXPECT_EQ(kept.parse.view().substr(0, kept.parse.view().find('\0')),
            "INSERT INTO t VALUES ( $1 , '' )");
  EXPECT_EQ(kept.bind.view(), std::string_view("\0\0\0\2\xff\xff\xff\xff\xff\xff\xff\xff\0\0", 14));
  EXPECT_TRUE(kept.copy.empty());
}

TEST(Redactor, ValuesOfTypesGoAndThoseOfUnknownType) {
  const Redactor texts(CaptureRedact::kTypes, {kText});
  const std::string_view expected(
      "\0\0\0\2\0\0\0\2"
      "17\xff\xff\xff\xff\0\0",
      16);
  EXPECT_EQ(Redacted(texts, Extended("SELECT $1, $2", {kInt4, kText})).bind.view(), expected);
  EXPECT_EQ(Redacted(texts, Extended("SELECT $1, $2", {kInt4})).bind.view(), expected);
  EXPECT_EQ(Redacted(texts, Extended("SELECT $1, $2", {kInt4, 0})).bind.view(), expected);
}

TEST(Redactor, ABindThatIsCutIsNotKept) {
  const Redactor all(CaptureRedact::kAllValues, {});
  const std::string whole = BindOf({"canary"});
  for (size_t length = 0; length + 2 < whole.size(); ++length) {
    Step step;
    step.bind = base::Slice::CopyOf(std::string_view(whole).substr(0, length));
    EXPECT_TRUE(Redacted(all, std::move(step)).bind.empty()) << length;
  }
}

}  // namespace
}  // namespace mirror
