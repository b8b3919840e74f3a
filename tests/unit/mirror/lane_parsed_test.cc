// What a client has prepared by name, on a mirror's connection: parsed once for as long as it is
// sure to mean the same, and anew where it may not, or was refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/mirror/lane_fixture.h"

namespace mirror {
namespace {

using support::CString;
using support::Frame;

constexpr char kInsert[] = "INSERT INTO t VALUES (1)";

class LaneParsedTest : public LaneTest {
 protected:
  void Send(const std::string& frame) { Session().OnRequest(++request_, PieceOf(frame)); }
  void Prepare(const std::string& name, const std::string& text = kInsert) {
    Send(Frame('P', CString(name) + CString(text) + std::string(2, '\0')));
  }
  // A transaction of its own; returns when its fate is known.
  void Run(const std::string& name) {
    Send(Frame('B', CString("") + CString(name) + std::string(6, '\0')));
    Send(Frame('E', CString("") + std::string(4, '\0')));
    Answer(request_, "INSERT 0 1", 'I', 0);
    Settle();
  }
  void RunSql(const std::string& text, const std::string& tag) {
    Commit(text, {tag});
    Settle();
  }
  void Settle() {
    EXPECT_TRUE(Until([this] { return Counts().ends_with(" 0"); }));
  }
  int parses() { return mirror_.parses[kInsert]; }
};

TEST_F(LaneParsedTest, ANamedStatementIsParsedOnce) {
  Start();
  Prepare("s");
  for (int i = 0; i < 5; ++i) {
    Run("s");
  }
  EXPECT_EQ(Counts(), "5 5 0 0 0");
  EXPECT_EQ(parses(), 1);
}

TEST_F(LaneParsedTest, TheUnnamedOneEachTime) {
  Start();
  Prepare("");
  for (int i = 0; i < 5; ++i) {
    Run("");
  }
  EXPECT_EQ(Counts(), "5 5 0 0 0");
  EXPECT_EQ(parses(), 5);
}

TEST_F(LaneParsedTest, OneTextOfManyNamesIsOneStatement) {
  Start();
  for (int i = 0; i < 5; ++i) {
    Prepare("s" + std::to_string(i));
    Run("s" + std::to_string(i));
  }
  EXPECT_EQ(parses(), 1);
}

TEST_F(LaneParsedTest, AnewWhereItMayMeanSomethingElse) {
  struct Case {
    const char* text;
    const char* tag;
  };
  constexpr Case kCases[] = {
      {"SET search_path = a", "SET"},
      {"CREATE TABLE u()", "CREATE TABLE"},
      {"CREATE TEMP TABLE t()", "CREATE TABLE"},
      {"DO $$BEGIN END$$", "DO"},
      {"DEALLOCATE ALL", "DEALLOCATE ALL"},
      {"DISCARD ALL", "DISCARD ALL"},
  };
  Start();
  int number = 0;
  for (const Case& one : kCases) {
    const std::string name = "s" + std::to_string(++number);
    Prepare(name);
    Run(name);
    const int before = parses();
    RunSql(one.text, one.tag);
    Prepare(name + "again");
    Run(name + "again");
    Run(name + "again");
    EXPECT_EQ(parses(), before + 1) << one.text;
  }
  EXPECT_TRUE(Counts().ends_with(" 0 0 0")) << Counts();
}

TEST_F(LaneParsedTest, WhatIsRefusedIsParsedAnewBeforeThatIsAVerdict) {
  std::string sqlstate;
  mirror_.answer = [&sqlstate](const std::string& text) {
    return text == kInsert ? std::exchange(sqlstate, "") : "";
  };
  Start();
  Prepare("s");
  Run("s");
  sqlstate = "0A000";  // cached plan must not change result type
  Run("s");
  EXPECT_EQ(Counts(), "2 2 0 0 0");
  EXPECT_EQ(parses(), 2);
  Run("s");
  EXPECT_EQ(parses(), 3);  // what ran anew went by the unnamed one
}

TEST_F(LaneParsedTest, WhatReliesOnNothingIsRefusedAtOnce) {
  Start();
  mirror_.answer = [](const std::string& text) { return text == kInsert ? "23505" : ""; };
  Prepare("");
  Run("");
  EXPECT_EQ(Counts(), "1 0 1 0 0");
  EXPECT_EQ(mirror_.heard.size(), 1u);
}

TEST_F(LaneParsedTest, TwiceIsAVerdict) {
  Start();
  Prepare("s");
  Run("s");
  mirror_.answer = [](const std::string& text) { return text == kInsert ? "23505" : ""; };
  Run("s");
  EXPECT_EQ(Counts(), "2 1 1 0 0");
  EXPECT_EQ(mirror_.heard.size(), 3u);
}

TEST_F(LaneParsedTest, WhatAFunctionHasDeallocatedIsParsedAgain) {
  Start();
  Prepare("s");
  Run("s");
  mirror_.ForgetStatements();
  Run("s");
  Run("s");
  EXPECT_EQ(Counts(), "3 3 0 0 0");
}

TEST_F(LaneParsedTest, AnErrorBeforeItLeavesItUnparsed) {
  std::string sqlstate = "40001";
  mirror_.answer = [&sqlstate](const std::string& text) {
    return text == "UPDATE t" ? std::exchange(sqlstate, "") : "";
  };
  mirror_.tag = [](const std::string& text) { return text == "UPDATE t" ? "UPDATE 1" : ""; };
  Start();
  Prepare("s");
  Ask("BEGIN", "BEGIN", 0);
  Ask("UPDATE t", "UPDATE 1", 0);
  Send(Frame('B', CString("") + CString("s") + std::string(6, '\0')));
  Send(Frame('E', CString("") + std::string(4, '\0')));
  Answer(request_, "INSERT 0 1", 'T', 0);
  Ask("COMMIT", "COMMIT", 0, 'I');
  EXPECT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(parses(), 1);
  EXPECT_EQ(std::count(mirror_.heard.begin(), mirror_.heard.end(), "BEGIN"), 2);
}

TEST_F(LaneParsedTest, MoreThanAConnectionKeeps) {
  Start();
  const size_t count = Parsed::kMax + 10;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i < count; ++i) {
      const std::string number = std::to_string(i);
      Prepare("s" + number, "INSERT INTO t VALUES (" + number + ")");
      Run("s" + number);
    }
  }
  EXPECT_EQ(Counts(), "276 276 0 0 0");
  EXPECT_EQ(mirror_.most_statements, Parsed::kMax);
}

}  // namespace
}  // namespace mirror
