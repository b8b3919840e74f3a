#include "admin/open_metrics.h"

#include "base/log.h"
#include "gtest/gtest.h"

namespace admin {
namespace {

using Kind = OpenMetricsText::Kind;

TEST(OpenMetricsText, OfNothingIsOnlyItsEnd) { EXPECT_EQ(OpenMetricsText().Text(), "# EOF\n"); }

TEST(OpenMetricsText, AddsShardsUpAndTellsEachFamilyOnce) {
  base::Counter first;
  base::Counter second;
  base::Gauge open;
  first.Add(3);
  second.Add(4);
  open.Add(-2);
  OpenMetricsText text;
  text.Add("pgbraid_x_things", "Things.", R"(shard="0",mirror="m")", first);
  text.Add("pgbraid_x_open", "Open.", R"(shard="0")", open);
  text.Add("pgbraid_x_things", "Things.", R"(shard="1",mirror="m")", second);
  text.Add("pgbraid_x_things", "Things.", R"(shard="1",mirror="n")", second);
  text.Add("pgbraid_x_open", "Open.", R"(shard="1")", open);
  EXPECT_EQ(text.Text(),
            "# TYPE pgbraid_x_things counter\n"
            "# HELP pgbraid_x_things Things.\n"
            "pgbraid_x_things_total{mirror=\"m\"} 7\n"
            "pgbraid_x_things_total{mirror=\"n\"} 4\n"
            "# TYPE pgbraid_x_open gauge\n"
            "# HELP pgbraid_x_open Open.\n"
            "pgbraid_x_open -4\n"
            "# EOF\n");
}

TEST(OpenMetricsText, WritesNumbersAndInfo) {
  OpenMetricsText text;
  text.AddInfo("pgbraid_x_build_info", "Built.", Label("version", "1.2"));
  text.AddNumber("process_cpu_seconds", "CPU.", Kind::kCounter, 1.25);
  text.AddNumber("process_start_time_seconds", "Start.", Kind::kGauge, 1795198070.785);
  text.AddNumber("process_open_fds", "Open.", Kind::kGauge, 13);
  EXPECT_EQ(text.Text(),
            "# TYPE pgbraid_x_build info\n"
            "# HELP pgbraid_x_build Built.\n"
            "pgbraid_x_build_info{version=\"1.2\"} 1\n"
            "# TYPE process_cpu_seconds counter\n"
            "# HELP process_cpu_seconds CPU.\n"
            "process_cpu_seconds_total 1.25\n"
            "# TYPE process_start_time_seconds gauge\n"
            "# HELP process_start_time_seconds Start.\n"
            "process_start_time_seconds 1795198070.785\n"
            "# TYPE process_open_fds gauge\n"
            "# HELP process_open_fds Open.\n"
            "process_open_fds 13\n"
            "# EOF\n");
}

TEST(OpenMetricsText, HistogramsAreCumulative) {
  base::Histogram first;
  base::Histogram second;
  first.Record(absl::Microseconds(1));
  first.Record(absl::Microseconds(3));
  second.Record(absl::Microseconds(3));
  second.Record(absl::Seconds(1000));
  OpenMetricsText text;
  text.Add("pgbraid_x_seconds", "Time.", R"(shard="0",a="b")", first);
  text.Add("pgbraid_x_seconds", "Time.", R"(shard="1",a="b")", second);
  const std::string all = text.Text();
  EXPECT_TRUE(
      all.starts_with("# TYPE pgbraid_x_seconds histogram\n"
                      "# HELP pgbraid_x_seconds Time.\n"
                      "pgbraid_x_seconds_bucket{a=\"b\",le=\"1e-06\"} 0\n"
                      "pgbraid_x_seconds_bucket{a=\"b\",le=\"2e-06\"} 1\n"
                      "pgbraid_x_seconds_bucket{a=\"b\",le=\"4e-06\"} 3\n"
                      "pgbraid_x_seconds_bucket{a=\"b\",le=\"8e-06\"} 3\n"))
      << all;
  EXPECT_TRUE(
      all.ends_with("pgbraid_x_seconds_bucket{a=\"b\",le=\"67.108864\"} 3\n"
                    "pgbraid_x_seconds_bucket{a=\"b\",le=\"+Inf\"} 4\n"
                    "pgbraid_x_seconds_count{a=\"b\"} 4\n"
                    "pgbraid_x_seconds_sum{a=\"b\"} 1000.000007\n"
                    "# EOF\n"))
      << all;
}

TEST(OpenMetricsText, EscapesHelpAndLabels) {
  EXPECT_EQ(Label("a", "x\"y\\z\nw"), R"(a="x\"y\\z\nw")");
  base::Counter counter;
  OpenMetricsText text;
  text.Add("pgbraid_x_y", "a \"b\" \\ c\nd", Label("e", "\"}\n"), counter);
  EXPECT_EQ(text.Text(),
            "# TYPE pgbraid_x_y counter\n"
            "# HELP pgbraid_x_y a \\\"b\\\" \\\\ c\\nd\n"
            "pgbraid_x_y_total{e=\"\\\"}\\n\"} 0\n"
            "# EOF\n");
}

TEST(OpenMetricsText, LeavesOutWhatWouldBreakTheText) {
  base::Counter counter;
  base::Gauge gauge;
  OpenMetricsText text;
  const uint64_t before = base::Surprises();
  text.Add("pgbraid_x_y", "Help.", "", counter);
  text.Add("pgbraid_x_y", "Help.", "", gauge);
  text.Add("pgbraid_x_z", "Help.", "a=\"b", counter);
  EXPECT_EQ(base::Surprises(), before + 2);
  EXPECT_EQ(text.Text(),
            "# TYPE pgbraid_x_y counter\n"
            "# HELP pgbraid_x_y Help.\n"
            "pgbraid_x_y_total 0\n"
            "# EOF\n");
}

}  // namespace
}  // namespace admin
