#include "config/server_url.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace config {
namespace {

Server Parsed(std::string_view text) {
  absl::StatusOr<Server> server = ParseServer(text);
  EXPECT_TRUE(server.ok()) << text << ": " << base::Message(server.status());
  return server.ok() ? *server : Server{};
}

std::string ErrorOf(std::string_view text) {
  const absl::StatusOr<Server> server = ParseServer(text);
  EXPECT_FALSE(server.ok()) << text;
  return std::string(base::Message(server.status()));
}

TEST(ServerUrl, EveryPartOfAUrlIsUnderstood) {
  const Server server = Parsed(
      "postgresql://al%20ice:p%40ss%3Aw@db.example:6000/sh%2Fop?sslmode=disable"
      "&application_name=a%26b&connect_timeout=7&name=east-1");
  EXPECT_EQ(server.user, "al ice");
  EXPECT_EQ(server.password, "p@ss:w");
  EXPECT_EQ(server.host, "db.example");
  EXPECT_EQ(server.port, 6000);
  EXPECT_EQ(server.dbname, "sh/op");
  EXPECT_EQ(server.sslmode, SslMode::kDisable);
  EXPECT_EQ(server.application_name, "a&b");
  EXPECT_EQ(server.connect_timeout, absl::Seconds(7));
  EXPECT_EQ(server.name, "east-1");
}

TEST(ServerUrl, WhatIsLeftOutHasItsDefault) {
  for (const std::string_view text : {"postgres://h", "postgres://h/", "postgres://h:/",
                                      "postgres://@h", "host=h", "host = 'h'"}) {
    const Server server = Parsed(text);
    EXPECT_EQ(server.host, "h") << text;
    EXPECT_EQ(server.port, 5432) << text;
    EXPECT_EQ(server.user, "") << text;
    EXPECT_EQ(server.dbname, "") << text;
    EXPECT_EQ(server.sslmode, SslMode::kPrefer) << text;
    EXPECT_EQ(server.connect_timeout, absl::ZeroDuration()) << text;
  }
}

TEST(ServerUrl, AnIpv6AddressStandsInBrackets) {
  const Server server = Parsed("postgres://u@[2001:db8::1]:5433/d");
  EXPECT_EQ(server.host, "2001:db8::1");
  EXPECT_EQ(server.port, 5433);
  EXPECT_EQ(server.Address(), "[2001:db8::1]:5433");
  EXPECT_EQ(Parsed("postgres://[fe80::1%25eth0]").host, "fe80::1%eth0");
  EXPECT_EQ(Parsed("host=::1 port=5").Address(), "[::1]:5");
}

TEST(ServerUrl, ADirectoryIsAUnixSocket) {
  for (const std::string_view text :
       {"postgres://%2Frun%2Fpostgresql:5433/d", "postgres:///d?host=/run/postgresql&port=5433",
        "host=/run/postgresql port=5433 dbname=d", "host=/run/postgresql/ port=5433 dbname=d"}) {
    const Server server = Parsed(text);
    EXPECT_TRUE(server.IsUnixSocket()) << text;
    EXPECT_EQ(server.SocketPath(), "/run/postgresql/.s.PGSQL.5433") << text;
    EXPECT_EQ(server.dbname, "d") << text;
  }
  EXPECT_FALSE(Parsed("host=run").IsUnixSocket());
}

TEST(ServerUrl, KeyValueFollowsTheQuotingOfLibpq) {
  const Server server = Parsed("  host=h\tuser = 'a b'  password='it\\'s \\\\ x'dbname=a\\ b\n");
  EXPECT_EQ(server.user, "a b");
  EXPECT_EQ(server.password, "it's \\ x");
  EXPECT_EQ(server.dbname, "a b");
  EXPECT_EQ(Parsed("host=h user=u password= secret").password, "secret");
  EXPECT_EQ(Parsed("host=h dbname=''").dbname, "");
}

TEST(ServerUrl, DisplayIsTheServerWithoutItsPassword) {
  for (const std::string_view text :
       {"postgres://u:canary@h:1/d?sslmode=allow&application_name=x%20y&connect_timeout=500ms",
        "postgres://u:canary@h/d?sslmode=verify-full&sslrootcert=%2Fa%20b&sslcert=c&sslkey=k",
        "postgres://u:canary@h/d?sslmode=require&sslnegotiation=direct",
        "postgres://u:canary@h/d?sslrootcert=system",
        "host=/tmp user='a@b' password=canary dbname='x?y'", "postgres://u:canary@[::1]/d",
        "postgres://u:canary@[fe80::1%25eth0]/d?connect_timeout=2m&sslmode=disable"}) {
    const Server server = Parsed(text);
    EXPECT_EQ(server.password, "canary");
    EXPECT_EQ(server.Display().find("canary"), std::string::npos);
    const Server again = Parsed(server.Display());
    EXPECT_EQ(again.Display(), server.Display());
    EXPECT_EQ(again.password, "");
    EXPECT_EQ(again.host, server.host);
    EXPECT_EQ(again.port, server.port);
    EXPECT_EQ(again.user, server.user);
    EXPECT_EQ(again.dbname, server.dbname);
    EXPECT_EQ(again.sslmode, server.sslmode);
    EXPECT_EQ(again.sslrootcert, server.sslrootcert);
    EXPECT_EQ(again.sslcert, server.sslcert);
    EXPECT_EQ(again.sslkey, server.sslkey);
    EXPECT_EQ(again.ssl_direct, server.ssl_direct);
    EXPECT_EQ(again.connect_timeout, server.connect_timeout);
    EXPECT_EQ(again.application_name, server.application_name);
  }
}

struct Bad {
  std::string_view text;
  std::string_view error;
};

TEST(ServerUrl, EveryErrorSaysWhatIsWrong) {
  const Bad rows[] = {
      {"", "neither a URL nor key=value; write postgres://HOST:PORT or \"host=HOST port=PORT\""},
      {"localhost:5432",
       "neither a URL nor key=value; write postgres://HOST:PORT or \"host=HOST port=PORT\""},
      {"mysql://h/d", "the URL starts with neither postgres:// nor postgresql://"},
      {"Postgres://h/d?sslmode=disable",
       "the URL starts with neither postgres:// nor postgresql://"},
      {"postgres://",
       "no host is named; write host=127.0.0.1, or host=/run/postgresql for a Unix socket"},
      {"dbname=d",
       "no host is named; write host=127.0.0.1, or host=/run/postgresql for a Unix socket"},
      {"postgres://h:0", "the port is not a number from 1 to 65535"},
      {"postgres://h:65536", "the port is not a number from 1 to 65535"},
      {"host=h port=5432x", "the port is not a number from 1 to 65535"},
      {"postgres://a:1,b:2/d", "the host is a list of several; name one host for each server"},
      {"host=a,b", "the host is a list of several; name one host for each server"},
      {"postgres://[::1", "a '[' before an IPv6 address has no ']'"},
      {"postgres://[nonsense]", "what stands in brackets is not an IPv6 address"},
      {"postgres://[::1]5432", "after the ']' of an IPv6 address comes neither ':' nor '/'"},
      {"postgres://::1:5432",
       "more than one ':' in host and port; an IPv6 address is written in brackets, [::1]"},
      {"host='a b'", "the host is not a name, an address, or a directory starting with '/'"},
      {"postgres://h/d?sslmode", "an option behind the '?' has no '='"},
      {"postgres://h/d%4",
       "a '%' in the dbname is not followed by two hexadecimal digits; "
       "write %25 for the character itself"},
      {"postgres://h/d%zz",
       "a '%' in the dbname is not followed by two hexadecimal digits; "
       "write %25 for the character itself"},
      {"postgres://h/d%00", "the dbname holds a NUL byte"},
      {"host=h sslmode=disabled",
       "the sslmode is not one of disable, allow, prefer, require, verify-ca, verify-full; did you "
       "mean \"disable\"?"},
      {"host=h connect_timeout=soon",
       "the connect_timeout is not a time from 0 to 24h, in seconds"},
      {"host=h name='a b'", "the name is not made of 1 to 63 letters, digits, '_', '-' or '.'"},
      {"host=h hots=i", "unknown option \"hots\"; did you mean \"host\"?"},
      {"postgres://h?sslmod=disable", "unknown option \"sslmod\"; did you mean \"sslmode\"?"},
      {"postgres://h?zzz=1",
       "unknown option \"zzz\"; known are host, port, user, password, dbname, "
       "sslmode, sslrootcert, sslcert, sslkey, sslnegotiation, name, application_name, "
       "connect_timeout, require_auth, channel_binding, filter, exposure, generated, include, "
       "exclude"},
      {"host=h target_session_attrs=any",
       "option \"target_session_attrs\" of libpq is not supported by pgbraid; leave it out"},
      {"host=h host=i", "option \"host\" is given twice"},
      {"postgres://u@h?user=v", "option \"user\" is given twice"},
      {"host=h port",
       "option number 2 has no '=' (not shown, it could be part of a password); a "
       "value with blanks is quoted: password='…'"},
      {"host=h dbname='d", "the value of option number 2 ends in an open quote or a backslash"},
      {"host=h dbname=d\\", "the value of option number 2 ends in an open quote or a backslash"},
      {"host=h password=x", "a password is given without a user"},
      {"postgres://a@b@h", "more than one '@'; in a user, password or option it is written %40"},
      {"postgres://h/d?application_name=a@b",
       "one of / ? # [ ] stands before the '@'; in a user or password they are written "
       "%2F %3F %23 %5B %5D, and an '@' behind the host is written %40"},
  };
  for (const Bad& row : rows) {
    EXPECT_EQ(ErrorOf(row.text), row.error) << row.text;
  }
}

TEST(ServerUrl, ContradictionsOfTlsAreNamed) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"host=h sslmode=verify-full",
       "sslmode=verify-full needs sslrootcert, the file with the authority's certificate (or "
       "system)"},
      {"postgres://h/d?sslmode=verify-ca",
       "sslmode=verify-ca needs sslrootcert, the file with the authority's certificate (or "
       "system)"},
      {"host=h sslrootcert=system sslmode=verify-ca",
       "sslrootcert=system trusts every public authority and needs sslmode=verify-full"},
      {"host=h sslnegotiation=direct",
       "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full"},
      {"host=h sslnegotiation=quick", "the sslnegotiation is not one of postgres, direct"},
      {"host=h sslcert=c",
       "sslcert and sslkey belong together, and one of them is missing"},
      {"host=h sslkey=''", "the sslkey is empty; it is the name of a file"},
  };
  for (const auto& [text, error] : rows) {
    EXPECT_EQ(ErrorOf(text), error) << text;
  }
  const auto system = ParseServer("host=h sslrootcert=system");
  ASSERT_TRUE(system.ok());
  EXPECT_EQ(system->sslmode, SslMode::kVerifyFull);
}

