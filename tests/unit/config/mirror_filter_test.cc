#include "config/mirror_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/load.h"
#include "config/reload.h"
#include "config/server_url.h"

namespace config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

absl::StatusOr<ParsedCommandLine> LoadWith(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"pgbraid", "-l", ":6432", "-p", "host=10.0.0.1"});
  return Load(static_cast<int>(arguments.size()), arguments.data(), {});
}

Config Loaded(std::vector<const char*> arguments) {
  const auto parsed = LoadWith(std::move(arguments));
  EXPECT_TRUE(parsed.ok()) << base::Message(parsed.status());
  return parsed.ok() ? parsed->config : Config{};
}

std::string ErrorOf(std::vector<const char*> arguments) {
  const auto parsed = LoadWith(std::move(arguments));
  EXPECT_FALSE(parsed.ok());
  return std::string(base::Message(parsed.status()));
}

class File {
 public:
  explicit File(std::string_view text) : path_(testing::TempDir() + "pgbraid_filter_test.toml") {
    std::ofstream(path_) << text;
  }
  ~File() { std::remove(path_.c_str()); }
  const char* path() const { return path_.c_str(); }

 private:
  const std::string path_;
};

constexpr const char* kMirror = "-mpostgres://u@a/d";

MirrorMode ModeWith(std::vector<const char*> arguments) {
  arguments.push_back(kMirror);
  return FilterOf(Loaded(std::move(arguments)), 0).mode;
}

TEST(MirrorFilter, EachFlagOfFrenzysIsAMode) {
  EXPECT_EQ(ModeWith({}), MirrorMode::kWrites);
  EXPECT_EQ(ModeWith({"--mirror-all-queries"}), MirrorMode::kAll);
  EXPECT_EQ(ModeWith({"--mirror-select-queries"}), MirrorMode::kReads);
  EXPECT_EQ(ModeWith({"--mirror-ddl-only"}), MirrorMode::kDdl);
  EXPECT_EQ(ModeWith({"--mirror-dml-only"}), MirrorMode::kDml);
  EXPECT_EQ(ModeWith({"--mirror-filter", "writes+reads"}), MirrorMode::kWritesAndReads);
  EXPECT_EQ(ModeWith({"--mirror-ddl-only=false", "--mirror-dml-only"}), MirrorMode::kDml);
}

TEST(MirrorFilter, OneLayerChoosesOnceAndALaterOneChoosesAnew) {
  EXPECT_EQ(ErrorOf({"--mirror-all-queries", "--mirror-dml-only"}),
            "--mirror-dml-only: contradicts --mirror-all-queries: both choose what is mirrored, so "
            "only one can be given");
  const File file("mirror_ddl_only = true\nmirror_exclude = ['a', 'b']\n");
  EXPECT_EQ(ModeWith({"--config", file.path()}), MirrorMode::kDdl);
  EXPECT_EQ(ModeWith({"--config", file.path(), "--mirror-filter", "all"}), MirrorMode::kAll);
  EXPECT_EQ(ModeWith({"--config", file.path(), "--mirror-ddl-only=false"}), MirrorMode::kWrites);
  const Config config = Loaded({"--config", file.path(), "--mirror-exclude", "c", kMirror});
  EXPECT_THAT(FilterOf(config, 0).exclude, ElementsAre("c"));
  const File twice("mirror_ddl_only = true\nmirror_filter = 'all'\n");
  EXPECT_THAT(ErrorOf({"--config", twice.path()}),
              HasSubstr(".toml:2:17: mirror_filter: contradicts "));
}

TEST(MirrorFilter, WhatIsAlwaysTrueSaysWhy) {
  Loaded({"--skip-rollback-mirror", "--skip-failed-tx-mirror=true", "--async-mirrors=true"});
  EXPECT_EQ(ErrorOf({"--skip-rollback-mirror=false"}),
            "--skip-rollback-mirror: is always true: a mirror never gets what the primary did not "
            "commit");
  EXPECT_THAT(ErrorOf({"--skip-failed-tx-mirror=no"}), StartsWith("--skip-failed-tx-mirror: "));
  EXPECT_FALSE(Loaded({}).mirror_block);
  EXPECT_TRUE(Loaded({"--async-mirrors=false"}).mirror_block);
}

