// HBA rules: what fits, what is refused, and user maps for certificates.
#include "config/hba_file.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "config/ident_file.h"

namespace config {
namespace {

Hba Rules(std::string_view text) {
  const absl::StatusOr<Hba> hba =
      Hba::Parse(text, "hba", {*NetAddress::Parse("192.0.2.7"), *NetAddress::Parse("2001:db8::7")});
  EXPECT_TRUE(hba.ok()) << hba.status();
  return hba.ok() ? *hba : Hba();
}

std::string Why(std::string_view line) {
  const std::string text = "local all all trust\n" + std::string(line) + "\nlocal all all trust\n";
  const absl::StatusOr<Hba> hba = Hba::Parse(text, "hba", {});
  EXPECT_FALSE(hba.ok()) << line;
  return std::string(base::Message(hba.status()));
}

struct Client {
  std::string_view peer = "10.1.2.3";  // "": a Unix socket
  std::string_view database = "shop";
  std::string_view user = "alice";
  bool tls = false;
  bool replication = false;
};

// The method of the rule that decides, with its line; "none".
std::string Decision(const Hba& hba, const Client& client) {
  HbaQuery query;
  query.peer = client.peer.empty() ? NetAddress() : *NetAddress::Parse(client.peer);
  query.tls = client.tls;
  query.replication = client.replication;
  query.database = client.database;
  query.user = client.user;
  const HbaRule* rule = hba.Find(query);
  return rule == nullptr ? "none"
                         : std::to_string(rule->line) + " " + std::string(Name(rule->method));
}

TEST(Hba, TheFirstRuleThatFitsDecides) {
  const Hba hba = Rules(
      "# TYPE DATABASE USER ADDRESS METHOD\n"
      "local   all       all                      trust\n"
      "host    shop      mallory  10.0.0.0/8      reject\n"
      "host    shop,bank alice,bob 10.0.0.0/8     scram-sha-256  # a comment\n"
      "host    sameuser  all      10.0.0.0 255.0.0.0 md5\n"
      "hostssl all       all      all             cert map=people\n");
  EXPECT_EQ(Decision(hba, {.peer = ""}), "2 trust");
  EXPECT_EQ(Decision(hba, {.user = "mallory"}), "3 reject");
  EXPECT_EQ(Decision(hba, {.user = "bob"}), "4 scram-sha-256");
  EXPECT_EQ(Decision(hba, {.database = "bank"}), "4 scram-sha-256");
  EXPECT_EQ(Decision(hba, {.database = "carol", .user = "carol"}), "5 md5");
  EXPECT_EQ(Decision(hba, {.database = "other", .tls = true}), "6 cert");
}

TEST(Hba, C3_NoMatchingLineIsNobody) {
  const Hba hba = Rules("hostssl shop alice 10.0.0.0/8 scram-sha-256\n");
  EXPECT_EQ(Decision(hba, {}), "none");  // no TLS
  EXPECT_EQ(Decision(hba, {.peer = "", .tls = true}), "none");
  EXPECT_EQ(Decision(hba, {.peer = "11.0.0.1", .tls = true}), "none");
  EXPECT_EQ(Decision(hba, {.user = "Alice", .tls = true}), "none");
  EXPECT_EQ(Decision(Rules("# nothing\n"), {}), "none");
}

TEST(Hba, ConnectionsByTls) {
  const Hba hba = Rules("hostssl all all all md5\nhostnossl all all all password\n");
  EXPECT_EQ(Decision(hba, {.tls = true}), "1 md5");
  EXPECT_EQ(Decision(hba, {.tls = false}), "2 password");
}

TEST(Hba, Addresses) {
  const Hba hba = Rules(
      "host all all 10.1.2.0/24 md5\n"
      "host all all 10.1.0.0 255.255.0.0 password\n"
      "host all all 2001:db8::/33 reject\n"
      "host all all samehost trust\n"
      "hostssl all all ::1/128 cert\n");
  EXPECT_EQ(Decision(hba, {.peer = "10.1.2.255"}), "1 md5");
  EXPECT_EQ(Decision(hba, {.peer = "::ffff:10.1.2.255"}), "1 md5");
  EXPECT_EQ(Decision(hba, {.peer = "10.1.3.0"}), "2 password");
  EXPECT_EQ(Decision(hba, {.peer = "2001:db8:7fff::1"}), "3 reject");
  EXPECT_EQ(Decision(hba, {.peer = "2001:db8:8000::1"}), "none");
  EXPECT_EQ(Decision(hba, {.peer = "192.0.2.7"}), "4 trust");
  EXPECT_EQ(Decision(hba, {.peer = "192.0.2.8"}), "none");
}

TEST(Hba, QuotedKeywordsAreNames) {
  const Hba hba = Rules("host \"all\" \"two words\" all md5\nhost all \"all\" all reject\n");
  EXPECT_EQ(Decision(hba, {.database = "all", .user = "two words"}), "1 md5");
  EXPECT_EQ(Decision(hba, {.user = "two words"}), "none");
  EXPECT_EQ(Decision(hba, {.user = "all"}), "2 reject");
}

TEST(Hba, ReplicationIsNoDatabase) {
  const Hba hba = Rules("host all all all md5\nhost replication all all reject\n");
  EXPECT_EQ(Decision(hba, {.replication = true}), "2 reject");
  EXPECT_EQ(Decision(hba, {.database = "replication"}), "1 md5");
}

TEST(Hba, ALineGoesOnBehindABackslash) {
  EXPECT_EQ(Decision(Rules("host all \\\n alice \\\n all md5\nhost all all all reject"), {}),
            "1 md5");
}

TEST(Hba, C17_OneBadLineRefusesTheFile) {
  EXPECT_EQ(Why("hosts all all all md5"),
            "hba:2: does not start with local, host, hostssl or hostnossl");
  EXPECT_EQ(Why("host"), "hba:2: names no database");
  EXPECT_EQ(Why("host all"), "hba:2: names no user");
  EXPECT_EQ(Why("host all all"), "hba:2: names no address");
  EXPECT_EQ(Why("host all all all"), "hba:2: names no method");
  EXPECT_EQ(Why("host all all 10.0.0.0/33 md5"),
            "hba:2: has a bad number of bits behind the '/' of its address");
  EXPECT_NE(Why("host all all 10.0.0.0 md5").find("without a mask"), std::string::npos);
  EXPECT_NE(Why("host all all 10.0.0.0 ::1 md5").find("without a mask"), std::string::npos);
  EXPECT_NE(Why("host all all db.example.com md5").find("not looked up"), std::string::npos);
  EXPECT_NE(Why("host all all samenet md5").find("samenet"), std::string::npos);
  EXPECT_NE(Why("host all +staff all md5").find("+group"), std::string::npos);
  EXPECT_NE(Why("host samerole all all md5").find("samerole"), std::string::npos);
  EXPECT_NE(Why("host all @users all md5").find("@file"), std::string::npos);
  EXPECT_NE(Why("host /^s all all md5").find("regular expressions"), std::string::npos);
  EXPECT_NE(Why("host all all all peer").find("does not have"), std::string::npos);
  EXPECT_NE(Why("host all all all scram").find("no method"), std::string::npos);
  EXPECT_NE(Why("host all all all md5 pamservice=x").find("neither map="), std::string::npos);
  EXPECT_NE(Why("host all all all md5 map=m").find("map="), std::string::npos);
  EXPECT_NE(Why("host all all all cert").find("needs hostssl"), std::string::npos);
  EXPECT_NE(Why("host all all all md5 clientcert=verify-ca").find("needs hostssl"),
            std::string::npos);
  EXPECT_NE(Why("hostssl all all all md5 clientcert=1").find("neither verify-ca"),
            std::string::npos);
  EXPECT_NE(Why("host \"all all all md5").find("a quote does not end"), std::string::npos);
  EXPECT_NE(Why("host all, all all md5 trust").find("hba:2:"), std::string::npos);
}

std::string IdentError(std::string_view text) {
  const absl::StatusOr<IdentMaps> maps = IdentMaps::Parse(text, "ident");
  EXPECT_FALSE(maps.ok());
  return std::string(base::Message(maps.status()));
}

TEST(IdentMaps, ExactAndByExpression) {
  const absl::StatusOr<IdentMaps> maps = IdentMaps::Parse(
      "# MAP  NAME  USER\n"
      "people \"Alice Smith\" alice\n"
      "people /^(.*)@example\\.com$ \\1\n"
      "others /^x(.)?y$ u\\1\n",
      "ident");
  ASSERT_TRUE(maps.ok()) << maps.status();
  const IdentMaps copy = *maps;
  for (const IdentMaps* each : {&*maps, &copy}) {
    EXPECT_TRUE(each->Allows("people", "Alice Smith", "alice"));
    EXPECT_FALSE(each->Allows("people", "alice smith", "alice"));
    EXPECT_FALSE(each->Allows("others", "Alice Smith", "alice"));
    EXPECT_TRUE(each->Allows("people", "bob@example.com", "bob"));
    EXPECT_FALSE(each->Allows("people", "bob@example.com", "alice"));
    EXPECT_FALSE(each->Allows("people", "bob@example.com.evil", "bob"));
    EXPECT_FALSE(each->Allows("people", "bob@exampleXcom", "bob"));
    EXPECT_TRUE(each->Allows("others", "xzy", "uz"));
    EXPECT_TRUE(each->Allows("others", "xy", "u"));
    EXPECT_TRUE(each->Has("others"));
    EXPECT_FALSE(each->Has("none"));
  }
}

TEST(IdentMaps, C17_OneBadLineRefusesTheFile) {
  const std::string good = "people bob bob\n";
  EXPECT_EQ(IdentError(good + "people bob"),
            "ident:2: is not a map's name, a certificate's name and a user");
  EXPECT_EQ(IdentError(good + "people /( bob"),
            "ident:2: has a regular expression that is wrong or too large");
  EXPECT_EQ(IdentError(good + "people /(a{1000}){1000} bob"),
            "ident:2: has a regular expression that is wrong or too large");
  EXPECT_EQ(IdentError(good + "people bob x\\1"),
            "ident:2: has \\1 without a regular expression with a group");
  EXPECT_EQ(IdentError(good + "people bob all"),
            "ident:2: all, +group and regular expressions are no users here");
}

}  // namespace
}  // namespace config
