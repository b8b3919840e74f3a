#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace base {
namespace {

using std::literals::operator""sv;

TEST(JsonWriter, PutsCommasWhereTheyBelong) {
  JsonWriter json;
  json.BeginArray();
  json.BeginObject();
  json.Key("a");
  json.Unsigned(1);
  json.Key("b");
  json.BeginArray();
  json.Signed(-1);
  json.Null();
  json.Bool(true);
  json.BeginObject();
  json.EndObject();
  json.EndArray();
  json.Key("c");
  json.Number(0.5);
  json.EndObject();
  json.Number(std::numeric_limits<double>::infinity());
  json.EndArray();
  EXPECT_EQ(json.text(), R"([{"a":1,"b":[-1,null,true,{}],"c":0.5},null])");
}

TEST(JsonWriter, EscapesWhatJsonOrATerminalWouldActOn) {
  JsonWriter json;
  json.String("q\" b\\ n\n nul\0 esc\x1b del\x7f grüße \xc2\x9b bad\xff"sv);
  EXPECT_EQ(json.text(),
            R"("q\" b\\ n\u000a nul\u0000 esc\u001b del\u007f grüße \u009b bad\ufffd")");
}

TEST(JsonReader, ReadsWhatTheWriterWrote) {
  std::string every;
  for (int i = 0; i < 128; ++i) {
    every += static_cast<char>(i);
  }
  every += "\u00e9\u4e16\U0001f600\u009b";
  JsonWriter json;
  json.BeginObject();
  json.Key(every);
  json.Unsigned(std::numeric_limits<uint64_t>::max());
  json.Key("b");
  json.Bool(false);
  json.EndObject();
  JsonReader reader(json.text());
  std::string key;
  uint64_t number = 0;
  bool value = true;
  bool first = true;
  EXPECT_TRUE(reader.Sign('{'));
  EXPECT_TRUE(reader.Another('}', &first) && reader.String(&key) && reader.Sign(':'));
  EXPECT_EQ(key, every);
  EXPECT_TRUE(reader.Unsigned(&number));
  EXPECT_EQ(number, std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE(reader.Another('}', &first) && reader.String(&key) && reader.Sign(':'));
  EXPECT_TRUE(reader.Bool(&value));
  EXPECT_FALSE(value);
  EXPECT_FALSE(reader.Another('}', &first));
  EXPECT_TRUE(reader.AtEnd());
}

TEST(JsonReader, ReadsTheWritersTimes) {
  JsonWriter json;
  json.Time(absl::FromUnixMillis(1769903999123));
  EXPECT_EQ(json.text(), R"("2026-01-31T23:59:59.123Z")");
  absl::Time time;
  EXPECT_TRUE(JsonReader(json.text()).Time(&time));
  EXPECT_EQ(absl::ToUnixMillis(time), 1769903999123);
  EXPECT_FALSE(JsonReader("\"2026-01-31\"").Time(&time));
  EXPECT_FALSE(JsonReader("5").Time(&time));
}

TEST(JsonReader, ReadsEscapesOfOthers) {
  std::string text;
  EXPECT_TRUE(JsonReader(R"("\u00e9\ud83d\ude00\/\b\t")").String(&text));
  EXPECT_EQ(text, "\u00e9\U0001f600/\b\t");
}

TEST(JsonReader, RefusesWhatIsNoString) {
  for (const char* bad :
       {"", "x", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"",
        "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\n\"", "\"\xff\""}) {
    std::string text;
    JsonReader reader(bad);
    EXPECT_FALSE(reader.String(&text)) << bad;
    EXPECT_TRUE(reader.wrong());
    EXPECT_FALSE(reader.AtEnd());
  }
}

TEST(JsonReader, RefusesWhatIsNoNumber) {
  for (const char* bad : {"", "-1", "+1", "x", "01", "18446744073709551616"}) {
    uint64_t number = 0;
    EXPECT_FALSE(JsonReader(bad).Unsigned(&number)) << bad;
  }
}

TEST(JsonReader, WantsACommaBetweenTwo) {
  JsonReader reader("[1 2]");
  uint64_t number = 0;
  bool first = true;
  EXPECT_TRUE(reader.Sign('[') && reader.Another(']', &first) && reader.Unsigned(&number));
  EXPECT_FALSE(reader.Another(']', &first));
  EXPECT_TRUE(reader.wrong());
}

}  // namespace
}  // namespace base
