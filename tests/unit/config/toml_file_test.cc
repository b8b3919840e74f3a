#include "config/toml_file.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace config {
namespace {

std::string ErrorOf(std::string_view text) {
  const auto given = ReadToml(text, "p.toml");
  EXPECT_FALSE(given.ok()) << text;
  if (!given.ok()) {
    return std::string(base::Message(given.status()));
  }
  return "";
}

TEST(TomlFile, ValuesKeepTheirPlaceAndOrder) {
  const auto given = ReadToml(
      "shards = 2\nlisten = [':1', ':2']\nbuffer_size = '64k'\nlog_protocol = true\n"
      "[[mirror]]\nname = 'm'\nurl = 'host=h'\n[[mirror]]\nurl = 'host=i'\n",
      "p.toml");
  ASSERT_TRUE(given.ok()) << base::Message(given.status());
  ASSERT_EQ(given->given.size(), 7u);
  EXPECT_EQ(given->given[0].setting->name, "shards");
  EXPECT_EQ(given->given[0].text, "2");
  EXPECT_EQ(given->given[0].where, "p.toml:1:10: shards");
  EXPECT_EQ(given->given[2].text, ":2");
  EXPECT_EQ(given->given[2].where, "p.toml:2:17: listen");
  EXPECT_EQ(given->given[4].text, "true");
  EXPECT_EQ(given->given[5].server_name, "m");
  EXPECT_EQ(given->given[6].text, "host=i");
}

TEST(TomlFile, AServerIsAStringATableOrAMixedArray) {
  const auto given = ReadToml(
      "primary = {url = 'host=a', name = 'n'}\nmirror = ['host=b', {url = 'host=c'}]", "p");
  ASSERT_TRUE(given.ok()) << base::Message(given.status());
  ASSERT_EQ(given->given.size(), 3u);
  EXPECT_EQ(given->given[0].server_name, "n");
  EXPECT_EQ(given->given[1].text, "host=b");
  EXPECT_EQ(given->given[2].text, "host=c");
}

struct Bad {
  std::string_view text;
  std::string_view error;
};

TEST(TomlFile, O1EveryErrorNamesLineColumnAndKey) {
  const Bad rows[] = {
      {"\nring_szie = 1", "p.toml:2:1: unknown key \"ring_szie\"; did you mean \"ring_size\"?"},
      {"ring-size = 1", "p.toml:1:1: unknown key \"ring-size\"; did you mean \"ring_size\"?"},
      {"shards = 1\n[pools]\nx = 1", "p.toml:2:2: unknown key \"pools\""},
      {"zzzzzz = 1\naaaaaa = 2", "p.toml:1:1: unknown key \"zzzzzz\""},
      {"shards = '2'", "p.toml:1:10: shards: wants an integer, not a string"},
      {"shards = 2.0", "p.toml:1:10: shards: wants an integer, not a number with a point"},
      {"log_protocol = 'yes'", "p.toml:1:16: log_protocol: wants true or false, not a string"},
      {"io = true", "p.toml:1:6: io: wants a string, not a boolean"},
      {"login_timeout = [1]",
       "p.toml:1:17: login_timeout: wants an integer of seconds or a string "
       "such as \"500ms\", not an array"},
      {"buffer_size = 1979-05-27",
       "p.toml:1:15: buffer_size: wants an integer of bytes or a "
       "string such as \"64k\", not a date or time"},
      {"listen = [':1', 2]",
       "p.toml:1:17: listen: wants a string or an array of strings, not an integer"},
      {"listen = [[':1']]",
       "p.toml:1:11: listen: wants a string or an array of strings, not an array"},
      {"mirror = 3",
       "p.toml:1:10: mirror: wants a string, a table with url and name, or an array "
       "of these, not an integer"},
      {"primary = ['host=h']",
       "p.toml:1:11: primary: wants a string or a table with url and name, not an array"},
      {"[[mirror]]\nulr = 'host=h'", "p.toml:2:1: unknown key \"ulr\"; did you mean \"url\"?"},
      {"[[mirror]]\nurl = 1", "p.toml:2:7: mirror.url: wants a string, not an integer"},
      {"[[mirror]]\nname = 'm'", "p.toml:1:1: mirror: a table needs the key url"},
      {"shards = 1\nshards = 2", "p.toml:2:10: shards is defined twice"},
      {"[primary]\nurl = 'host=h'\n[primary]\nname='x'", "p.toml:3:1: primary is defined twice"},
      {"secret_canary = 1\nsecret_canary = 2", "p.toml:2:17: a key or table is defined twice"},
  };
  for (const Bad& row : rows) {
    EXPECT_EQ(ErrorOf(row.text), row.error) << row.text;
  }
}

TEST(TomlFile, S2NoErrorRepeatsTheFile) {
  for (const std::string_view text : {
           "primary = postgres://u:canary@h",
           "primary = canary",
           "primary = \"postgres://u:canary",
           "canary",
           "\"u:canary@h\" = 1",
           "primary = 'a' canary",
           "shards = 1canary",
           "primary = \"\\canary\"",
           "[canary",
           "primary = 2020-canary",
           "primary = 'x'\n'canary@' = 1\n'canary@' = 2",
           "primary.canary.x = {a=1,canary",
       }) {
    const std::string error = ErrorOf(text);
    EXPECT_EQ(error.find("canary"), std::string::npos) << error;
    EXPECT_TRUE(error.starts_with("p.toml:")) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

TEST(TomlFile, SizeAndDepthAreBounded) {
  std::string dotted = "a";
  for (int i = 0; i < 100'000; ++i) {
    dotted += ".a";
  }
  EXPECT_EQ(ErrorOf("\n" + dotted + " = 1"), "p.toml:2: the line is longer than 4096 bytes");
  EXPECT_EQ(ErrorOf(std::string(kFileBytesMax + 1, '\n')), "p.toml: larger than 256k");
  EXPECT_EQ(ErrorOf(dotted.substr(0, 4001) + " = 1"), "p.toml:1:1: unknown key \"a\"");
  EXPECT_FALSE(ErrorOf("shards = " + std::string(4000, '[')).empty());
}

TEST(TomlFile, AMissingFileIsNamed) {
  const auto text = ReadFile("/nonexistent/p.toml");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(base::Message(text.status()),
            "--config: cannot open \"/nonexistent/p.toml\": No such file or directory");
  EXPECT_FALSE(ReadFile("/").ok());
}

TEST(TomlFile, AServiceIsATableOfItsOwn) {
  const auto file = ReadToml(
      "pool_mode = 'transaction'\n[[service]]\nname = 'shop'\nprimary = 'host=a user=u'\n"
      "max_conns = 7\n[[service]]\nname = 'b'\nprimary = 'host=b'\n",
      "p.toml");
  ASSERT_TRUE(file.ok()) << base::Message(file.status());
  ASSERT_EQ(file->given.size(), 1u);
  ASSERT_EQ(file->services.size(), 2u);
  EXPECT_EQ(file->services[0].name, "shop");
  ASSERT_EQ(file->services[0].given.size(), 2u);
  EXPECT_EQ(file->services[0].given[1].where, "p.toml:5:13: max_conns");
  EXPECT_EQ(file->services[1].given[0].text, "host=b");
}

TEST(TomlFile, O1AServiceHoldsOnlyWhatAServiceHas) {
  EXPECT_EQ(ErrorOf("[[service]]\nname = 'a'\nshards = 2"), "p.toml:3:1: unknown key \"shards\"");
  EXPECT_EQ(ErrorOf("[[service]]\nprimary = 'host=a'"),
            "p.toml:1:1: service: needs the key name, the database that clients ask for");
  EXPECT_EQ(ErrorOf("[service]\nname = 'a'"),
            "p.toml:1:1: service: wants tables, each headed [[service]]");
  EXPECT_EQ(ErrorOf("[[service]]\nname = 1"),
            "p.toml:2:8: name: wants a string, not an integer");
}

}  // namespace
}  // namespace config
