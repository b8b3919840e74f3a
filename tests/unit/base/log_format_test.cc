#include "base/log_format.h"

#include <gtest/gtest.h>

#include <vector>

namespace base {
namespace {

std::string Format(LogFormat format, const std::vector<LogField>& fields, uint64_t left_out = 0) {
  return FormatLogLine(format, {.time = absl::FromUnixMillis(1'700'000'000'123),
                                .level = LogLevel::kWarn,
                                .event = "test.event",
                                .fields = fields,
                                .left_out = left_out});
}

constexpr std::string_view kLogfmtHead =
    "time=2023-11-14T22:13:20.123Z level=warn event=test.event";
constexpr std::string_view kJsonHead =
    R"({"time":"2023-11-14T22:13:20.123Z","level":"warn","event":"test.event")";

std::string Logfmt(std::string_view value) {
  const std::string line = Format(LogFormat::kLogfmt, {{"k", value}});
  EXPECT_EQ(line.substr(0, kLogfmtHead.size()), kLogfmtHead);
  return line.substr(kLogfmtHead.size() + 3);  // " k="
}

std::string Json(std::string_view value) {
  const std::string line = Format(LogFormat::kJson, {{"k", value}});
  EXPECT_EQ(line.substr(0, kJsonHead.size()), kJsonHead);
  return line.substr(kJsonHead.size() + 5, line.size() - kJsonHead.size() - 6);  // ,"k": … }
}

TEST(LogFormatTest, WholeLines) {
  EXPECT_EQ(Format(LogFormat::kLogfmt, {{"session", 7}, {"client", "127.0.0.1:9"}}),
            std::string(kLogfmtHead) + " session=7 client=127.0.0.1:9");
  EXPECT_EQ(Format(LogFormat::kJson, {{"session", 7}, {"client", "127.0.0.1:9"}}),
            std::string(kJsonHead) + R"(,"session":7,"client":"127.0.0.1:9"})");
  EXPECT_EQ(Format(LogFormat::kLogfmt, {}), kLogfmtHead);
  EXPECT_EQ(Format(LogFormat::kJson, {}), std::string(kJsonHead) + "}");
}

TEST(LogFormatTest, NamesEveryLevel) {
  const std::pair<LogLevel, const char*> kLevels[] = {{LogLevel::kError, "level=error "},
                                                      {LogLevel::kWarn, "level=warn "},
                                                      {LogLevel::kInfo, "level=info "},
                                                      {LogLevel::kDebug, "level=debug "}};
  for (const auto& [level, text] : kLevels) {
    const std::string line =
        FormatLogLine(LogFormat::kLogfmt, {.level = level, .event = "e", .fields = {}});
    EXPECT_NE(line.find(text), std::string::npos) << line;
  }
}

TEST(LogFormatTest, SaysHowManyLinesWereLeftOut) {
  EXPECT_EQ(Format(LogFormat::kLogfmt, {}, 12), std::string(kLogfmtHead) + " left_out=12");
  EXPECT_EQ(Format(LogFormat::kJson, {}, 12), std::string(kJsonHead) + R"(,"left_out":12})");
}

TEST(LogFormatTest, QuotesOnlyWhatNeedsIt) {
  EXPECT_EQ(Logfmt("plain-value_1.5:/"), "plain-value_1.5:/");
  EXPECT_EQ(Logfmt(""), R"("")");
  EXPECT_EQ(Logfmt("two words"), R"("two words")");
  EXPECT_EQ(Logfmt("a=b"), R"("a=b")");
  EXPECT_EQ(Logfmt(R"(say "hi")"), R"("say \"hi\"")");
  EXPECT_EQ(Logfmt(R"(c:\dir)"), R"("c:\\dir")");
  EXPECT_EQ(Logfmt("Grüße"), "\"Grüße\"");
}

TEST(LogFormatTest, ALineStaysOneLineAndATerminalSeesNoCommand) {
  const std::string_view evil("a\r\nlevel=error\tevent=fake\x1b[31m\x7f\0z", 33);
  EXPECT_EQ(Logfmt(evil), R"("a\r\nlevel=error\tevent=fake\x1b[31m\x7f\x00z")");
  EXPECT_EQ(Json(evil), R"("a\r\nlevel=error\tevent=fake\u001b[31m\u007f\u0000z")");
}

TEST(LogFormatTest, EveryControlByteIsEscaped) {
  for (int byte = 0; byte < 0x20; ++byte) {
    const char c = static_cast<char>(byte);
    for (const std::string& text : {Logfmt({&c, 1}), Json({&c, 1})}) {
      EXPECT_EQ(text.substr(0, 2), "\"\\") << byte;
      for (const char shown : text) {
        EXPECT_GE(shown, ' ') << byte;
      }
    }
  }
}

TEST(LogFormatTest, UnicodeControlsAreEscaped) {
  EXPECT_EQ(Logfmt("\xc2\x9b" "31m"), R"("\u009b31m")");           // C1: CSI
  EXPECT_EQ(Json("\xe2\x80\xa8"), R"("\u2028")");                  // line separator
  EXPECT_EQ(Json("\xe2\x80\xae" "txt"), R"("\u202etxt")");         // right-to-left override
  EXPECT_EQ(Json("\xe2\x81\xa6"), R"("\u2066")");                  // isolate
}

TEST(LogFormatTest, InvalidUtf8IsEscapedByteForByteAndJsonStaysValid) {
  EXPECT_EQ(Logfmt("a\xff" "b"), R"("a\xffb")");
  EXPECT_EQ(Json("a\xff" "b"), R"("a\ufffdb")");
  const std::string_view kBad[] = {"\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80",
                                   "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                                   "\xe2\x82"};
  for (const std::string_view bad : kBad) {
    std::string logfmt = "\"";
    std::string json = "\"";
    for (const char byte : bad) {
      constexpr char kHex[] = "0123456789abcdef";
      const auto value = static_cast<unsigned char>(byte);
      logfmt += "\\x";
      logfmt += kHex[value >> 4];
      logfmt += kHex[value & 15];
      json += "\\ufffd";
    }
    EXPECT_EQ(Logfmt(bad), logfmt + '"');
    EXPECT_EQ(Json(bad), json + '"');
  }
}

TEST(LogFormatTest, ValidUtf8OfEveryLengthPasses) {
  EXPECT_EQ(Json("é€𝄞\xf4\x8f\xbf\xbf"), "\"é€𝄞\xf4\x8f\xbf\xbf\"");
}

TEST(LogFormatTest, ValuesAreCutAtTheLimit) {
  const std::string full(kLogValueBytes, 'x');
  EXPECT_EQ(Logfmt(full), full);
  EXPECT_EQ(Logfmt(full + "y"), "\"" + full + "...\"");
  EXPECT_EQ(Json(full + "y"), "\"" + full + "...\"");
  EXPECT_LT(Logfmt(std::string(10'000'000, '\0')).size(), 5 * kLogValueBytes);
}

TEST(LogFormatTest, ACutDoesNotSplitACharacter) {
  const std::string before(kLogValueBytes - 1, 'x');
  EXPECT_EQ(Logfmt(before + "€ and more"), "\"" + before + "...\"");
  EXPECT_EQ(Json(before + "€ and more"), "\"" + before + "...\"");
}

TEST(LogFormatTest, OddKeysCannotForgeFields) {
  const std::string line = Format(LogFormat::kLogfmt, {{"a b=\"\n", "v"}});
  EXPECT_EQ(line, std::string(kLogfmtHead) + " a_b___=v");
  EXPECT_EQ(Format(LogFormat::kJson, {{"a\"b", "v"}}), std::string(kJsonHead) + R"(,"a\"b":"v"})");
}

TEST(LogFormatTest, NumbersOfEveryWidth) {
  EXPECT_EQ(Format(LogFormat::kJson, {{"a", int64_t{-5}}, {"b", UINT64_MAX}}),
            std::string(kJsonHead) + R"(,"a":-5,"b":18446744073709551615})");
}

}  // namespace
}  // namespace base
