#include "pg/views.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "pg/builders.h"
#include "pg/frame.h"

namespace pg {
namespace {

using std::string_literals::operator""s;

std::string_view BodyOf(const std::string& frame) {
  return std::string_view(frame).substr(kHeaderBytes);
}

std::string Be16(uint16_t value) {
  std::string raw;
  base::AppendBe16(&raw, value);
  return raw;
}

std::string Be32(uint32_t value) {
  std::string raw;
  base::AppendBe32(&raw, value);
  return raw;
}

TEST(Views, D8_QueryNeedsExactlyOneNulAtItsEnd) {
  EXPECT_EQ(ReadQuery("select 1\0"s), "select 1");
  EXPECT_EQ(ReadQuery("\0"s), "");
  EXPECT_FALSE(ReadQuery("").has_value());
  EXPECT_FALSE(ReadQuery("select 1").has_value());
  EXPECT_FALSE(ReadQuery("select 1\0; drop\0"s).has_value());
}

TEST(Views, ParseIsRead) {
  std::string frame;
  const uint32_t types[] = {23, 25};
  ASSERT_TRUE(AppendParse(&frame, "s1", "select $1, $2", types));
  const std::optional<ParseView> view = ReadParse(BodyOf(frame));
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->name, "s1");
  EXPECT_EQ(view->text, "select $1, $2");
  EXPECT_EQ(view->type_count, 2);
  EXPECT_EQ(view->types, Be32(23) + Be32(25));
}

TEST(Views, D4_ParseCountsAreComparedWithTheBytes) {
  EXPECT_TRUE(ReadParse("\0x\0\0\0"s).has_value());
  EXPECT_FALSE(ReadParse("\0x\0\0\1"s).has_value());
  EXPECT_FALSE(ReadParse("\0x\0\xff\xff"s + std::string(65'535 * 4 - 1, 't')).has_value());
  EXPECT_FALSE(ReadParse("\0x\0\0\0x"s).has_value());
  EXPECT_FALSE(ReadParse("\0x\0"s).has_value());
}

TEST(Views, D8_NamesOfAMegabyteAreRead) {
  const std::string name(1 << 20, 'n');
  std::string frame;
  ASSERT_TRUE(AppendParse(&frame, name, "select 1", {}));
  EXPECT_EQ(ReadParse(BodyOf(frame))->name, name);
  frame.clear();
  ASSERT_TRUE(AppendBind(&frame, {.portal = name, .statement = name}));
  EXPECT_EQ(ReadBind(BodyOf(frame))->portal, name);
}

std::string GoodBind() {
  return "portal\0statement\0"s + Be16(2) + Be16(0) + Be16(1) + Be16(3) + Be32(2) + "ab" +
         Be32(UINT32_MAX) + Be32(0) + Be16(1) + Be16(1);
}

TEST(Views, BindIsRead) {
  const std::string body = GoodBind();
  const std::optional<BindView> view = ReadBind(body);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->portal, "portal");
  EXPECT_EQ(view->statement, "statement");
  EXPECT_EQ(view->format_count, 2);
  EXPECT_EQ(view->formats, Be16(0) + Be16(1));
  EXPECT_EQ(view->parameter_count, 3);
  EXPECT_EQ(view->result_format_count, 1);
  EXPECT_EQ(view->result_formats, Be16(1));
  std::string_view rest = view->parameters;
  EXPECT_EQ(NextValue(&rest)->bytes, "ab");
  EXPECT_TRUE(NextValue(&rest)->null);
  const std::optional<Value> empty = NextValue(&rest);
  EXPECT_FALSE(empty->null);
  EXPECT_EQ(empty->bytes, "");
  EXPECT_FALSE(NextValue(&rest).has_value());
}

TEST(Views, D4_BindCutAnywhereIsRefused) {
  const std::string body = GoodBind();
  for (size_t count = 0; count < body.size(); ++count) {
    const std::string cut = body.substr(0, count);
    EXPECT_FALSE(ReadBind(cut).has_value()) << count;
  }
  EXPECT_FALSE(ReadBind(body + "x").has_value());
}

TEST(Views, D4_BindCountsAndLengthsAreComparedWithTheBytes) {
  const std::string names = "\0\0"s;
  EXPECT_TRUE(ReadBind(names + Be16(0) + Be16(0) + Be16(0)).has_value());
  EXPECT_FALSE(ReadBind(names + Be16(0xffff) + Be16(0) + Be16(0)).has_value());
  EXPECT_FALSE(ReadBind(names + Be16(0) + Be16(0xffff) + Be16(0)).has_value());
  EXPECT_FALSE(ReadBind(names + Be16(0) + Be16(0) + Be16(0xffff)).has_value());
  for (const uint32_t length : {0xfffffffeu, 0x80000000u, 0x7fffffffu, 3u}) {
    EXPECT_FALSE(
        ReadBind(names + Be16(0) + Be16(1) + Be32(length) + "ab" + Be16(0)).has_value())
        << length;
  }
  std::string nulls = names + Be16(0) + Be16(0xffff);
  for (int i = 0; i < 0xffff; ++i) {
    nulls += Be32(UINT32_MAX);
  }
  EXPECT_EQ(ReadBind(nulls + Be16(0))->parameter_count, 0xffff);
}

TEST(Views, ExecuteDescribeAndCloseAreRead) {
  EXPECT_EQ(ReadExecute("p\0\0\0\0\5"s)->row_limit, 5u);
  EXPECT_EQ(ReadExecute("p\0\0\0\0\5"s)->portal, "p");
  EXPECT_FALSE(ReadExecute("p\0\0\0\0"s).has_value());
  EXPECT_FALSE(ReadExecute("p\0\0\0\0\5x"s).has_value());
  EXPECT_EQ(ReadTarget("Ss1\0"s)->kind, 'S');
  EXPECT_EQ(ReadTarget("Ss1\0"s)->name, "s1");
  EXPECT_EQ(ReadTarget("P\0"s)->kind, 'P');
  EXPECT_FALSE(ReadTarget("Qs1\0"s).has_value());
  EXPECT_FALSE(ReadTarget("Ss1").has_value());
  EXPECT_FALSE(ReadTarget("").has_value());
}

TEST(Views, CommandTagIsRead) {
  EXPECT_EQ(ReadCommandTag("INSERT 0 1\0"s), "INSERT 0 1");
  EXPECT_FALSE(ReadCommandTag("INSERT 0 1").has_value());
}

TEST(Views, ErrorFieldsAreRead) {
  const std::string body = "SFEHLER\0VERROR\0C22012\0Mdivision by zero\0Dd\0Hh\0P8\0\0"s;
  const ErrorView view = ReadError(body);
  EXPECT_EQ(view.severity, "ERROR");
  EXPECT_EQ(view.sqlstate, "22012");
  EXPECT_EQ(view.message, "division by zero");
  EXPECT_EQ(view.detail, "d");
  EXPECT_EQ(view.hint, "h");
}

TEST(Views, C7_ErrorsWithHolesAreTolerated) {
  EXPECT_EQ(ReadError("SFATAL\0Mm\0\0"s).severity, "FATAL");
  EXPECT_EQ(ReadError("SFATAL\0Mm\0\0"s).sqlstate, "");
  EXPECT_EQ(ReadError("\0"s).message, "");
  EXPECT_EQ(ReadError("").message, "");
  EXPECT_EQ(ReadError("M").message, "");
  EXPECT_EQ(ReadError("Mno end").message, "no end");
  EXPECT_EQ(ReadError("C22012\0Mno end"s).sqlstate, "22012");
  EXPECT_EQ(ReadError("M\0\0"s).message, "");
  const std::string megabyte(1 << 20, 'm');
  EXPECT_EQ(ReadError("M" + megabyte + "\0\0"s).message, megabyte);
}

TEST(Views, D11_ReadyStatusIsOneOfThree) {
  EXPECT_EQ(ReadReadyStatus("I"), 'I');
  EXPECT_EQ(ReadReadyStatus("T"), 'T');
  EXPECT_EQ(ReadReadyStatus("E"), 'E');
  EXPECT_FALSE(ReadReadyStatus("Q").has_value());
  EXPECT_FALSE(ReadReadyStatus("").has_value());
  EXPECT_FALSE(ReadReadyStatus("II").has_value());
}

TEST(Views, BackendKeyAndParameterStatusAreRead) {
  EXPECT_EQ(ReadBackendKey("\0\0\0\7abcd"s)->pid, 7u);
  EXPECT_EQ(ReadBackendKey("\0\0\0\7abcd"s)->secret, "abcd");
  EXPECT_TRUE(ReadBackendKey(std::string(260, 'k')).has_value());
  EXPECT_FALSE(ReadBackendKey(std::string(261, 'k')).has_value());
  EXPECT_FALSE(ReadBackendKey("\0\0\0\7abc"s).has_value());
  EXPECT_EQ(ReadParameterStatus("TimeZone\0UTC\0"s)->value, "UTC");
  EXPECT_FALSE(ReadParameterStatus("TimeZone\0UTC"s).has_value());
  EXPECT_FALSE(ReadParameterStatus("TimeZone\0UTC\0x"s).has_value());
}

TEST(Views, AuthenticationIsRead) {
  EXPECT_EQ(ReadAuthentication(Be32(0))->code, AuthenticationCode::kOk);
  EXPECT_EQ(ReadAuthentication(Be32(5) + "salt")->data, "salt");
  EXPECT_EQ(ReadAuthentication(Be32(11) + "r=x")->data, "r=x");
  EXPECT_FALSE(ReadAuthentication(Be32(0) + "x").has_value());
  EXPECT_FALSE(ReadAuthentication(Be32(5) + "sal").has_value());
  EXPECT_FALSE(ReadAuthentication("\0\0\0"s).has_value());
  // C18: a method that nobody knows can still be named.
  EXPECT_EQ(static_cast<int>(ReadAuthentication(Be32(99))->code), 99);
  EXPECT_EQ(Name(static_cast<AuthenticationCode>(99)), "unknown");
}

TEST(Views, C8_SaslMechanismsAreAllRead) {
  using List = std::vector<std::string_view>;
  EXPECT_EQ(ReadSaslMechanisms("SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"s),
            (List{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"}));
  EXPECT_EQ(ReadSaslMechanisms("\0"s), List{});
  EXPECT_FALSE(ReadSaslMechanisms("").has_value());
  EXPECT_FALSE(ReadSaslMechanisms("SCRAM-SHA-256\0"s).has_value());
  EXPECT_FALSE(ReadSaslMechanisms("SCRAM-SHA-256\0\0x"s).has_value());
  std::string many;
  for (size_t i = 0; i < kSaslMechanismsMax; ++i) {
    many += "X\0"s;
  }
  EXPECT_EQ(ReadSaslMechanisms(many + "\0"s)->size(), kSaslMechanismsMax);
  EXPECT_FALSE(ReadSaslMechanisms(many + "X\0\0"s).has_value());
}

// As many values as it says, each within it, and nothing behind them.
TEST(Views, DataRowIsReadWholeOrNotAtAll) {
  const std::string row("\0\2\0\0\0\2ab\xff\xff\xff\xff", 12);
  const auto values = ReadDataRow(row);
  ASSERT_TRUE(values.has_value());
  ASSERT_EQ(values->size(), 2u);
  EXPECT_EQ((*values)[0].bytes, "ab");
  EXPECT_TRUE((*values)[1].null);
  for (size_t length = 0; length < row.size(); ++length) {
    EXPECT_FALSE(ReadDataRow(row.substr(0, length)).has_value()) << length;
  }
  EXPECT_FALSE(ReadDataRow(row + "x").has_value());
  EXPECT_TRUE(ReadDataRow(std::string(2, '\0'))->empty());
}

}  // namespace
}  // namespace pg