TEST(ServerUrl, WhatIsTooLongIsRefused) {
  EXPECT_EQ(ErrorOf("host=h dbname=" + std::string(kServerTextMax, 'x')),
            "the server is longer than 4096 bytes");
  EXPECT_EQ(ErrorOf("host=" + std::string(256, 'x')), "the host is longer than 255 bytes");
  EXPECT_EQ(ErrorOf("host=/" + std::string(100, 'x')),
            "the path of the Unix socket is longer than 107 bytes");
}

TEST(ServerUrl, S2NoErrorRepeatsAPasswordWhereverItStands) {
  for (const std::string_view text : {
           "postgres://u:canary@h:x",
           "postgres://u:canary@h?zzz=1",
           "postgres://u:canary",
           "postgres://u:ca@canary@h",
           "postgres://u:x/canary@h",
           "postgres://u:x?canary=1@h",
           "postgres://u:canary%zz@h",
           "postgres://u:x#canary@h",
           "postgres://canary:y@[h",
           "postgres://h:canary/d",
           "postgres://u:canary,canary/d",
           "mysql://u:canary@h/d",
           "u:canary@h",
           "postgres://h?password=canary&zzz=1",
           "postgres://h?password=x&canary=1",
           "postgres://h?password=x&canary",
           "postgres://u:12/34?canary=1&b=@h",
           "host=h password='canary",
           "host=h password=x canary",
           "host=h password=x canary=y",
           "host=h user=u password=canary port=y",
           "host=h password=canary\\",
           "canary",
           "host=h password=canary",
           "password=canary host=a,b",
           "host=h sslmode=canary",
           "host=h port=canary",
           "host='canary @'",
           "host=h connect_timeout=canary",
       }) {
    EXPECT_EQ(ErrorOf(text).find("canary"), std::string::npos) << ErrorOf(text);
  }
}

