#include "config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <vector>

#include "base/status.h"
#include "config/settings.h"
#include "config/toml_file.h"

namespace config {
namespace {

absl::StatusOr<ParsedCommandLine> LoadWith(std::vector<const char*> arguments,
                                           const Environment& environment = {}) {
  arguments.insert(arguments.begin(), "pgbraid");
  return Load(static_cast<int>(arguments.size()), arguments.data(), environment);
}

Config Loaded(std::vector<const char*> arguments, const Environment& environment = {}) {
  arguments.insert(arguments.begin(), {"-l", ":6432", "-p", "host=10.0.0.1"});
  const auto parsed = LoadWith(std::move(arguments), environment);
  EXPECT_TRUE(parsed.ok()) << base::Message(parsed.status());
  return parsed.ok() ? parsed->config : Config{};
}

std::string ErrorOf(std::vector<const char*> arguments, const Environment& environment = {}) {
  const auto parsed = LoadWith(std::move(arguments), environment);
  EXPECT_FALSE(parsed.ok());
  return std::string(base::Message(parsed.status()));
}

// With what is required in front.
std::string ErrorBeside(std::vector<const char*> arguments, const Environment& environment = {}) {
  arguments.insert(arguments.begin(), {"-l", ":6432", "-p", "host=10.0.0.1"});
  return ErrorOf(std::move(arguments), environment);
}

class File {
 public:
  explicit File(std::string_view text) : path_(testing::TempDir() + "pgbraid_load_test.toml") {
    std::ofstream(path_) << text;
  }
  ~File() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  const std::string path_;
};

TEST(Load, DefaultsAreThoseOfTheDocumentation) {
  const Config config = Loaded({});
  EXPECT_EQ(Describe(config),
            "listen=:6432 primary=postgres://10.0.0.1:5432 admin=none "
            "watchdog_action=log shards=0 io=auto ring_size=256 "
            "buffer_size=256k enable_tls=false tcp_keepalive_idle=4s tcp_keepalive_interval=2s "
            "tcp_keepalive_count=3 tcp_retry_max=1s "
            "tcp_user_timeout=0s query_buffer_size=8k "
            "queue_high=256k queue_low=64k "
            "max_clients=10000 max_unauthenticated_clients=4096 max_pipelined_frames=1048576 "
            "max_logins_per_address=256 max_server_conns=0 max_total_conns=0 "
            "login_timeout=60s connect_timeout=15s cancel_timeout=10s close_timeout=5s "
            "drain_timeout=30s watchdog_timeout=10s mirror_timeout=120s mirror_retries=2 "
            "retry_delay=5s mirror_queue_bytes=64m mirror_transaction_bytes=16m "
            "mirror_max_conns=64 "
            "log_level=info log_format=logfmt "
            "log_protocol=false");
  EXPECT_EQ(config.primary.name, "primary");
}

TEST(Load, EveryFlagArrives) {
  const auto parsed = LoadWith({"--listen=127.0.0.1:1",
                                "-l[::1]:2",
                                "--primary",
                                "postgres://h:3",
                                "-m",
                                "postgres://u:canary@a/d?name=east",
                                "--mirror",
                                "host=b user=u password=canary",
                                "--worker-threads",
                                "3",
                                "--ring-size",
                                "512",
                                "--buffer-size",
                                "64k",
                                "--query-buffer-size",
                                "4096",
                                "--io",
                                "epoll",
                                "--admin",
                                "[::1]:4",
                                "--log-level",
                                "debug",
                                "--log-format",
                                "json",
                                "--log-protocol",
                                "--core-dumps",
                                "--max-clients",
                                "5",
                                "--drain-timeout",
                                "0",
                                "--login-timeout=1",
                                "--connect-timeout",
                                "2s",
                                "--mirror-retries=7",
                                "--retry-delay=250ms",
                                "--mirror-timeout=3m",
                                "--mirror-queue-bytes=1m",
                                "--mirror-max-conns=6",
                                "--cancel-timeout",
                                "7",
                                "--close-timeout",
                                "8",
                                "--max-unauthenticated-clients",
                                "9",
                                "--max-pipelined-frames",
                                "2048",
                                "--queue-high",
                                "128k",
                                "--queue-low",
                                "32k",
                                "--mirror-transaction-bytes",
                                "512k"});
  ASSERT_TRUE(parsed.ok()) << base::Message(parsed.status());
  EXPECT_EQ(Describe(parsed->config),
            "listen=127.0.0.1:1 listen=[::1]:2 primary=postgres://h:3 "
            "mirror=east=postgres://u@a:5432/d mirror=mirror2=postgres://u@b:5432 admin=[::1]:4 "
            "watchdog_action=log shards=3 io=epoll ring_size=512 buffer_size=64k enable_tls=false "
            "tcp_keepalive_idle=4s tcp_keepalive_interval=2s tcp_keepalive_count=3 "
            "tcp_retry_max=1s tcp_user_timeout=0s query_buffer_size=4k queue_high=128k "
            "queue_low=32k max_clients=5 max_unauthenticated_clients=9 max_pipelined_frames=2048 "
            "max_logins_per_address=256 max_server_conns=0 max_total_conns=0 "
            "login_timeout=1s connect_timeout=2s cancel_timeout=7s close_timeout=8s "
            "drain_timeout=0s watchdog_timeout=10s mirror_timeout=180s mirror_retries=7 "
            "retry_delay=250ms mirror_queue_bytes=1m mirror_transaction_bytes=512k "
            "mirror_max_conns=6 "
            "log_level=debug log_format=json "
            "log_protocol=true core_dumps=true");
  EXPECT_EQ(parsed->config.mirrors[1].password, "canary");
}

TEST(Load, FlagsWinOverEnvironmentAndThisOverTheFile) {
  const File file("log_level = 'error'\nshards = 7\nmirror = 'host=a user=u'\n");
  const Environment environment = {{"FRENZY_LOG_LEVEL", "warning"}};
  EXPECT_EQ(Loaded({"-c", file.path()}).log_level, base::LogLevel::kError);
  EXPECT_EQ(Loaded({"-c", file.path()}, environment).log_level, base::LogLevel::kWarn);
  const Config config =
      Loaded({"-c", file.path(), "--log-level", "debug", "-m", "host=b user=u", "--shards", "0"},
             environment);
  EXPECT_EQ(config.log_level, base::LogLevel::kDebug);
  EXPECT_EQ(config.shards, 0u);
  ASSERT_EQ(config.mirrors.size(), 1u);
  EXPECT_EQ(config.mirrors[0].host, "b");
}

TEST(Load, AFileAloneIsEnough) {
  const File file(
      "listen = ':1'\nprimary = 'postgres://h'\n[[mirror]]\nname = 'm'\n"
      "url = 'host=a user=u'\n");
  const auto parsed = LoadWith({"--config", file.path()});
  ASSERT_TRUE(parsed.ok()) << base::Message(parsed.status());
  EXPECT_EQ(parsed->config.mirrors[0].name, "m");
}

TEST(Load, ErrorsOfTheFileNameItsLine) {
  const File file("listen = ':1'\nprimary = 'host=h'\nring_size = 100\n");
  EXPECT_EQ(ErrorOf({"-c", file.path()}),
            std::string(file.path()) +
                ":3:13: ring_size: \"100\" is not a power of two; the next one is 128");
  const File twice("listen = ':1'\nprimary = 'host=h'\n[[mirror]]\nurl = 'host=h user=u'\n");
  EXPECT_EQ(ErrorOf({"-c", twice.path()}),
            std::string(twice.path()) +
                ":3:1: mirror: h:5432 is the primary; every write would be done twice");
  const File alias("shards = 1\nworker_threads = 2\n");
  EXPECT_EQ(ErrorOf({"-c", alias.path()}),
            std::string(alias.path()) +
                ":2:18: worker_threads: given twice (shards and worker-threads are one setting)");
}

TEST(Load, WhatIsRequiredIsSaidWithAnExample) {
  EXPECT_EQ(ErrorOf({}),
            "--listen is required: the address to accept clients on, for example "
            "--listen :5432");
  EXPECT_EQ(ErrorOf({"-l", ":1"}),
            "--primary is required: the server behind pgbraid, for example "
            "--primary postgres://127.0.0.1:5433");
}

struct Bad {
  std::vector<const char*> arguments;
  std::string_view error;
};

TEST(Load, EveryErrorOfAFlagNamesIt) {
  const Bad rows[] = {
      {{"--mirorr", "host=h"},
       "unknown flag \"--mirorr\"; did you mean \"--mirror\"? (--help lists them all)"},
      {{"--mirorr=host=h"},
       "unknown flag \"--mirorr\"; did you mean \"--mirror\"? (--help lists them all)"},
      {{"--zzzzzz"}, "unknown flag \"--zzzzzz\" (--help lists them all)"},
      {{"-z"}, "unknown flag \"-z\" (--help lists them all)"},
      {{"-listen", ":1"}, "-listen has one dash; write --listen"},
      {{"--shards"}, "--shards needs a value"},
      {{"--worker-threads"}, "--shards needs a value"},
      {{"--shards="}, "--shards needs a value"},
      {{"--shards", "--io", "auto"}, "--shards needs a value"},
      {{"--config"}, "--config needs a value"},
      {{"-c", "a", "-c", "b"}, "--config: given twice"},
      {{"--io", "auto", "--io", "auto"}, "--io: given twice"},
      {{"--shards", "1", "--worker-threads", "1"},
       "--shards: given twice (shards and worker-threads are one setting)"},
      {{"--shards", "257"}, "--shards: \"257\" is not a whole number from 0 to 256"},
      {{"--ring-size", "100"}, "--ring-size: \"100\" is not a power of two; the next one is 128"},
      {{"--ring-size", "8"}, "--ring-size: \"8\" is not a whole number from 16 to 32768"},
      {{"--io", "uring"},
       "--io: \"uring\" is not one of auto, io_uring, epoll; did you mean \"io_uring\"?"},
      {{"--log-level", "trace"}, "--log-level: \"trace\" is not one of error, warn, info, debug"},
      {{"--log-format", "xml"}, "--log-format: \"xml\" is not one of logfmt, json"},
      {{"--log-protocol=maybe"}, "--log-protocol: \"maybe\" is neither true nor false"},
      {{"--log-protocol"},
       "--log-protocol shows SQL and data and needs --log-level debug beside it"},
      {{"--buffer-size", "1k"},
       "--buffer-size: \"1k\" is not a size from 4k to 16m (bytes, or with k, m or g)"},
      {{"--login-timeout", "0"},
       "--login-timeout: \"0\" is not a time from 1ms to 168h (seconds, "
       "or with ms, s, m or h)"},
      {{"--queue-low", "256k"}, "queue-low (256k) must be less than queue-high (256k)"},
      {{"--admin", ":9187"},
       "--admin: \":9187\" is not a loopback address, and the admin endpoint asks for no password; "
       "write 127.0.0.1:9187 and reach it from elsewhere through an SSH tunnel or a proxy that "
       "authenticates"},
      {{"-l", ":6432"}, "listen: :6432 is given twice"},
      {{"-l", "127.0.0.1:5", "--admin", "127.0.0.1:5"},
       "admin: 127.0.0.1:5 is an address for clients already"},
      {{"-m", "host=10.0.0.1 user=u"},
       "--mirror: 10.0.0.1:5432 is the primary; every write would be done twice"},
      {{"-m", "host=a user=u dbname=d", "-m", "host=a user=v"},
       "--mirror: a:5432 is mirror \"mirror1\" already; every write would be done twice"},
      {{"-m", "host=a user=u name=x", "-m", "host=b user=u name=x"},
       "--mirror: another server is named \"x\" already"},
      {{"-m", "host=a user=u name=primary"},
       "--mirror: another server is named \"primary\" already"},
      {{"-m", "host=a"},
       "--mirror: a:5432 names no user: pgbraid logs in to a mirror by itself; "
       "write postgres://USER:PASSWORD@HOST:PORT/DBNAME"},
      {{"-m", "host=a sslmode=require"},
       "--mirror: a:5432 names no user: pgbraid logs in to a mirror by itself; write "
       "postgres://USER:PASSWORD@HOST:PORT/DBNAME"},
      {{"postgres://u:canary@h"},
       "argument 5 belongs to no flag (not shown, it could hold a password); every value follows "
       "its flag, as in --primary SERVER"},
  };
  for (const Bad& row : rows) {
    EXPECT_EQ(ErrorBeside(row.arguments), row.error);
  }
}

TEST(Load, TlsFlagsArriveAndContradictionsAreNamed) {
  const auto parsed =
      LoadWith({"-l", ":1", "-p", "host=h", "--enable-tls", "--tls-cert", "c.pem", "--tls-key",
                "k.pem", "--tls-ca", "ca.pem", "--tls-verify-client", "--tls-required",
                "--tls-server-name", "db.example", "--tls-skip-verify"});
  ASSERT_TRUE(parsed.ok()) << base::Message(parsed.status());
  EXPECT_NE(Describe(parsed->config)
                .find("enable_tls=true tls_cert=c.pem tls_key=k.pem tls_required=true "
                      "tls_ca=ca.pem tls_verify_client=true tls_server_name=db.example "
                      "tls_skip_verify=true"),
            std::string::npos);
  struct Row {
    std::vector<const char*> arguments;
    std::string_view error;
  };
  const std::vector<Row> rows = {
      {{"--tls-cert", "c"},
       "--tls-cert, --tls-key, --tls-ca, --tls-verify-client and --tls-required need --enable-tls "
       "beside them"},
      {{"--tls-required"},
       "--tls-cert, --tls-key, --tls-ca, --tls-verify-client and --tls-required need --enable-tls "
       "beside them"},
      {{"--enable-tls", "--tls-cert", "c"},
       "--enable-tls needs --tls-cert and --tls-key, the files with pgbraid's certificate and its "
       "private key"},
      {{"--enable-tls", "--tls-cert", "c", "--tls-key", "k", "--tls-verify-client"},
       "--tls-verify-client needs --tls-ca, the authority of the clients' certificates"},
      {{"--tls-skip-verify", "-m", "host=a user=u sslmode=verify-ca sslrootcert=r"},
       "--mirror: sslmode=verify-ca and --tls-skip-verify contradict each other; one of them must "
       "go"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(ErrorBeside(row.arguments), row.error);
  }
}

TEST(Load, ThePrimaryIsAnotherServer) {
  EXPECT_EQ(ErrorOf({"-l", ":5432", "-p", "host=localhost"}),
            "--primary: localhost:5432 is where pgbraid itself listens; the primary must be "
            "another server");
  EXPECT_EQ(ErrorOf({"-l", "127.0.0.1:5432", "-p", "postgres://[::1]"}),
            "--primary: [::1]:5432 is where pgbraid itself listens; the primary must be another "
            "server");
  EXPECT_EQ(ErrorOf({"-l", "10.0.0.2:5432", "-p", "host=h", "-m", "host=10.0.0.2 user=u"}),
            "--mirror: 10.0.0.2:5432 is where pgbraid itself listens; the mirror must be another "
            "server");
}

TEST(Load, APoolNeedsALoginOfItsOwn) {
  EXPECT_EQ(ErrorOf({"-l", ":1", "-p", "host=h", "--pool-mode", "transaction"}),
            "--primary: names no user, so each client logs in to the server itself and keeps its "
            "connection; pool_mode transaction needs postgres://USER:PASSWORD@…");
  EXPECT_EQ(ErrorOf({"-l", ":1", "-p", "host=h user=u", "--max-conns", "3", "--min-conns", "4"}),
            "--primary: min_conns (4) is more than max_conns (3)");
  const auto parsed =
      LoadWith({"-l", ":1", "-p", "host=h user=u password=p", "--pool-mode", "statement",
                "--max-conns", "3"});
  ASSERT_TRUE(parsed.ok()) << base::Message(parsed.status());
  const Config& config = parsed->config;
  ASSERT_EQ(config.services.size(), 1u);
  EXPECT_EQ(config.services[0].name, "*");
  EXPECT_EQ(config.services[0].pool.mode, PoolMode::kStatement);
  EXPECT_EQ(config.services[0].pool.min_conns, 3u);
  EXPECT_EQ(FindService(config, "any"), &config.services[0]);
}

TEST(Load, TwoDatabasesOfOneServerMayMirrorEachOther) {
  const auto parsed =
      LoadWith({"-l", ":1", "-p", "host=h dbname=a", "-m", "host=h dbname=b user=u"});
  EXPECT_TRUE(parsed.ok()) << base::Message(parsed.status());
}

TEST(Load, AnErrorOfTheEnvironmentNamesTheVariable) {
  EXPECT_EQ(ErrorBeside({}, {{"FRENZY_LOG_LEVEL", "wrn"}}),
            "FRENZY_LOG_LEVEL: \"wrn\" is not one of error, warn, info, debug; did you mean "
            "\"warn\"?");
  EXPECT_EQ(Loaded({}, {{"FRENZY_LOG_LEVEL", ""}}).log_level, base::LogLevel::kInfo);
}

TEST(Load, S2NoErrorShowsAPassword) {
  const std::vector<std::vector<const char*>> lines = {
      {"-primary", "postgres://u:canary@h"},
      {"-password=canary"},
      {"--passwrd=canary"},
      {"--listen", "postgres://u:canary@h"},
      {"--shards", "postgres://u:canary@h"},
      {"--admin", "u:canary@h:1"},
      {"--io", "password=canary"},
      {"-xcanary"},
      {"canary"},
      {"--", "canary"},
      {"--config", "postgres://u:canary@h"},
      {"-p", "canary"},
      {"-p", "host=h", "canary"},
      {"--log-protocol=u:canary@h"},
  };
  for (const auto& line : lines) {
    const std::string error = ErrorOf(line);
    EXPECT_EQ(error.find("canary"), std::string::npos) << error;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

TEST(Load, AMirroredTransactionFitsItsQueue) {
  EXPECT_EQ(Loaded({"--mirror-queue-bytes", "1m"}).limits.mirror_transaction_max, 1 << 20);
}

TEST(Load, HelpAndVersionArePrinted) {
  for (const char* flag : {"--help", "-h"}) {
    const auto parsed = LoadWith({flag, "--zzzzzz"});
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->action, Action::kPrint);
    EXPECT_TRUE(parsed->text.starts_with("pgbraid stands between"));
  }
  const auto parsed = LoadWith({"--version"});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->action, Action::kPrint);
  EXPECT_EQ(parsed->text, "pgbraid " PGBRAID_VERSION "\n");
}

TEST(Documentation, EveryFlagKeyAndVariableIsInTheManualAndInHelp) {
  const auto manual = ReadFile(PGBRAID_CONFIGURATION_MD);
  ASSERT_TRUE(manual.ok()) << base::Message(manual.status());
  const std::string help = LoadWith({"--help"})->text;
  for (const Setting& setting : Settings()) {
    const std::string name(setting.name);
    const size_t row = manual->find("| `--" + name + "`");
    ASSERT_NE(row, std::string::npos) << name;
    const std::string line = manual->substr(row, manual->find('\n', row) - row);
    std::string key = name;
    std::replace(key.begin(), key.end(), '-', '_');
    EXPECT_NE(line.find("`" + key + "`"), std::string::npos) << line;
    EXPECT_NE(line.find(std::string(setting.default_text)), std::string::npos) << line;
    EXPECT_NE(help.find("--" + name), std::string::npos) << name;
    for (const std::string_view other : {setting.alias, setting.environment}) {
      EXPECT_NE(manual->find(other), std::string::npos) << other;
      EXPECT_NE(help.find(other), std::string::npos) << other;
    }
  }
  for (const std::string_view name : {"`--config`", "`--help`", "`--version`"}) {
    EXPECT_NE(manual->find(name), std::string::npos) << name;
    EXPECT_NE(help.find(name.substr(1, name.size() - 2)), std::string::npos) << name;
  }
}

TEST(Documentation, TheLinesOfHelpFitATerminal) {
  const std::string help = LoadWith({"--help"})->text;
  size_t from = 0;
  while (from < help.size()) {
    const size_t end = help.find('\n', from);
    EXPECT_LE(end - from, 110u) << help.substr(from, end - from);
    from = end + 1;
  }
}

TEST(HideSecrets, S6BlanksPasswordsInTheArguments) {
  struct Row {
    const char* before;
    const char* after;
  };
  const Row rows[] = {
      {"postgres://u:canary@h/d?sslmode=disable", "postgres://u:******@h/d?sslmode=disable"},
      {"--mirror=postgres://u:a@/b@h", "--mirror=postgres://u:****@h"},
      {"postgres://h:5432/d", "postgres://h:5432/d"},
      {"postgres://h?password=x", "postgres://h?**********"},
      {"postgres://h?pass%77ord=x", "postgres://h?************"},
      {"host=h password = 'a b' port=1", "host=h password =*************"},
      {"host=h PASSWORD=x", "host=h PASSWORD=*"},
      {"password.toml", "password.toml"},
      {"--log-level", "--log-level"},
  };
  for (const Row& row : rows) {
    std::string program = "pgbraid";
    std::string argument = row.before;
    char* argv[] = {program.data(), argument.data(), nullptr};
    HideSecrets(2, argv);
    EXPECT_EQ(argument, row.after);
  }
}

TEST(Load, SocketSettings) {
  const Config config =
      Loaded({"--tcp-keepalive-idle", "11", "--tcp-keepalive-interval", "12",
              "--tcp-keepalive-count", "13", "--tcp-retry-max", "14", "--tcp-user-timeout", "15",
              "--unix-socket-mode", "0750"});
  EXPECT_EQ(config.limits.tcp_keepalive_idle, absl::Seconds(11));
  EXPECT_EQ(config.limits.tcp_keepalive_interval, absl::Seconds(12));
  EXPECT_EQ(config.limits.tcp_keepalive_count, 13u);
  EXPECT_EQ(config.limits.tcp_retry_max, absl::Seconds(14));
  EXPECT_EQ(config.limits.tcp_user_timeout, absl::Seconds(15));
  EXPECT_EQ(config.unix_socket_mode, 0750u);
  const struct {
    std::vector<const char*> arguments;
    const char* expected;
  } kRows[] = {
      {{"--admin", "/run:1"},
       "--admin: \"/run:1\" is a Unix socket; the admin endpoint wants a loopback HOST:PORT"},
      {{"--unix-socket-mode", "0888"},
       "--unix-socket-mode: \"0888\" is no mode from 0000 to 0777"},
      {{"--unix-socket-mode", "1777"},
       "--unix-socket-mode: \"1777\" is no mode from 0000 to 0777"},
      {{"--tcp-retry-max", "500ms"}, "--tcp-retry-max: \"500ms\" is neither 0 nor 1s to 120s"},
      {{"-l", "/run:1", "-l", "/run/:1"}, "listen: /run:1 is given twice"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(ErrorBeside(row.arguments), row.expected);
  }
}

TEST(Load, ProxyProtocolFrom) {
  const auto contains = [](const Config& config, std::string_view peer) {
    const NetAddress address = peer == "unix" ? NetAddress() : *NetAddress::Parse(peer);
    return std::any_of(config.proxy_protocol_from.begin(), config.proxy_protocol_from.end(),
                       [&](const NetRange& range) { return range.Contains(address); });
  };
  const Config none = Loaded({});
  EXPECT_EQ(none.unix_socket_mode, 0777u);
  EXPECT_TRUE(none.proxy_protocol_from.empty());
  const Config some =
      Loaded({"--proxy-protocol-from", "10.1.0.0/16,::1", "--proxy-protocol-from", "192.0.2.7"});
  for (const char* peer : {"10.1.255.1", "::1", "192.0.2.7", "::ffff:10.1.0.1"}) {
    EXPECT_TRUE(contains(some, peer)) << peer;
  }
  for (const char* peer : {"10.2.0.1", "::2", "192.0.2.8", "unix"}) {
    EXPECT_FALSE(contains(some, peer)) << peer;
  }
  EXPECT_TRUE(contains(Loaded({"--proxy-protocol-from", "unix"}), "unix"));
  EXPECT_FALSE(contains(Loaded({"--proxy-protocol-from", "0.0.0.0/0"}), "unix"));
  for (const char* wrong :
       {"10.0.0.0/33", "::/129", "lb.example", "10.0.0.1,", "/8", "10.0.0.1/"}) {
    EXPECT_THAT(ErrorBeside({"--proxy-protocol-from", wrong}),
                testing::HasSubstr("is no address, network"))
        << wrong;
  }
}

// A flag replaces the file's list, of each repeatable setting on its own.
TEST(Load, ListsOfDifferentSettingsAreDifferentLists) {
  const File file(
      "listen = ':1'\nprimary = 'host=a'\nproxy_protocol_from = ['10.0.0.1', '10.0.0.2']");
  const auto kept = LoadWith({"-c", file.path(), "-l", ":2"});
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(kept->config.proxy_protocol_from.size(), 2u);
  const auto replaced = LoadWith({"-c", file.path(), "--proxy-protocol-from", "unix"});
  ASSERT_TRUE(replaced.ok());
  EXPECT_EQ(replaced->config.proxy_protocol_from.size(), 1u);
  EXPECT_EQ(replaced->config.listen.size(), 1u);
}

}  // namespace
}  // namespace config
