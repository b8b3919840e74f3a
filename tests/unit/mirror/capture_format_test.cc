#include "mirror/capture_format.h"

#include <gtest/gtest.h>

#include <string>

namespace mirror {
namespace {

Unit SmallUnit() {
  Unit unit;
  Step step;
  step.text = base::Slice::CopyOf("INSERT INTO t VALUES (1)");
  step.tag = "INSERT 0 1";
  step.sent = base::Instant(1000);
  step.answered = base::Instant(4000);
  unit.steps.push_back(step);
  unit.place.stamp = 7;
  unit.place.acked = 9;
  unit.after = 5;
  return unit;
}

std::string Three() {
  std::string unit;
  AppendCapturedUnit(&unit, 3, SmallUnit(), absl::FromUnixMicros(1234567));
  return unit;
}

TEST(CaptureFormat, ASessionComesBack) {
  std::string record;
  AppendSession(&record, 42, {"ann", "shop", {{"application_name", "till"}, {"options", ""}}});
  Captured captured;
  ASSERT_EQ(ParseCaptured(record, &captured), CapturedResult::kGood);
  EXPECT_EQ(captured.kind, Captured::Kind::kSession);
  EXPECT_EQ(captured.session, 42U);
  EXPECT_EQ(captured.facts.user, "ann");
  EXPECT_EQ(captured.facts.database, "shop");
  ASSERT_EQ(captured.facts.parameters.size(), 2U);
  EXPECT_EQ(captured.facts.parameters[0].second, "till");
}

TEST(CaptureFormat, AUnitComesBackWithItsTimes) {
  Captured captured;
  ASSERT_EQ(ParseCaptured(Three(), &captured), CapturedResult::kGood);
  EXPECT_EQ(captured.kind, Captured::Kind::kUnit);
  EXPECT_EQ(captured.session, 3U);
  ASSERT_EQ(captured.unit.steps.size(), 1U);
  EXPECT_EQ(captured.unit.steps[0].text.view(), "INSERT INTO t VALUES (1)");
  EXPECT_EQ(captured.unit.steps[0].tag, "INSERT 0 1");
  EXPECT_EQ(captured.unit.place.stamp, 7U);
  EXPECT_EQ(captured.unit.after, 5U);
  EXPECT_EQ(captured.committed, absl::FromUnixMicros(1234567));
  EXPECT_EQ(captured.timing, std::vector<StepTiming>({{.sent = 1000, .took = 3000}}));
}

TEST(CaptureFormat, ALossComesBack) {
  std::string record;
  AppendLost(&record, 3, Cause::kTooLarge);
  Captured captured;
  ASSERT_EQ(ParseCaptured(record, &captured), CapturedResult::kGood);
  EXPECT_EQ(captured.kind, Captured::Kind::kLost);
  EXPECT_EQ(captured.cause, Cause::kTooLarge);
}

TEST(CaptureFormat, WhatIsCutOrLongerIsRefused) {
  std::string session;
  AppendSession(&session, 1, {"ann", "shop", {{"a", "b"}}});
  std::string lost;
  AppendLost(&lost, 1, Cause::kTooLarge);
  for (const std::string& whole : {Three(), session, lost}) {
    Captured captured;
    for (size_t length = 0; length < whole.size(); ++length) {
      EXPECT_EQ(ParseCaptured(whole.substr(0, length), &captured), CapturedResult::kDamaged)
          << length;
    }
    EXPECT_EQ(ParseCaptured(whole + "x", &captured), CapturedResult::kDamaged);
    std::string other = whole;
    other[1] = 2;
    EXPECT_EQ(ParseCaptured(other, &captured), CapturedResult::kOtherVersion);
    other = whole;
    other[0] = 'X';
    EXPECT_EQ(ParseCaptured(other, &captured), CapturedResult::kDamaged);
  }
}

TEST(CaptureFormat, CountsAreNotBelieved) {
  std::string record;
  AppendSession(&record, 1, {"", "", {}});
  record.replace(record.size() - 8, 8, 8, '\xff');  // the number of parameters
  Captured captured;
  EXPECT_EQ(ParseCaptured(record, &captured), CapturedResult::kDamaged);
  record = Three();
  record.replace(10, 8, 8, '\x7f');  // the number of steps
  EXPECT_EQ(ParseCaptured(record, &captured), CapturedResult::kDamaged);
}

TEST(CaptureFormat, ATimeBelowZeroIsRefused) {
  std::string record = Three();
  record[29] = '\xff';  // the last byte of how long the step took
  Captured captured;
  EXPECT_EQ(ParseCaptured(record, &captured), CapturedResult::kDamaged);
}

}  // namespace
}  // namespace mirror