TEST(ServerUrl, WhatFollowsAPasswordIsNotNamedButStillSuggested) {
  EXPECT_EQ(ErrorOf("host=h password=x sslmod=y"),
            "what follows the password is not a known option (not shown, it could be part of it); "
            "did you mean \"sslmode\"? A password with blanks is quoted, password='…', or "
            "percent-encoded in a URL");
}

TEST(ServerAuth, C10_RequireAuthIsLibpqs) {
  const auto allows = [](std::string_view list, ServerMethod method) {
    const auto server = ParseServer("host=a require_auth='" + std::string(list) + "'");
    EXPECT_TRUE(server.ok()) << list;
    return server.ok() && server->auth.Allows(method);
  };
  EXPECT_TRUE(allows("", ServerMethod::kNone) && allows("", ServerMethod::kPassword));
  EXPECT_TRUE(allows("md5,scram-sha-256", ServerMethod::kScramSha256));
  EXPECT_FALSE(allows("md5,scram-sha-256", ServerMethod::kPassword));
  EXPECT_FALSE(allows("md5,scram-sha-256", ServerMethod::kNone));
  EXPECT_FALSE(allows("!password,!none", ServerMethod::kNone));
  EXPECT_TRUE(allows("!password,!none", ServerMethod::kMd5));
  for (const std::string_view bad :
       {"md5,!none", "!md5,none", "md5,md5", "scram", "md5,", ",md5", "!", " md5"}) {
    EXPECT_FALSE(ParseServer("host=a require_auth='" + std::string(bad) + "'").ok()) << bad;
  }
}

TEST(ServerAuth, IsShownAsItWasGiven) {
  const auto server = ParseServer("host=a require_auth=!md5 channel_binding=require");
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(server->auth.channel_binding(), ChannelBindingMode::kRequire);
  EXPECT_EQ(server->Display(), "postgres://a:5432?require_auth=%21md5&channel_binding=require");
  EXPECT_FALSE(ParseServer("host=a channel_binding=maybe").ok());
}

}  // namespace
}  // namespace config
