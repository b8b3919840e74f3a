#include "config/import_pgbouncer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/ini_file.h"
#include "config/load.h"
#include "config/pgbouncer_settings.h"

namespace config {
namespace {

std::string Path(std::string_view name) {
  return testing::TempDir() + "pgbraid_import_" + std::string(name);
}

class File {
 public:
  File(std::string_view name, std::string_view text) : path_(Path(name)) {
    std::ofstream(path_) << text;
    chmod(path_.c_str(), 0600);
  }
  ~File() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

Imported ImportText(std::string_view ini) {
  const File file("pgbouncer.ini", ini);
  const absl::StatusOr<Imported> imported = ImportPgbouncer(file.path());
  EXPECT_TRUE(imported.ok()) << base::Message(imported.status());
  return imported.ok() ? *imported : Imported{};
}

std::string ErrorOf(std::string_view ini) {
  const File file("pgbouncer.ini", ini);
  const absl::StatusOr<Imported> imported = ImportPgbouncer(file.path());
  EXPECT_FALSE(imported.ok());
  return std::string(base::Message(imported.status()));
}

// What the output says once it is a file of ours.
Config LoadedFrom(const Imported& imported) {
  const File file("pgbraid.toml", imported.toml);
  const char* const arguments[] = {"pgbraid", "--config", file.path().c_str()};
  const absl::StatusOr<ParsedCommandLine> parsed = Load(3, arguments, {});
  EXPECT_TRUE(parsed.ok()) << base::Message(parsed.status()) << "\n" << imported.toml;
  return parsed.ok() ? parsed->config : Config{};
}

size_t NotesAbout(const Imported& imported, std::string_view word) {
  size_t count = 0;
  for (const std::string& note : imported.notes) {
    count += note.find(word) != std::string::npos ? 1 : 0;
  }
  return count;
}

TEST(ImportPgbouncer, AnOrdinaryFileLoads) {
  const File users("users.txt", "\"app\" \"secret\"\n");
  const Imported imported = ImportText(
      "; a comment\n"
      "[databases]\n"
      "shop = host=10.0.0.5 port=5433 dbname=shop_v2 user=app password='it''s \\ \"x\"' "
      "pool_size=7 pool_mode=statement\n"
      "\"odd name\" = host=/run/postgresql user=app min_pool_size=30\n"
      "* = host=10.0.0.6 user=app\n"
      "[users]\n"
      "app = pool_mode=session max_user_connections=3\n"
      "[pgbouncer]\n"
      "listen_addr = 127.0.0.1, ::1\n"
      "listen_port=7432\n"
      "unix_socket_dir = /run/pgbouncer\n"
      "unix_socket_mode = 0770\n"
      "auth_type = scram-sha-256\n"
      "auth_file = " +
      users.path() +
      "\n"
      "pool_mode = transaction\n"
      "max_client_conn = 500\n"
      "default_pool_size = 25\n"
      "server_lifetime = 1200.5\n"
      "query_timeout = 0.25\n"
      "tcp_keepidle = 30\n"
      "tcp_user_timeout = 12500\n"
      "pkt_buf = 4096\n");
  const Config config = LoadedFrom(imported);
  ASSERT_EQ(config.listen.size(), 3u);
  EXPECT_EQ(config.listen[0].Display(), "127.0.0.1:7432");
  EXPECT_EQ(config.listen[1].Display(), "[::1]:7432");
  EXPECT_EQ(config.listen[2].Display(), "/run/pgbouncer:7432");
  EXPECT_EQ(config.unix_socket_mode, 0770u);
  EXPECT_EQ(config.authentication.users_file, users.path());
  EXPECT_EQ(config.authentication.method, AuthMethod::kScramSha256);
  EXPECT_EQ(config.limits.clients_max, 500u);
  EXPECT_EQ(config.limits.tcp_keepalive_idle, absl::Seconds(30));
  EXPECT_EQ(config.limits.tcp_user_timeout, absl::Milliseconds(12'500));
  EXPECT_EQ(config.pool.max_conns, 25u);
  EXPECT_EQ(config.pool.min_conns, 0u);

  const Service* shop = FindService(config, "shop");
  ASSERT_NE(shop, nullptr);
  EXPECT_EQ(shop->primary.host, "10.0.0.5");
  EXPECT_EQ(shop->primary.port, 5433);
  EXPECT_EQ(shop->primary.dbname, "shop_v2");
  EXPECT_EQ(shop->primary.user, "app");
  EXPECT_EQ(shop->primary.password, "it's \\ \"x\"");
  EXPECT_EQ(shop->pool.mode, PoolMode::kStatement);
  EXPECT_EQ(shop->pool.max_conns, 7u);
  EXPECT_EQ(shop->pool.max_conn_lifetime, absl::Milliseconds(1'200'500));
  EXPECT_EQ(shop->pool.max_conn_idle_time, absl::Seconds(600));
  EXPECT_EQ(shop->pool.query_timeout, absl::Milliseconds(250));
  const Service* odd = FindService(config, "odd name");
  EXPECT_EQ(odd->primary.dbname, "odd name");
  EXPECT_EQ(odd->pool.mode, PoolMode::kTransaction);
  EXPECT_EQ(odd->pool.min_conns, 25u);  // never more than the pool
  const Service* other = FindService(config, "anything");
  EXPECT_EQ(other->name, "*");
  EXPECT_EQ(other->primary.dbname, "");

  EXPECT_EQ(NotesAbout(imported, "pkt_buf: "), 1u);
  EXPECT_EQ(NotesAbout(imported, "there are no settings of single users"), 2u);
  EXPECT_EQ(imported.notes.size(), 3u);
  for (const std::string& note : imported.notes) {
    EXPECT_NE(imported.toml.find("#   " + note + "\n"), std::string::npos) << note;
  }
}

// The commonest set-up: PgBouncer knows the users, and each of them is one of the server's.
TEST(ImportPgbouncer, TransactionsArePooledForUsersOfAFile) {
  const File users("users.txt", "\"app\" \"secret\"\n");
  const Imported imported =
      ImportText("[databases]\n* = host=10.0.0.5\n[pgbouncer]\npool_mode=transaction\nauth_file=" +
                 users.path() + "\n");
  EXPECT_TRUE(imported.notes.empty());
  const Config config = LoadedFrom(imported);
  EXPECT_EQ(FindService(config, "x")->pool.mode, PoolMode::kTransaction);
  EXPECT_FALSE(FindService(config, "x")->passes_login_through);
}

TEST(ImportPgbouncer, TlsOfBothSides) {
  const Imported imported = ImportText(
      "[databases]\nd = host=h user=u password=p\nlocal = host=/run/p user=u password=p\n"
      "[pgbouncer]\nclient_tls_sslmode = verify-full\nclient_tls_cert_file = /c\n"
      "client_tls_key_file = /k\nclient_tls_ca_file = /a\nserver_tls_sslmode = verify-full\n"
      "server_tls_ca_file = /s\nclient_tls_ciphers = secure\n");
  for (const char* line :
       {"\nenable_tls = true\n", "\ntls_required = true\n", "\ntls_verify_client = true\n",
        "\ntls_cert = \"/c\"\n", "\ntls_key = \"/k\"\n", "\ntls_ca = \"/a\"\n",
        "password='p' sslmode='verify-full' sslrootcert='/s'\"\n",
        "host='/run/p' port='5432' dbname='local' user='u' password='p'\"\n"}) {
    EXPECT_NE(imported.toml.find(line), std::string::npos) << line << imported.toml;
  }
  EXPECT_EQ(imported.notes.size(), 1u);
}

TEST(ImportPgbouncer, DefaultsThatDifferAreWrittenDown) {
  const Imported imported = ImportText("[databases]\nd = host=h user=u password=p\n[pgbouncer]\n");
  EXPECT_TRUE(imported.notes.empty());
  const Config config = LoadedFrom(imported);
  ASSERT_EQ(config.listen.size(), 1u);
  EXPECT_EQ(config.listen[0].Display(), "/tmp:6432");
  EXPECT_EQ(config.limits.clients_max, 100u);
  EXPECT_EQ(config.pool.max_conns, 20u);
  EXPECT_EQ(config.pool.max_conn_lifetime, absl::Hours(1));
  EXPECT_EQ(config.authentication.method, AuthMethod::kMd5);
}

// Each of them is a setting of ours, or a note with a reason.
TEST(ImportPgbouncer, EveryDocumentedSettingHasAnAnswer) {
  for (const BouncerSetting* row = BouncerSettingsBegin(); row != BouncerSettingsEnd(); ++row) {
    const bool none = row->value == BouncerValue::kNone;
    EXPECT_EQ(none, row->ours.empty() && row->value != BouncerValue::kSpecial) << row->name;
    EXPECT_TRUE(!none || !row->note.empty()) << row->name;
    const Imported imported = ImportText("[pgbouncer]\n" + std::string(row->name) + " = 7\n");
    if (none) {
      EXPECT_EQ(NotesAbout(imported, std::string(row->name) + ": " + std::string(row->note)), 1u);
    }
  }
  for (const char* name : {"host", "dbname", "pool_size", "connect_query", "load_balance_hosts"}) {
    EXPECT_NE(FindBouncerDatabaseSetting(name), nullptr) << name;
  }
}

TEST(ImportPgbouncer, WhatCannotBeIsNamedAndLeftOut) {
  const struct {
    const char* ini;
    const char* note;
  } kRows[] = {
      {"[databases]\nd = host=a,b user=u\n[pgbouncer]\n", "a database that is left out: "},
      {"[databases]\nd = host=a\n[pgbouncer]\npool_mode = transaction\nauth_type = pam\n",
       "pool_mode: transaction needs a user in the connection string"},
      {"[databases]\nd = host=a user=u connect_query='SELECT 1'\n", "connect_query: use ALTER"},
      {"[databases]\nd = host=a user=u colour=red\n", "\"colour\": PgBouncer's manual"},
      {"[pgbouncer]\nserver_lifetime = 0\n", "server_lifetime: 0 used each connection once"},
      {"[pgbouncer]\nserver_lifetime = soon\n", "server_lifetime: is no number of seconds"},
      {"[pgbouncer]\nmax_client_conn = -1\n", "max_client_conn: \"-1\" is not a whole number"},
      {"[pgbouncer]\nlisten_addr = db.example\n", "listen_addr: \"db.example\" is not an IP"},
      {"[pgbouncer]\nunix_socket_dir = @x\n", "there are no abstract sockets"},
      {"[pgbouncer]\nauth_type = pam\n", "auth_type: pgbraid has md5"},
      {"[pgbouncer]\nauth_hba_file = /x\n", "auth_hba_file: is used with auth_type = hba only"},
      {"[pgbouncer]\nlisten_addr = *\nauth_type = trust\n", "auth_type: lets in whoever"},
      {"[pgbouncer]\nclient_tls_key_file = /x\n", "is not used with client_tls_sslmode = disable"},
      {"[pgbouncer]\nmax_clients = 3\n", "\"max_clients\": PgBouncer's manual does not have it"},
      {"[peers]\n1 = host=a\n", "a peer: one process uses all cores"},
      {"", "[databases]: is empty"},
  };
  for (const auto& row : kRows) {
    EXPECT_EQ(NotesAbout(ImportText(row.ini), row.note), 1u) << row.ini << "\n"
                                                             << ImportText(row.ini).toml;
  }
}

TEST(ImportPgbouncer, NotesDoNotShowPasswords) {
  const Imported imported = ImportText(
      "[databases]\nd = host=a,b user=u password=canary colour=canary\n"
      "[users]\nu = password=canary\n");
  EXPECT_FALSE(imported.notes.empty());
  EXPECT_EQ(NotesAbout(imported, "canary"), 0u);
}

TEST(ImportPgbouncer, IncludesAreRead) {
  const File inner("inner.ini", "d = host=h user=u password=p\n[pgbouncer]\nmax_client_conn=9\n");
  const Config config =
      LoadedFrom(ImportText("[databases]\n%include " + inner.path() + "\nlisten_port=1234\n"));
  EXPECT_NE(FindService(config, "d"), nullptr);
  EXPECT_EQ(config.limits.clients_max, 9u);
  EXPECT_EQ(config.listen[0].port, 1234);
}

TEST(ImportPgbouncer, WhatPgbouncerWouldNotReadIsAnError) {
  const std::string at = Path("pgbouncer.ini");
  EXPECT_EQ(ErrorOf("x = 1\n"), at + ":1: stands before the first section");
  EXPECT_EQ(ErrorOf("\n[databases\n"), at + ":2: a section is not closed by ']'");
  EXPECT_EQ(ErrorOf("[pgbouncer]\ncanary\n"), at + ":2: is not KEY = VALUE");
  EXPECT_EQ(ErrorOf("[databases]\nd = host=a canary\n"),
            at + ":2: has a word that is not KEY=VALUE");
  EXPECT_EQ(ErrorOf("[databases]\nd = password='canary\n"),
            at + ":2: has a quoted value that is not closed");
  EXPECT_EQ(ErrorOf("[databases]\n\"d = 1\n"), at + ":2: a quoted name is not closed");
  EXPECT_EQ(ErrorOf("[colours]\nx = 1\n"), at + ":2: PgBouncer has no section of that name");
  EXPECT_EQ(ErrorOf("[databases]\n%include " + at + "\n"),
            at + ": more than 10 files include each other");
  EXPECT_NE(ErrorOf("%include /nowhere/x.ini\n").find("/nowhere/x.ini"), std::string::npos);
}

}  // namespace
}  // namespace config
