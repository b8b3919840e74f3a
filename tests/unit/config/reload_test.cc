#include "config/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/load.h"

namespace config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Config Loaded(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"pgbraid", "-l", ":6432", "-p", "postgres://u:p@10.0.0.1"});
  const auto parsed = Load(static_cast<int>(arguments.size()), arguments.data(), {});
  EXPECT_TRUE(parsed.ok()) << base::Message(parsed.status());
  return parsed.ok() ? parsed->config : Config{};
}

TEST(Reload, NothingFixedHasChangedWhereNothingHas) {
  EXPECT_THAT(FixedChanges(Loaded({}), Loaded({})), IsEmpty());
  EXPECT_TRUE(CheckFixed(Loaded({}), Loaded({})).ok());
}

TEST(Reload, WhatMayChangeIsNotFixed) {
  EXPECT_THAT(
      FixedChanges(Loaded({}),
                   Loaded({"--max-conns", "7", "--min-conns", "1", "--pool-mode", "transaction",
                           "--auth", "md5", "--max-clients", "5",
                           "--log-level", "debug", "--drain-timeout", "1s", "--tls-skip-verify",
                           "--proxy-protocol-from", "10.0.0.0/8", "--mirror-timeout", "1s"})),
      IsEmpty());
}

TEST(Reload, EveryFixedKeyIsNamed) {
  Config changed = Loaded({"-l", ":7000",
                           "--unix-socket-mode", "0700",
                           "--admin", "127.0.0.1:9187",
                           "--shards", "3",
                           "--io", "epoll",
                           "--ring-size", "512",
                           "--buffer-size", "64k",
                           "--queue-high", "512k",
                           "--queue-low", "128k",
                           "-m", "postgres://m:secret@10.0.0.2",
                           "--mirror-queue-bytes", "1m",
                           "--mirror-transaction-bytes", "512k",
                           "--mirror-max-conns", "3",
                           "--spill-dir", "/var/lib/pgbraid-spill",
                           "--spill-key-file", "/etc/pgbraid/spill.key",
                           "--spill-max", "1g",
                           "--capture", "/var/tmp/monday",
                           "--capture-redact-types", "text",
                           "--capture-redact-columns", "ssn",
                           "--mirror-transaction-statements", "10",
                           "--mirror-transaction-age", "1m",
                           "--mirror-transaction-sweep", "1s",
                           "--state-dir", "/var/lib/pgbraid",
                           "--log-format", "json",
                           "--core-dumps"});
  EXPECT_THAT(FixedChanges(Loaded({}), changed),
              ElementsAre("listen", "unix_socket_mode", "admin", "shards", "io", "ring_size",
                          "buffer_size", "queue_high", "queue_low", "mirror", "mirror_queue_bytes",
                          "mirror_transaction_bytes", "mirror_transaction_statements",
                          "mirror_transaction_age", "mirror_transaction_sweep",
                          "mirror_max_conns", "spill_dir",
                          "spill_key_file", "spill_max", "capture", "capture_redact_types",
                          "capture_redact_columns", "state_dir", "log_format", "core_dumps"));
  const absl::Status status = CheckFixed(Loaded({}), Loaded({"--shards", "3", "--io", "epoll"}));
  EXPECT_EQ(base::Message(status),
            "shards, io: cannot change without a restart, so nothing was changed");
}

// Its password decides as much as its address, and is never told.
TEST(Reload, AMirrorIsAnotherOneWithAnotherPassword) {
  const Config with = Loaded({"-m", "postgres://m:secret@10.0.0.2"});
  EXPECT_THAT(FixedChanges(with, Loaded({"-m", "postgres://m:secret@10.0.0.2"})), IsEmpty());
  EXPECT_THAT(FixedChanges(with, Loaded({"-m", "postgres://m:other@10.0.0.2"})),
              ElementsAre("mirror"));
  EXPECT_THAT(FixedChanges(with, Loaded({"-m", "postgres://m:secret@10.0.0.2?name=x"})),
              ElementsAre("mirror"));
}

TEST(Reload, WhereAServerIsConfiguredDoesNotMakeItAnother) {
  Server a = Loaded({}).primary;
  Server b = a;
  b.origin = "b.toml:7:1: primary";
  b.name = "other";
  b.connect_timeout = absl::Seconds(3);
  EXPECT_TRUE(IsSameServer(a, b));
  b.sslrootcert = "ca.pem";
  EXPECT_FALSE(IsSameServer(a, b));
  b = a;
  EXPECT_TRUE(b.auth.SetRequireAuth("scram-sha-256").ok());
  EXPECT_FALSE(IsSameServer(a, b));
}

// main overwrites the secrets in its arguments; the copy has them.
TEST(Reload, LoadsWithTheSecretsThatWereHidden) {
  const std::string path = testing::TempDir() + "pgbraid_reload_test.toml";
  std::ofstream(path) << "max_conns = 3\n";
  std::string words[] = {"pgbraid", "-l", ":6432", "-p", "postgres://u:secret@10.0.0.1",
                         "-c", path};
  std::vector<char*> argv;
  for (std::string& word : words) {
    argv.push_back(word.data());
  }
  const Reloader reloader(static_cast<int>(argv.size()), argv.data());
  HideSecrets(static_cast<int>(argv.size()), argv.data());
  EXPECT_EQ(words[4], "postgres://u:******@10.0.0.1");

  std::ofstream(path) << "max_conns = 4\n";
  const absl::StatusOr<Config> again = reloader.Load();
  ASSERT_TRUE(again.ok()) << base::Message(again.status());
  EXPECT_EQ(again->primary.password, "secret");
  EXPECT_EQ(again->pool.max_conns, 4u);

  std::ofstream(path) << "shards = 1\nmax_conns = \"many\"\n";
  EXPECT_THAT(std::string(base::Message(reloader.Load().status())),
              testing::HasSubstr("pgbraid_reload_test.toml:2:13: max_conns"));
  std::remove(path.c_str());
  EXPECT_FALSE(reloader.Load().ok());
}

}  // namespace
}  // namespace config
