// Who may in, as flags and files say it together: what is read, and what is refused.
#include "config/authentication.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <vector>

#include "base/status.h"
#include "config/load.h"

namespace config {
namespace {

class File {
 public:
  File(std::string_view name, std::string_view text, mode_t mode = 0600)
      : path_(testing::TempDir() + "pgbraid_auth_" + std::string(name)) {
    std::ofstream(path_) << text;
    EXPECT_EQ(chmod(path_.c_str(), mode), 0);
  }
  ~File() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  const std::string path_;
};

absl::StatusOr<ParsedCommandLine> LoadWith(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "pgbraid");
  return Load(static_cast<int>(arguments.size()), arguments.data(), {});
}

Authentication Loaded(const std::vector<const char*>& arguments) {
  const auto parsed = LoadWith(arguments);
  EXPECT_TRUE(parsed.ok()) << base::Message(parsed.status());
  return parsed.ok() ? parsed->config.authentication : Authentication();
}

std::string ErrorOf(const std::vector<const char*>& arguments) {
  const auto parsed = LoadWith(arguments);
  EXPECT_FALSE(parsed.ok());
  const std::string why(base::Message(parsed.status()));
  EXPECT_EQ(why.find("geheim"), std::string::npos) << why;
  return why;
}

bool Has(const std::string& text, std::string_view part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
  return text.find(part) != std::string::npos;
}

TEST(Authentication, WithoutAWordLoginsPassThrough) {
  const Authentication none = Loaded({"-l", ":6432", "-p", "host=10.0.0.1"});
  EXPECT_FALSE(none.configured());
  EXPECT_EQ(Describe(none), "");
}

TEST(Authentication, FilesAreRead) {
  const File users("users", "\"alice\" \"geheim\"\n");
  const File hba("hba", "hostssl all all all cert map=people\nhost all all all md5\n");
  const File ident("ident", "people smith alice\n");
  const Authentication all =
      Loaded({"-l", ":6432", "-p", "host=10.0.0.1", "--users-file", users.path(), "--hba-file",
              hba.path(), "--ident-file", ident.path(), "--auth-user", "asker",
              "--auth-query-max-age", "5s"});
  EXPECT_TRUE(all.configured());
  EXPECT_EQ(all.users.at("alice"), "geheim");
  EXPECT_EQ(all.hba->rules().size(), 2u);
  EXPECT_TRUE(all.ident.Allows("people", "smith", "alice"));
  EXPECT_EQ(all.auth_query_max_age, absl::Seconds(5));
  const std::string text = Describe(all);
  EXPECT_TRUE(Has(text, "auth=hba") && Has(text, "users=1") && Has(text, "auth_user=asker"));
  EXPECT_EQ(text.find("geheim"), std::string::npos);
}

TEST(Authentication, S1_AUsersFileThatOthersReadIsRefused) {
  for (const mode_t mode : {0604, 0644, 0602}) {
    const File users("users", "\"alice\" \"geheim\"\n", mode);
    const std::string why =
        ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--users-file", users.path()});
    EXPECT_TRUE(Has(why, "users-file: ") && Has(why, "chmod 600"));
  }
  const File users("users", "\"alice\" \"geheim\"\n", 0640);
  Loaded({"-l", ":6432", "-p", "host=10.0.0.1", "--users-file", users.path()});
}

TEST(Authentication, C17_ABadFileRefusesTheStart) {
  const File users("users", "\"alice\" \"geheim\"\nbob geheim\n");
  EXPECT_TRUE(Has(ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--users-file", users.path()}),
                  "pgbraid_auth_users:2: is not"));
  const File hba("hba", "local all all reject\nhost all +staff all md5\n");
  EXPECT_TRUE(Has(ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--hba-file", hba.path()}),
                  "pgbraid_auth_hba:2: +group"));
  EXPECT_TRUE(Has(ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--hba-file", "/nowhere"}),
                  "hba-file: cannot open"));
  EXPECT_TRUE(Has(ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--hba-file", "/"}),
                  "not a regular file"));
}

// Nobody comes in without a password unless it was written down.
TEST(Authentication, C3_NothingToCheckAgainstIsRefused) {
  EXPECT_TRUE(Has(ErrorOf({"-l", ":6432", "-p", "postgres://app@10.0.0.1/shop"}),
                  "nothing to check a client's password against"));
  EXPECT_TRUE(Has(ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--auth", "md5"}),
                  "nothing to check a client's password against"));
  const File hba("hba", "host all all all scram-sha-256\n");
  EXPECT_TRUE(Has(ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--hba-file", hba.path()}),
                  "nothing to check a client's password against"));
  EXPECT_EQ(Loaded({"-l", ":6432", "-p", "postgres://app:geheim@10.0.0.1/shop"}).default_method(),
            AuthMethod::kScramSha256);
  const File reject("reject", "local all all trust\nhost all all all reject\n");
  Loaded({"-l", ":6432", "-p", "host=10.0.0.1", "--hba-file", reject.path()});
}

TEST(Authentication, TrustIsForLoopbackUnlessInsecure) {
  const std::vector<const char*> trust = {"-p", "host=10.0.0.1", "--auth", "trust", "-l"};
  std::vector<const char*> everywhere = trust;
  everywhere.push_back(":6432");
  EXPECT_TRUE(Has(ErrorOf(everywhere), "--insecure-trust"));
  everywhere.push_back("--insecure-trust");
  EXPECT_TRUE(Loaded(everywhere).insecure_trust);
  std::vector<const char*> loopback = trust;
  loopback.push_back("127.0.0.1:6432");
  EXPECT_EQ(Loaded(loopback).default_method(), AuthMethod::kTrust);
  loopback.insert(loopback.end(), {"--proxy-protocol-from", "127.0.0.1"});
  EXPECT_TRUE(Has(ErrorOf(loopback), "--insecure-trust"));
}

TEST(Authentication, TrustInRulesLikewise) {
  const File own("own", "local all all trust\nhost all all 127.0.0.0/8 trust\n"
                        "host all all ::1/128 trust\n");
  Loaded({"-l", ":6432", "-p", "host=10.0.0.1", "--hba-file", own.path()});
  for (const std::string_view range : {"all", "10.0.0.0/8", "127.0.0.1/7", "::/0"}) {
    const File hba("hba", "local all all trust\nhost all all " + std::string(range) + " trust\n");
    const std::string why =
        ErrorOf({"-l", ":6432", "-p", "host=10.0.0.1", "--hba-file", hba.path()});
    EXPECT_TRUE(Has(why, "pgbraid_auth_hba:2: trust"));
    Loaded({"-l", "[::1]:6432", "-p", "host=10.0.0.1", "--hba-file", hba.path()});
  }
}

TEST(Authentication, ContradictionsAreRefused) {
  const File hba("hba", "hostssl all all all cert map=people\n");
  const File ident("ident", "others smith alice\n");
  EXPECT_TRUE(Has(ErrorOf({"-l", ":1", "-p", "host=a", "--hba-file", hba.path(), "--auth", "md5"}),
                  "auth: hba-file is given too"));
  EXPECT_TRUE(Has(ErrorOf({"-l", ":1", "-p", "host=a", "--ident-file", ident.path()}),
                  "needs hba-file"));
  EXPECT_TRUE(Has(ErrorOf({"-l", ":1", "-p", "host=a", "--hba-file", hba.path()}),
                  "pgbraid_auth_hba:1: has map="));
  EXPECT_TRUE(Has(ErrorOf({"-l", ":1", "-p", "host=a", "--auth-query", "SELECT 1"}),
                  "need auth-user"));
  EXPECT_TRUE(Has(ErrorOf({"-l", ":1", "-p", "host=a", "--auth-password", "geheim"}),
                  "need auth-user"));
}

// A search_path or an operator of a schema on it decides nothing.
TEST(Authentication, A3_TheLookUpIsQualified) {
  for (const std::string_view part : {"pg_catalog.pg_authid", "OPERATOR(pg_catalog.=)",
                                      "OPERATOR(pg_catalog.<)", "pg_catalog.now()"}) {
    EXPECT_TRUE(Has(std::string(kAuthQueryDefault), part));
  }
}

TEST(Authentication, S6_ThePasswordOfTheLookUpIsHidden) {
  std::string program = "pgbraid", flag = "--auth-password", value = "geheim";
  std::string joined = "--auth-password=geheim";
  char* arguments[] = {program.data(), flag.data(), value.data(), joined.data()};
  HideSecrets(4, arguments);
  EXPECT_EQ(value, "******");
  EXPECT_EQ(joined, "--auth-password=******");
}

}  // namespace
}  // namespace config
