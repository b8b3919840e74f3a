#include "config/text.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace config {
namespace {

template <typename T>
std::string ErrorOf(const absl::StatusOr<T>& value) {
  EXPECT_FALSE(value.ok());
  return std::string(base::Message(value.status()));
}

TEST(Durations, SecondsWithoutAUnitAndFourUnits) {
  const auto parse = [](std::string_view text) {
    return *ParseDuration(text, absl::ZeroDuration(), absl::Hours(168));
  };
  EXPECT_EQ(parse("120"), absl::Seconds(120));
  EXPECT_EQ(parse("120s"), absl::Seconds(120));
  EXPECT_EQ(parse("2m"), absl::Minutes(2));
  EXPECT_EQ(parse("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(parse("168h"), absl::Hours(168));
  EXPECT_EQ(parse("0"), absl::ZeroDuration());
}

TEST(Durations, NonsenseNamesTheRange) {
  for (const std::string_view text :
       {"", "s", "-1", "+1", "1.5s", "1 s", "1S", "1d", "0", "169h", "99999999999999999999",
        "18446744073709551615h", "9223372036854775807"}) {
    const auto parsed = ParseDuration(text, absl::Milliseconds(1), absl::Hours(168));
    EXPECT_EQ(ErrorOf(parsed), "\"" + std::string(text) +
                                   "\" is not a time from 1ms to 168h "
                                   "(seconds, or with ms, s, m or h)");
  }
}

TEST(Sizes, UnitsAreOf1024) {
  EXPECT_EQ(*ParseBytes("4096", 0, 1 << 30), 4096u);
  EXPECT_EQ(*ParseBytes("64k", 0, 1 << 30), 65536u);
  EXPECT_EQ(*ParseBytes("16M", 0, 1 << 30), 16u << 20);
  EXPECT_EQ(*ParseBytes("1g", 0, 1 << 30), 1u << 30);
  for (const std::string_view text :
       {"", "k", "1kb", "-1", "1.5m", "3g", "99999999999999999999g"}) {
    EXPECT_EQ(
        ErrorOf(ParseBytes(text, 1024, uint64_t{2} << 30)),
        "\"" + std::string(text) + "\" is not a size from 1k to 2g (bytes, or with k, m or g)");
  }
}

TEST(Endpoints, EveryFormIsUnderstood) {
  EXPECT_EQ(ParseEndpoint(":5432")->Display(), ":5432");
  EXPECT_EQ(ParseEndpoint("*:5432")->Display(), ":5432");
  EXPECT_EQ(ParseEndpoint("10.0.0.1:0")->Display(), "10.0.0.1:0");
  EXPECT_EQ(ParseEndpoint("[::1]:6432")->Display(), "[::1]:6432");
  EXPECT_EQ(ParseEndpoint("localhost:1")->Display(), "127.0.0.1:1");
}

TEST(Endpoints, LoopbackIsKnown) {
  EXPECT_TRUE(ParseEndpoint("127.9.9.9:1")->IsLoopback());
  EXPECT_TRUE(ParseEndpoint("[::1]:1")->IsLoopback());
  EXPECT_FALSE(ParseEndpoint(":1")->IsLoopback());
  EXPECT_FALSE(ParseEndpoint("10.0.0.1:1")->IsLoopback());
}

TEST(Endpoints, ADirectoryIsAUnixSocket) {
  const Endpoint endpoint = *ParseEndpoint("/run/pgbraid:6432");
  EXPECT_TRUE(endpoint.IsUnixSocket());
  EXPECT_TRUE(endpoint.IsLoopback());
  EXPECT_EQ(endpoint.SocketPath(), "/run/pgbraid/.s.PGSQL.6432");
  EXPECT_EQ(endpoint.Display(), "/run/pgbraid:6432");
  EXPECT_EQ(ParseEndpoint("/run/pgbraid/:6432")->SocketPath(), endpoint.SocketPath());
  EXPECT_FALSE(ParseEndpoint("127.0.0.1:1")->IsUnixSocket());
}

TEST(Endpoints, EveryErrorSaysWhatToWrite) {
  EXPECT_EQ(ErrorOf(ParseEndpoint("5432")), "\"5432\" names no port; write :5432");
  EXPECT_EQ(ErrorOf(ParseEndpoint("")), "\"\" names no port; write HOST:PORT");
  EXPECT_EQ(ErrorOf(ParseEndpoint("[::1]")), "\"[::1]\" names no port; write HOST:PORT");
  EXPECT_EQ(ErrorOf(ParseEndpoint("::1:5432")),
            "\"::1:5432\" is ambiguous; write an IPv6 address in brackets, as [::1]:5432");
  EXPECT_EQ(ErrorOf(ParseEndpoint("127.0.0.1:65536")),
            "\"127.0.0.1:65536\" has no port from 0 to 65535 at its end");
  EXPECT_EQ(ErrorOf(ParseEndpoint("db.example:5432")),
            "\"db.example\" is not an IP address of this machine; write an IPv4 address, an IPv6 "
            "address in brackets, localhost, or nothing for every address");
  EXPECT_EQ(ErrorOf(ParseEndpoint("/run/pgbraid")),
            "\"/run/pgbraid\" names no port; write /run/pgbraid:6432 for "
            "/run/pgbraid/.s.PGSQL.6432");
  EXPECT_EQ(ErrorOf(ParseEndpoint("/run:d/x")),
            "\"/run:d/x\" names no port; write /run:d/x:6432 for /run:d/x/.s.PGSQL.6432");
  EXPECT_EQ(ErrorOf(ParseEndpoint("/run:0")),
            "\"/run:0\" has port 0; a Unix socket needs a number for its name");
  EXPECT_EQ(ErrorOf(ParseEndpoint("/run:x")), "\"/run:x\" has no port from 0 to 65535 at its end");
  EXPECT_TRUE(ParseEndpoint("/" + std::string(91, 'd') + ":6432").ok());
  EXPECT_EQ(ErrorOf(ParseEndpoint("/" + std::string(93, 'd') + ":6432")),
            "the path of the Unix socket is longer than 107 bytes");
  EXPECT_FALSE(ParseEndpoint(std::string_view("127.0.0.1\0x:1", 13)).ok());
}

TEST(Quoting, KeepsOneLineAndHidesWhatMayBeAPassword) {
  EXPECT_EQ(Quote("a\nb\x1b\"\\"), "\"a\\x0ab\\x1b\\x22\\x5c\"");
  EXPECT_EQ(Quote(std::string(300, 'x')), "\"" + std::string(256, 'x') + "...\"");
  for (const std::string_view text : {"u:p@h", "postgres://h", "PassWord=x"}) {
    EXPECT_EQ(Quote(text), "the value (not shown, it could hold a password)");
  }
}

TEST(Suggestions, TheNearestNameWithinReach) {
  const std::vector<std::string_view> names = {"listen", "log-level", "log-format", "mirror"};
  EXPECT_EQ(Nearest("lsiten", names), "listen");
  EXPECT_EQ(Nearest("Mirrors", names), "mirror");
  EXPECT_EQ(Nearest("log-lvl", names), "log-level");
  EXPECT_EQ(Nearest("log-f", names), "log-format");
  EXPECT_EQ(Nearest("zzzzzz", names), "");
  EXPECT_EQ(Nearest("", names), "");
  EXPECT_EQ(Nearest(std::string(100000, 'l'), names), "");
}

}  // namespace
}  // namespace config
