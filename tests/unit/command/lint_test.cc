#include "command/lint.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace command {
namespace {

// A file of the test's, gone with it.
class Script {
 public:
  explicit Script(std::string_view text) : path_(testing::TempDir() + "lint_test.sql") {
    std::ofstream(path_) << text;
  }
  ~Script() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

Outcome Said(const std::vector<std::string_view>& arguments) { return Lint(arguments); }

TEST(Lint, NamesEachDistinctStatementOnce) {
  const Script script(
      "\\set x 1\n"
      "INSERT INTO t (a) VALUES (1);\n"
      "INSERT INTO t (a, b) VALUES ('secret', now());\n"
      "INSERT INTO t (a, b) VALUES ('other', now());\n"
      "COPY t FROM stdin;\nnow()\n\\.\n"
      "SELECT f(1);\n");
  const Outcome outcome = Said({script.path()});
  EXPECT_EQ(outcome.code, kExitFound);
  EXPECT_EQ(outcome.err, "");
  const std::string& p = script.path();
  EXPECT_EQ(
      outcome.out,
      p +
          ":3: INSERT INTO t(a, b) VALUES($, now()) (2 times)\n"
          "  differs [clock] reads the clock (now): the mirror runs the statement later and reads "
          "its own clock\n"
          "    do: pass the time as a parameter, from the application\n" +
          p +
          ":8: SELECT f($)\n"
          "  may differ [unknown-function] calls a function that is not PostgreSQL's own (f): its "
          "text does not tell what it reads, and a SELECT of it is not mirrored if it is not "
          "known to write\n"
          "    do: look at its body; add it to writing_functions if it writes\n"
          "5 statements read, 2 distinct ones with 2 findings\n");
}

TEST(Lint, KnowsTheFunctionsThatItIsTold) {
  const Script script("SELECT f(1); SELECT app.g(2);");
  EXPECT_EQ(Said({script.path(), "--writing-functions", "f,app.g"}).code, 0);
  EXPECT_EQ(Said({"--writing-functions=f", script.path()}).code, kExitFound);
}

TEST(Lint, PrintsJson) {
  const Script script("INSERT INTO t (a) VALUES (random());");
  const Outcome outcome = Said({"--format", "json", script.path()});
  EXPECT_EQ(outcome.code, kExitFound);
  const std::string_view expected =
      R"j({"statements":1,"findings":[{"line":1,"times":1,)j"
      R"j("statement":"INSERT INTO t(a) VALUES(random())","rule":"random","name":"random",)j"
      R"j("severity":"differs","what":"asks for a random value",)j"
      R"j("why":"each server draws its own",)j"
      R"j("remedy":"draw it in the application and pass it as a parameter"}]})j"
      "\n";
  EXPECT_EQ(outcome.out, expected);
  const Script clean("SELECT 1");
  EXPECT_EQ(Said({"--format=json", clean.path()}).out, "{\"statements\":1,\"findings\":[]}\n");
}

TEST(Lint, ExitStatusTellsWhatHappened) {
  const Script clean("UPDATE t SET a = 1 WHERE id = 2;");
  EXPECT_EQ(Said({clean.path()}).code, 0);
  EXPECT_EQ(Said({"--help"}).code, 0);
  EXPECT_NE(Said({"--help"}).out.find("Examples:"), std::string::npos);
  for (const std::vector<std::string_view>& wrong :
       std::vector<std::vector<std::string_view>>{{},
                                                  {"/nowhere/to/be/found.sql"},
                                                  {"--format", "xml", clean.path()},
                                                  {"--format"},
                                                  {"--writing-functions", "a b", clean.path()},
                                                  {"--frobnicate", clean.path()},
                                                  {clean.path(), clean.path()}}) {
    const Outcome outcome = Said(wrong);
    EXPECT_EQ(outcome.code, kExitFailed);
    EXPECT_TRUE(outcome.err.starts_with("pgbraid: ")) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
}

}  // namespace
}  // namespace command
