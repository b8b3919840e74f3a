#include "command/replay_plan.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace command {
namespace {

void Add(uint64_t session, uint64_t stamp, uint64_t acked, ReplayPlan* plan) {
  mirror::Captured captured;
  captured.kind = mirror::Captured::Kind::kUnit;
  captured.session = session;
  captured.unit.place.stamp = stamp;
  captured.unit.place.acked = acked;
  captured.timing.push_back({.sent = static_cast<int64_t>(acked) * 10, .took = 5});
  plan->Add(std::move(captured), {});
}

// "+3" takes a stamp, "5" offers a unit, "5-" gives back its stamp behind it, "." ends its session.
std::string Events(const ReplayPlan& plan) {
  std::string text;
  for (const ReplayPlan::Event& event : plan.events()) {
    text += (text.empty() ? "" : " ") + std::string(event.reserves ? "+" : "") +
            std::to_string(event.number) + (event.releases && !event.reserves ? "-" : "");
    text += !event.reserves && plan.units()[event.unit].last ? "." : "";
  }
  return text;
}

TEST(ReplayPlan, LogsOfSeveralShardsBecomeOneOrder) {
  ReplayPlan plan;
  Add(1, 2, 2, &plan);
  Add(1, 7, 7, &plan);
  Add(2, 3, 3, &plan);
  Add(2, 5, 5, &plan);
  plan.Finish();
  EXPECT_EQ(Events(plan), "2 3 5. 7.");
}

TEST(ReplayPlan, StampsAreTakenBeforeTheirUnits) {
  ReplayPlan plan;
  Add(1, 2, 6, &plan);  // a COMMIT that was forwarded at 2 and answered at 6
  Add(2, 4, 4, &plan);
  plan.Finish();
  EXPECT_EQ(Events(plan), "+2 4. 6-.");
}

TEST(ReplayPlan, AStampOfSeveralUnitsIsGivenBackBehindTheLast) {
  ReplayPlan plan;
  Add(1, 2, 3, &plan);
  Add(1, 2, 4, &plan);
  plan.Finish();
  EXPECT_EQ(Events(plan), "+2 3 4-.");
}

TEST(ReplayPlan, TimesAreThoseWithAnAnswerOwed) {
  ReplayPlan plan;
  mirror::Captured captured;
  captured.kind = mirror::Captured::Kind::kUnit;
  captured.timing = {{.sent = 0, .took = 0},       // pgbraid's own
                     {.sent = 100, .took = 30},    // a pipeline of two
                     {.sent = 110, .took = 50},
                     {.sent = 1000, .took = 5}};   // after a pause of the client
  plan.Add(std::move(captured), {});
  EXPECT_EQ(plan.units()[0].answered, 1005);
  EXPECT_EQ(plan.units()[0].busy, 65);
}

TEST(ReplayPlan, NumbersThatNobodyWroteDoNoHarm) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  ReplayPlan plan;
  mirror::Captured captured;
  captured.kind = mirror::Captured::Kind::kUnit;
  captured.unit.place.stamp = 9;
  captured.unit.place.acked = 4;
  captured.timing = {{.sent = kMost, .took = kMost}, {.sent = -kMost, .took = -kMost}};
  plan.Add(std::move(captured), {});
  plan.Finish();
  EXPECT_EQ(Events(plan), "4.");
  EXPECT_GT(plan.units()[0].answered, 0);
}

TEST(ReplayPlan, WhatUnitsClaimToWeighIsOneNumber) {
  ReplayPlan plan;
  for (int i = 0; i < 2; ++i) {
    mirror::Captured captured;
    captured.kind = mirror::Captured::Kind::kUnit;
    captured.unit.bytes = i == 0 ? 100 : std::numeric_limits<int64_t>::max();
    captured.unit.meets = i == 0;
    plan.Add(std::move(captured), {.log = 3, .bytes = 40, .segment = 1, .offset = 32});
  }
  EXPECT_EQ(plan.bytes(), 100 + ReplayPlan::kUnitBytesMax);
  EXPECT_EQ(plan.order_unknown(), 1U);
  EXPECT_EQ(plan.units()[0].place.log, 3U);
}

TEST(ReplayPlan, CountsWhatIsLacking) {
  ReplayPlan plan;
  mirror::Captured lost;
  lost.kind = mirror::Captured::Kind::kLost;
  plan.Add(std::move(lost), {});
  mirror::Captured session;
  session.session = 4;
  session.facts.user = "ann";
  plan.Add(std::move(session), {});
  plan.Finish();
  EXPECT_EQ(plan.lacking(), 1U);
  EXPECT_EQ(plan.sessions().at(4).user, "ann");
  EXPECT_TRUE(plan.events().empty());
}

}  // namespace
}  // namespace command
