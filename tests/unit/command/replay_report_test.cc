#include "command/replay_report.h"

#include <gtest/gtest.h>

#include <string>

#include "command/replay_progress.h"

namespace command {
namespace {

using mirror::Cause;
using mirror::UnitOutcome;

class ReplayReportTest : public testing::Test {
 protected:
  void Tell(UnitOutcome outcome) {
    outcome.unit = &unit_;
    report_.OnOutcome(outcome);
  }
  bool Says(std::string_view text) const {
    return report_.AsText(true).find(text) != std::string::npos;
  }
  bool JsonSays(std::string_view text) const {
    return report_.AsJson(true).find(text) != std::string::npos;
  }

  mirror::Unit unit_;
  ReplayReport report_;
};

TEST_F(ReplayReportTest, AllAsItWas) {
  report_.units = 2;
  Tell({.took = absl::Microseconds(300)});
  EXPECT_FALSE(report_.same()) << "one is not decided yet";
  Tell({.took = absl::Microseconds(900)});
  EXPECT_TRUE(report_.same() && report_.whole());
  EXPECT_TRUE(Says("applied                             2\n"));
  EXPECT_TRUE(Says("512 us                      0           1\n")) << report_.AsText(true);
  EXPECT_TRUE(Says("99 % below, us              0        1024\n")) << report_.AsText(true);
  EXPECT_TRUE(JsonSays("\"replay_below_us\":{\"p50\":512,\"p90\":1024,\"p99\":1024}"));
}

TEST_F(ReplayReportTest, DifferencesByTagAndState) {
  report_.units = 5;
  Tell({.differs = true, .was = "UPDATE 1", .is = "UPDATE 0"});
  Tell({.differs = true, .was = "UPDATE 1", .is = "UPDATE 0"});
  Tell({.refused = true, .was = "INSERT 0 1", .is = "23505"});
  Tell({.refused = true, .was = "COMMIT", .is = "23505"});
  Tell({.dropped = Cause::kOutcomeUnknown});
  EXPECT_FALSE(report_.same());
  EXPECT_EQ(report_.done(), 5U);
  EXPECT_TRUE(Says("  UPDATE 1 -> UPDATE 0              2\n")) << report_.AsText(true);
  EXPECT_TRUE(Says("  INSERT 0 1 -> 23505               1\n"));
  EXPECT_TRUE(Says("  23505                             2\n"));
  EXPECT_TRUE(Says("  outcome_unknown                   1\n"));
  EXPECT_TRUE(JsonSays("\"sqlstates\":{\"23505\":2}")) << report_.AsJson(true);
  EXPECT_TRUE(JsonSays("{\"was\":\"COMMIT\",\"is\":\"23505\",\"transactions\":1}"));
}

TEST_F(ReplayReportTest, KindsOfDifferencesAreBounded) {
  for (size_t i = 0; i < ReplayReport::kDifferencesMax + 5; ++i) {
    Tell({.differs = true, .was = "UPDATE 1", .is = "UPDATE " + std::to_string(i)});
  }
  EXPECT_TRUE(Says("  others                            5\n"));
  EXPECT_TRUE(JsonSays("\"other_differences\":5"));
}

TEST_F(ReplayReportTest, WhatAServerSaysDoesNotMoveTheCursor) {
  Tell({.refused = true, .was = "x\x1b[2J", .is = "\x9b"});
  EXPECT_TRUE(Says("  x?[2J -> ?"));
}

TEST_F(ReplayReportTest, ACaptureWithHolesIsNotWhole) {
  report_.damage.emplace_back("log 0 at byte 7");
  EXPECT_FALSE(report_.whole());
  EXPECT_TRUE(Says("damaged: log 0 at byte 7\n"));
  EXPECT_TRUE(JsonSays("\"damage\":[\"log 0 at byte 7\"]"));
}

TEST_F(ReplayReportTest, Progress) {
  report_.units = 8;
  report_.bytes = 4 << 20;
  unit_.bytes = 1 << 20;
  Tell({});
  Tell({.refused = true, .was = "INSERT 0 1", .is = "23505"});
  EXPECT_EQ(ProgressLine(report_, 2, absl::Milliseconds(500)),
            "replay: 2 of 8 transactions (25 %), 2.0 of 4.0 MiB, 4/s; 0 different, 1 refused, "
            "0 not decided");
}

}  // namespace
}  // namespace command