TEST(MirrorFilter, MirrorsHaveTheirOwnFromTheFile) {
  const File file(
      "mirror_exposure = 0.5\nmirror_include = 'common'\n"
      "[[mirror]]\nurl = 'postgres://u@a/d'\nfilter = 'reads'\nexposure = 1\n"
      "include = ['x', 'y']\nexclude = 'z'\n"
      "[[mirror]]\nurl = 'postgres://u@b/d'\nexposure = 0.25\n");
  const Config config = Loaded({"--config", file.path()});
  const MirrorFilter first = FilterOf(config, 0);
  EXPECT_EQ(first.mode, MirrorMode::kReads);
  EXPECT_EQ(first.exposure, 1);
  EXPECT_THAT(first.include, ElementsAre("x", "y"));
  EXPECT_THAT(first.exclude, ElementsAre("z"));
  const MirrorFilter second = FilterOf(config, 1);
  EXPECT_EQ(second.mode, MirrorMode::kWrites);
  EXPECT_EQ(second.exposure, 0.25);
  EXPECT_THAT(second.include, ElementsAre("common"));
  EXPECT_THAT(Describe(config), HasSubstr(" mirror_include=\"common\" mirror_exposure=0.5 "));
}

TEST(MirrorFilter, OptionsOfAUrlAreShownAsTheyAreRead) {
  const auto server = ParseServer(
      "postgres://u@h/d?filter=writes%2Breads&exposure=0.1&include=a%26b&include=c"
      "&exclude=%5Bd%5D");
  ASSERT_TRUE(server.ok()) << base::Message(server.status());
  EXPECT_THAT(server->mirror.include, ElementsAre("a&b", "c"));
  const auto again = ParseServer(server->Display());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->mirror, server->mirror);
  EXPECT_TRUE(ParseServer("postgres://u@h/d?filter=writes+reads").ok());
}

TEST(MirrorFilter, GeneratedValuesAreToleratedUnlessItIsSaidOtherwise) {
  EXPECT_EQ(GeneratedOf(Loaded({kMirror}), Loaded({kMirror}).mirrors[0]), Generated::kTolerate);
  const File file(
      "mirror_generated = 'pin'\n[[mirror]]\nurl = 'postgres://u@a/d'\n"
      "[[mirror]]\nurl = 'postgres://u@b/d'\ngenerated = 'off'\n"
      "[[mirror]]\nurl = 'postgres://u@c/d?generated=tolerate'\n");
  const Config config = Loaded({"--config", file.path()});
  EXPECT_EQ(GeneratedOf(config, config.mirrors[0]), Generated::kPin);
  EXPECT_EQ(GeneratedOf(config, config.mirrors[1]), Generated::kOff);
  EXPECT_EQ(GeneratedOf(config, config.mirrors[2]), Generated::kTolerate);
  EXPECT_THAT(Describe(config), HasSubstr(" mirror_generated=pin"));
  EXPECT_THAT(config.mirrors[2].Display(), HasSubstr("?generated=tolerate"));
  EXPECT_THAT(ErrorOf({kMirror, "--mirror-generated", "pins"}),
              StartsWith("--mirror-generated: is not one of tolerate, pin, off"));
  EXPECT_THAT(FixedChanges(Loaded({kMirror}), Loaded({kMirror, "--mirror-generated", "pin"})),
              ElementsAre("mirror_generated"));
}

TEST(MirrorFilter, MistakesAreNamedByFileLineAndKey) {
  struct Row {
    const char* table;
    const char* error;
  };
  constexpr Row kRows[] = {
      {"include = 'a('", ":5:11: mirror.include: is no regular expression of RE2: missing )"},
      {"exclude = ['a', '*']",
       ":5:17: mirror.exclude: is no regular expression of RE2: no argument for repetition "
       "operator"},
      {"include = ''", ":5:11: mirror.include: is empty, and would match everything"},
      {"filter = 'write'",
       ":5:10: mirror.filter: is not one of writes, all, reads, ddl, dml, writes+reads; did you "
       "mean \"writes\"?"},
      {"exposure = 2", ":5:12: mirror.exposure: is not a share of transactions from 0 to 1, such "
                       "as 0.1"},
      {"exposure = -0.5", ":5:12: mirror.exposure: is not a share of transactions from 0 to 1, "
                          "such as 0.1"},
      {"exposure = true", ":5:12: mirror.exposure: wants a number from 0 to 1, not a boolean"},
      {"include = 3", ":5:11: mirror.include: wants a string or an array of strings, not an "
                      "integer"},
      {"include = ['a', 3]", ":5:11: mirror.include: wants a string or an array of strings, not "
                             "an array"},
      {"filer = 'all'", ":5:1: unknown key \"filer\"; did you mean \"filter\"?"},
  };
  for (const Row& row : kRows) {
    const File file("# one\n# two\n[[mirror]]\nurl = 'postgres://u@a/d'\n" +
                    std::string(row.table) + "\n");
    EXPECT_EQ(ErrorOf({"--config", file.path()}), file.path() + std::string(row.error))
        << row.table;
  }
  EXPECT_EQ(ErrorOf({"--mirror-exclude", "[a"}),
            "--mirror-exclude: is no regular expression of RE2: missing ]");
  EXPECT_EQ(ErrorOf({"--mirror-exposure", "nan"}),
            "--mirror-exposure: is not a share of transactions from 0 to 1, such as 0.1");
  EXPECT_EQ(ErrorOf({"--writing-functions", "a.b.c"}),
            "--writing-functions: \"a.b.c\" is no name of a function; write NAME or SCHEMA.NAME, "
            "as in SQL");
  EXPECT_EQ(ErrorOf({"-m", "postgres://u@a/d?filter=canary"}),
            "--mirror: the filter is not one of writes, all, reads, ddl, dml, writes+reads");
}

