#include "pg/startup.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/bytes.h"
#include "pg/builders.h"
#include "pg/messages.h"

namespace pg {
namespace {

using std::string_literals::operator""s;

std::string Packet(uint32_t code, std::string_view rest, std::optional<uint32_t> length = {}) {
  std::string packet;
  base::AppendBe32(&packet, length.value_or(static_cast<uint32_t>(8 + rest.size())));
  base::AppendBe32(&packet, code);
  packet += rest;
  return packet;
}

struct Parsed {
  StartupResult result;
  StartupPacket packet;
  StartupError error;
};

Parsed Parse(std::string_view bytes, StartupAllowed allowed = {}) {
  Parsed parsed;
  parsed.result = ParseStartup(bytes, allowed, &parsed.packet, &parsed.error);
  return parsed;
}

void ExpectBad(std::string_view bytes, std::string_view sqlstate, std::string_view message) {
  const Parsed parsed = Parse(bytes);
  EXPECT_EQ(parsed.result, StartupResult::kBad);
  EXPECT_EQ(parsed.error.sqlstate, sqlstate);
  EXPECT_EQ(parsed.error.message, message);
}

TEST(Startup, ParametersComeInTheOrderSent) {
  const std::string bytes =
      Packet(kProtocol30, "user\0alice\0database\0shop\0application_name\0psql\0\0"s);
  const std::string received = bytes + "next";
  const Parsed parsed = Parse(received);
  ASSERT_EQ(parsed.result, StartupResult::kComplete);
  EXPECT_EQ(parsed.packet.kind, StartupKind::kStartupMessage);
  EXPECT_EQ(parsed.packet.length, bytes.size());
  EXPECT_EQ(parsed.packet.version, kProtocol30);
  EXPECT_EQ(parsed.packet.user, "alice");
  EXPECT_EQ(parsed.packet.database, "shop");
  ASSERT_EQ(parsed.packet.parameters.size(), 3u);
  EXPECT_EQ(parsed.packet.parameters[2].name, "application_name");
  EXPECT_EQ(parsed.packet.parameters[2].value, "psql");
}

TEST(Startup, A1_DeclaredLengthsOutOfRangeAreRefusedAtOnce) {
  for (const uint32_t length : {0u, 3u, 4u, 7u, 10'001u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
    std::string bytes;
    base::AppendBe32(&bytes, length);
    const Parsed parsed = Parse(bytes);
    EXPECT_EQ(parsed.result, StartupResult::kBad) << length;
    EXPECT_FALSE(parsed.error.tell);
    EXPECT_EQ(parsed.error.message,
              "invalid length of startup packet: " + std::to_string(length));
  }
  for (const uint32_t length : {8u, 10'000u}) {
    std::string bytes;
    base::AppendBe32(&bytes, length);
    EXPECT_EQ(Parse(bytes).result, StartupResult::kMore) << length;
  }
}

TEST(Startup, A1_TheLongestPacketIsRead) {
  std::string rest = "user\0alice\0options\0"s;
  rest += std::string(10'000 - 8 - rest.size() - 2, 'x') + "\0\0"s;
  const std::string bytes = Packet(kProtocol30, rest);
  ASSERT_EQ(bytes.size(), 10'000u);
  EXPECT_EQ(Parse(bytes).result, StartupResult::kComplete);
}

TEST(Startup, A7_CutAnywhereItWaitsAndThenReadsTheSame) {
  const std::string bytes = Packet(kProtocol30, "user\0alice\0database\0shop\0\0"s);
  for (size_t count = 0; count < bytes.size(); ++count) {
    const std::string part = bytes.substr(0, count);
    EXPECT_EQ(Parse(part).result, StartupResult::kMore) << count;
  }
  EXPECT_EQ(Parse(bytes).result, StartupResult::kComplete);
}

TEST(Startup, A8_IdentityIsTakenOnceOrRefused) {
  ExpectBad(Packet(kProtocol30, "user\0alice\0user\0root\0\0"s), "08P01",
            "parameter \"user\" appears twice in startup packet");
  ExpectBad(Packet(kProtocol30, "user\0a\0database\0b\0database\0b\0\0"s), "08P01",
            "parameter \"database\" appears twice in startup packet");
  ExpectBad(Packet(kProtocol30, "user\0\0user\0root\0\0"s), "08P01",
            "parameter \"user\" appears twice in startup packet");
  ExpectBad(Packet(kProtocol30, "database\0shop\0\0"s), "28000",
            "no PostgreSQL user name specified in startup packet");
  ExpectBad(Packet(kProtocol30, "user\0\0\0"s), "28000",
            "no PostgreSQL user name specified in startup packet");
}

TEST(Startup, A8_TheListEndsWhereThePacketEnds) {
  const std::string_view no_end = "invalid startup packet layout: a name or value does not end";
  const std::string_view no_terminator =
      "invalid startup packet layout: expected terminator as last byte";
  ExpectBad(Packet(kProtocol30, "user\0alice"s), "08P01", no_end);
  ExpectBad(Packet(kProtocol30, "user\0"s), "08P01", no_end);
  ExpectBad(Packet(kProtocol30, "user"), "08P01", no_end);
  ExpectBad(Packet(kProtocol30, "user\0alice\0"s), "08P01", no_terminator);
  ExpectBad(Packet(kProtocol30, ""), "08P01", no_terminator);
  // A NUL smuggled into a value ends the list; what follows is not read as parameters.
  ExpectBad(Packet(kProtocol30, "user\0alice\0\0user\0root\0\0"s), "08P01", no_terminator);
  ExpectBad(Packet(kProtocol30, "user\0alice\0\0x"s), "08P01", no_terminator);
}

TEST(Startup, A8_NamesOfAnyLengthAndEncodingPassUntouched) {
  for (const size_t length : {63u, 64u, 128u, 4096u}) {
    const std::string name(length, 'n');
    const std::string bytes =
        Packet(kProtocol30, "user\0"s + name + "\0database\0"s + name + "\0\0"s);
    const Parsed parsed = Parse(bytes);
    ASSERT_EQ(parsed.result, StartupResult::kComplete);
    EXPECT_EQ(parsed.packet.user, name);
    EXPECT_EQ(parsed.packet.database, name);
  }
  const std::string bytes = Packet(kProtocol30, "user\0\xff\xfe\xc0\x80\0\0"s);
  EXPECT_EQ(Parse(bytes).packet.user, "\xff\xfe\xc0\x80");
}

TEST(Startup, A9_MajorVersionThreeIsReadAndNothingElse) {
  for (const uint32_t version : {kProtocol30, 3u << 16 | 1, kProtocol32, 3u << 16 | 9999}) {
    const std::string bytes = Packet(version, "user\0a\0_pq_.x\0y\0\0"s);
    const Parsed parsed = Parse(bytes);
    ASSERT_EQ(parsed.result, StartupResult::kComplete);
    EXPECT_EQ(parsed.packet.version, version);
    EXPECT_EQ(parsed.packet.parameters[1].name, "_pq_.x");
  }
  ExpectBad(Packet(2u << 16, "user\0a\0\0"s), "0A000",
            "unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
  ExpectBad(Packet(4u << 16, "user\0a\0\0"s), "0A000",
            "unsupported frontend protocol 4.0: server supports 3.0 to 3.2");
}

TEST(Startup, A5_EachEncryptionRequestOnceAtMost) {
  StartupAllowed allowed;
  int rounds = 0;
  for (;; ++rounds) {  // what a session does, with a client that never gets further
    const bool ssl = rounds % 2 == 0;
    const std::string bytes = Packet(ssl ? kSslRequestCode : kGssEncRequestCode, "");
    const Parsed parsed = Parse(bytes, allowed);
    if (parsed.result == StartupResult::kBad) {
      EXPECT_EQ(parsed.error.sqlstate, "0A000");
      break;
    }
    EXPECT_EQ(parsed.packet.kind, ssl ? StartupKind::kSslRequest : StartupKind::kGssEncRequest);
    (ssl ? allowed.ssl_request : allowed.gssenc_request) = false;
  }
  EXPECT_EQ(rounds, 2);
}

TEST(Startup, EncryptionRequestsHaveNoBody) {
  EXPECT_EQ(Parse(Packet(kSslRequestCode, "x")).error.message, "invalid length of SSLRequest: 9");
  EXPECT_EQ(Parse(Packet(kGssEncRequestCode, "xy")).error.message,
            "invalid length of GSSENCRequest: 10");
}

TEST(Startup, A14_CancelRequestLengths) {
  for (const uint32_t length : {8u, 12u, 15u, 16u, 17u, 267u, 268u, 269u}) {
    const std::string bytes = Packet(kCancelRequestCode, std::string(length - 8, 'k'));
    const Parsed old_keys = Parse(bytes);
    const Parsed new_keys = Parse(bytes, {.long_cancel_secrets = true});
    EXPECT_EQ(old_keys.result == StartupResult::kComplete, length == 16) << length;
    EXPECT_EQ(new_keys.result == StartupResult::kComplete, length >= 16 && length <= 268) << length;
    EXPECT_FALSE(old_keys.error.tell);
    EXPECT_FALSE(new_keys.error.tell);
  }
  EXPECT_EQ(Parse(Packet(kCancelRequestCode, "", 0x80000000u)).result, StartupResult::kBad);
}

TEST(Startup, A14_CancelRequestIsRead) {
  std::string bytes;
  ASSERT_TRUE(AppendCancelRequest(&bytes, 4711, "abcd"));
  const Parsed parsed = Parse(bytes);
  ASSERT_EQ(parsed.result, StartupResult::kComplete);
  EXPECT_EQ(parsed.packet.kind, StartupKind::kCancelRequest);
  EXPECT_EQ(parsed.packet.cancel_pid, 4711u);
  EXPECT_EQ(parsed.packet.cancel_secret, "abcd");
}

std::string Settings(std::string_view options) {
  std::vector<OptionSetting> settings;
  const std::optional<StartupError> error = ParseOptions(options, &settings);
  if (error.has_value()) {
    EXPECT_EQ(error->sqlstate, "22023");
    return "error: " + error->message;
  }
  std::string text;
  for (const OptionSetting& setting : settings) {
    text += "[" + setting.name + "=" + setting.value + "]";
  }
  return text;
}

TEST(StartupOptions, A2_SettingsAreReadAsTheServerDoes) {
  EXPECT_EQ(Settings(""), "");
  EXPECT_EQ(Settings("  \t\n "), "");
  EXPECT_EQ(Settings("-c search_path=a,b -cwork_mem=4MB --statement-timeout=5s"),
            "[search_path=a,b][work_mem=4MB][statement_timeout=5s]");
  EXPECT_EQ(Settings("-c a.b=x\\ y\\\\z"), "[a.b=x y\\z]");
  EXPECT_EQ(Settings("-c a=b=c"), "[a=b=c]");
  EXPECT_EQ(Settings("-c a= --b="), "[a=][b=]");
  EXPECT_EQ(Settings("-c a=x\\"), "[a=x]");
  EXPECT_EQ(Settings("-c a=+x%20y"), "[a=+x%20y]");
  EXPECT_EQ(Settings("-c a=\"x y=\""), "error: \"y=\"\" in options is neither -c name=value "
                                        "nor --name=value");
}

TEST(StartupOptions, A2_BadOnesAreRefusedByName) {
  EXPECT_EQ(Settings("-c="), "error: a setting in options has no name");
  EXPECT_EQ(Settings("-c =x"), "error: a setting in options has no name");
  EXPECT_EQ(Settings("--=x"), "error: a setting in options has no name");
  EXPECT_EQ(Settings("-c"), "error: -c in options requires a setting");
  EXPECT_EQ(Settings("--x"), "error: setting \"x\" in options requires a value");
  EXPECT_EQ(Settings("-cx"), "error: setting \"x\" in options requires a value");
  EXPECT_EQ(Settings("--"), "error: \"--\" in options is neither -c name=value nor --name=value");
  EXPECT_EQ(Settings("-d 5"), "error: \"-d\" in options is neither -c name=value nor --name=value");
}

TEST(StartupOptions, A2_AThousandSettingsAreTooMany) {
  std::string options;
  for (int i = 0; i < 1000; ++i) {
    options += "-c a=1 ";
  }
  EXPECT_EQ(Settings(options), "error: options has more than 512 settings");
  EXPECT_EQ(std::ranges::count(Settings(options.substr(0, 512 * 7)), '['), 512);
}

}  // namespace
}  // namespace pg
