#include "session/proxy_header.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace {

using session::ProxyHeader;
using session::ProxyHeaderResult;
using session::ReadProxyHeader;
using std::string_literals::operator""s;

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string Version2(std::string_view command_and_family, std::string_view rest) {
  std::string header = kSignature;
  header += command_and_family;
  header.push_back(static_cast<char>(rest.size() >> 8));
  header.push_back(static_cast<char>(rest.size() & 0xff));
  return header.append(rest);
}

const std::string kAddresses4 = "\xC0\x00\x02\x01\x0A\x00\x00\x01\xD9\x03\x15\x38"s;

// "more", "bad", "12 own", "12 192.0.2.1:55555".
std::string Describe(std::string_view bytes) {
  ProxyHeader header;
  switch (ReadProxyHeader(bytes, &header)) {
    case ProxyHeaderResult::kMore:
      return "more";
    case ProxyHeaderResult::kBad:
      return "bad";
    case ProxyHeaderResult::kComplete:
      break;
  }
  return std::to_string(header.length) + " " +
         (header.has_source ? header.source.ToString() : "own");
}

TEST(ProxyHeader, Version1) {
  const struct {
    std::string_view line;
    std::string_view expected;
  } kRows[] = {
      {"PROXY TCP4 192.0.2.1 10.0.0.1 55555 5432\r\n", "42 192.0.2.1:55555"},
      {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\nabc", "56 255.255.255.255:65535"},
      {"PROXY TCP6 2001:db8::1 ::1 1 0\r\n", "32 [2001:db8::1]:1"},
      {"PROXY UNKNOWN\r\n", "15 own"},
      {"PROXY UNKNOWN whatever 1 2 3\r\n", "30 own"},
      {"PROXY TCP4 192.0.2.1 10.0.0.1 55555 5432\n", "more"},
      {"PROXY TCP4 ::1 10.0.0.1 1 2\r\n", "bad"},
      {"PROXY TCP6 192.0.2.1 ::1 1 2\r\n", "bad"},
      {"PROXY TCP4 192.0.2.1 10.0.0.1 65536 5432\r\n", "bad"},
      {"PROXY TCP4 192.0.2.1 10.0.0.1 01 5432\r\n", "bad"},
      {"PROXY TCP4 192.0.2.1 10.0.0.1 +1 5432\r\n", "bad"},
      {"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n", "bad"},
      {"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n", "bad"},
      {"PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n", "bad"},
      {"PROXY TCP4 * 10.0.0.1 1 2\r\n", "bad"},
      {"PROXY TCP4 192.0.2.1 db.example 1 2\r\n", "bad"},
      {"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n", "bad"},
      {"PROXY \r\n", "bad"},
      {"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n", "bad"},
      {"PROXYTCP4", "bad"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(Describe(row.line), row.expected) << row.line;
  }
  const std::string start = "PROXY UNKNOWN ";
  EXPECT_EQ(Describe(start + std::string(91, 'x') + "\r\n"), "107 own");
  EXPECT_EQ(Describe(start + std::string(92, 'x') + "\r\n"), "bad");
  EXPECT_EQ(Describe(start + std::string(92, 'x')), "more");
}

TEST(ProxyHeader, Version2) {
  const std::string addresses6 = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x01" +
                                 std::string(16, '\0') + "\0\x50\0\x51"s;
  const struct {
    std::string bytes;
    std::string_view expected;
  } kRows[] = {
      {Version2("\x21\x11", kAddresses4), "28 192.0.2.1:55555"},
      {Version2("\x21\x11", kAddresses4) + "client", "28 192.0.2.1:55555"},
      {Version2("\x21\x21", addresses6), "52 [2001:db8::1]:80"},
      {Version2("\x21\x11", kAddresses4 + "\x04\x00\x02zz"s), "33 192.0.2.1:55555"},
      {Version2("\x20\x00"s, ""), "16 own"},
      {Version2("\x20\x11", kAddresses4), "28 own"},
      {Version2("\x20\xff", "skipped"), "23 own"},
      {Version2("\x21\x00"s, "skipped"), "23 own"},
      {Version2("\x21\x31", std::string(216, 'x')), "232 own"},
      {Version2("\x21\x31", std::string(215, 'x')), "bad"},
      {Version2("\x21\x12", kAddresses4), "bad"},  // UDP
      {Version2("\x21\x41", kAddresses4), "bad"},
      {Version2("\x22\x11", kAddresses4), "bad"},
      {Version2("\x11\x11", kAddresses4), "bad"},
      {Version2("\x21\x11", kAddresses4.substr(1)), "bad"},
      {Version2("\x21\x21", addresses6.substr(1)), "bad"},
      {Version2("\x21\x11", kAddresses4 + "\x04\x00"s), "bad"},
      {Version2("\x21\x11", kAddresses4 + "\x04\x00\x03zz"s), "bad"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(Describe(row.bytes), row.expected) << testing::PrintToString(row.bytes);
  }
}

// The value was made by a table-driven implementation that gives 0xE3069283 for "123456789".
TEST(ProxyHeader, Version2Checksum) {
  const std::string right =
      Version2("\x21\x11", kAddresses4 + "\x03\x00\x04"s + "\x5a\xc0\x0c\x09"s);
  EXPECT_EQ(Describe(right), "35 192.0.2.1:55555");
  constexpr size_t kType = 28;  // of the field: another one is no checksum, and right
  for (size_t at = 16; at < right.size(); ++at) {
    if (at == kType) {
      continue;
    }
    std::string wrong = right;
    wrong[at] = static_cast<char>(wrong[at] ^ 1);
    EXPECT_NE(Describe(wrong), "35 192.0.2.1:55555") << at;
  }
  EXPECT_EQ(Describe(Version2("\x21\x11", kAddresses4 + "\x03\x00\x03\x00\x00\x00"s)), "bad");
}

// A length beyond the bound is refused before anything of it has come.
TEST(ProxyHeader, TooLongIsRefusedAtOnce) {
  std::string start = Version2("\x21\x11", kAddresses4).substr(0, 14);
  EXPECT_EQ(Describe(start + "\x0f\xf0"s), "more");
  EXPECT_EQ(Describe(start + "\x0f\xf1"s), "bad");
  EXPECT_EQ(Describe(start + "\xff\xff"s), "bad");
}

TEST(ProxyHeader, CutAtEveryByte) {
  for (const std::string& header :
       {"PROXY TCP4 192.0.2.1 10.0.0.1 55555 5432\r\n"s, Version2("\x21\x11", kAddresses4)}) {
    for (size_t length = 0; length < header.size(); ++length) {
      EXPECT_EQ(Describe(header.substr(0, length)), "more") << length;
    }
  }
}

TEST(ProxyHeader, WrongBytesAreRefusedAtOnce) {
  EXPECT_EQ(Describe("\0\0\0\x08"s), "bad");
  EXPECT_EQ(Describe("PROXX"), "bad");
  EXPECT_EQ(Describe("\r\n\r\n\r"), "bad");
  EXPECT_TRUE(session::LooksLikeProxyHeader("PROXY TCP"));
  EXPECT_TRUE(session::LooksLikeProxyHeader("\r\n\r\n"));
  EXPECT_FALSE(session::LooksLikeProxyHeader("\0\0\0\x08"s));
  EXPECT_FALSE(session::LooksLikeProxyHeader("PRO"));
}

}  // namespace