TEST(MirrorFilter, OnlyMirrorsHaveOne) {
  const File file("[[service]]\nname = 's'\nprimary = 'postgres://h?exposure=0.5'\n");
  EXPECT_THAT(ErrorOf({"--config", file.path()}),
              HasSubstr("filter, exposure, generated, include and exclude are options of a "
                        "mirror"));
  const File table("[[service]]\nname = 's'\nprimary = {url = 'host=h', filter = 'all'}\n");
  EXPECT_THAT(ErrorOf({"--config", table.path()}), HasSubstr("unknown key \"filter\""));
}

TEST(MirrorFilter, AtMost32Differ) {
  const auto mirrors = [](size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) {
      text += "[[mirror]]\nurl = 'postgres://u@m" + std::to_string(i) + "/d'\nexposure = " +
              (i < 33 ? "0." + std::to_string(100 + i) : std::string("0.1")) + "\n";
    }
    return text;
  };
  const File good(mirrors(32));
  Loaded({"--config", good.path()});
  const File bad(mirrors(33));
  EXPECT_THAT(ErrorOf({"--config", bad.path()}), HasSubstr("at most 32 mirrors may differ"));
}

TEST(MirrorFilter, AReloadCannotChangeIt) {
  const Config before = Loaded({kMirror});
  EXPECT_THAT(FixedChanges(before, Loaded({kMirror, "--mirror-ddl-only"})),
              ElementsAre("mirror_filter"));
  EXPECT_THAT(FixedChanges(before, Loaded({kMirror, "--mirror-include", "a", "--mirror-exclude",
                                           "b", "--mirror-exposure", "0.5"})),
              ElementsAre("mirror_include", "mirror_exclude", "mirror_exposure"));
  EXPECT_THAT(FixedChanges(before, Loaded({"-mpostgres://u@a/d?filter=all"})),
              ElementsAre("mirror"));
  EXPECT_THAT(FixedChanges(before, Loaded({kMirror, "--writing-functions", "f",
                                           "--skip-mirror-tx-locks", "--async-mirrors=false"})),
              ElementsAre("writing_functions", "skip_mirror_tx_locks", "async_mirrors"));
}

TEST(MirrorPatterns, AreFoundAnywhereAndOverLines) {
  MirrorFilter filter;
  filter.include = {"from\\s+orders", "(?i)items"};
  filter.exclude = {"delete.*all"};
  const MirrorPatterns patterns({MirrorFilter(), filter});
  const auto said = [&](std::string_view text) {
    const uint64_t marks = patterns.Mark(text);
    EXPECT_FALSE(MirrorPatterns::Excluded(marks, 0) || MirrorPatterns::NotIncluded(marks, 0));
    return std::string(MirrorPatterns::Excluded(marks, 1) ? "excluded" : "") +
           (MirrorPatterns::NotIncluded(marks, 1) ? "missing" : "");
  };
  EXPECT_EQ(said("delete from orders"), "");
  EXPECT_EQ(said("delete FROM orders"), "missing");
  EXPECT_EQ(said("insert into ITEMS"), "");
  EXPECT_EQ(said("delete\nfrom orders\nall"), "excluded");
  EXPECT_EQ(said("delete all"), "excludedmissing");
  EXPECT_EQ(said(std::string(kPatternTextMax, ' ') + "items"), "missing");
}

}  // namespace
}  // namespace config
