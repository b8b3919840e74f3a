#include "admin/pages.h"

#include <string>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "unit/admin/fake_source.h"

namespace admin {
namespace {

class Pages : public testing::Test {
 protected:
  http::Response Ask(const std::string& method, const std::string& target) {
    http::Request request;
    request.method = method;
    request.target = target;
    request.keep_alive = true;
    return Answer(request, source_, metrics_).response;
  }
  // Value of the sample that starts with `name` and a space, in /metrics.
  std::string Sample(const std::string& name) {
    const std::string text = "\n" + Ask("GET", "/metrics").body;
    const size_t at = text.find("\n" + name + " ");
    EXPECT_NE(at, std::string::npos) << name;
    const size_t from = at + name.size() + 2;
    return at == std::string::npos ? "" : text.substr(from, text.find('\n', from) - from);
  }

  FakeSource source_;
  AdminMetrics metrics_;
};

TEST_F(Pages, MetricsTellTheSourceTheProcessAndTheProgram) {
  source_.things.Add(5);
  metrics_.rejected.Add(2);
  const http::Response response = Ask("GET", "/metrics");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_TRUE(response.body.ends_with("\n# EOF\n"));
  EXPECT_EQ(Sample("fake_things_total"), "5");
  EXPECT_EQ(Sample("pgbraid_admin_rejected_total"), "2");
  EXPECT_EQ(Sample("pgbraid_build_info{version=\"1.2.3\"}"), "1");
  EXPECT_EQ(Sample("pgbraid_io_engine_info{engine=\"simulated\"}"), "1");
  EXPECT_EQ(Sample("pgbraid_server_shards"), "3");
  EXPECT_EQ(Sample("pgbraid_server_ready"), "1");
  EXPECT_GT(std::stod(Sample("process_resident_memory_bytes")), 1e6);
  EXPECT_GE(std::stod(Sample("process_open_fds")), 3);
  EXPECT_GT(std::stod(Sample("process_max_fds")), 3);
  EXPECT_GE(std::stod(Sample("process_cpu_seconds_total")), 0);
}

TEST_F(Pages, TheStartTimeIsInThePast) {
  const double started = std::stod(Sample("process_start_time_seconds"));
  const double now = absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch());
  EXPECT_LE(started, now + 1);
  EXPECT_GT(started, now - 86'400);
}

TEST_F(Pages, ReadyzFollowsTheState) {
  EXPECT_EQ(Ask("GET", "/readyz").status, 200);
  source_.state = Readiness::kStarting;
  EXPECT_EQ(Ask("GET", "/readyz").status, 503);
  EXPECT_EQ(Ask("GET", "/readyz").body, "starting\n");
  source_.state = Readiness::kDraining;
  EXPECT_EQ(Ask("GET", "/readyz").status, 503);
  EXPECT_EQ(Ask("GET", "/readyz").body, "draining\n");
  EXPECT_EQ(Ask("GET", "/livez").status, 200);
  EXPECT_EQ(Sample("pgbraid_server_ready"), "0");
}

TEST_F(Pages, OtherPathsAreNotFound) {
  for (const char* target : {"/", "/metrics/", "/Metrics", "//metrics", "/metrics%00", "*", "x"}) {
    EXPECT_EQ(Ask("GET", target).status, 404) << target;
  }
  EXPECT_EQ(Ask("GET", "/metrics?x=y").status, 200);
}

TEST_F(Pages, OtherMethodsAreRefused) {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X"}) {
    const http::Response response = Ask(method, "/metrics");
    EXPECT_EQ(response.status, 405) << method;
    EXPECT_EQ(response.allow, "GET, HEAD");
  }
}

TEST_F(Pages, HeadIsAnsweredWithoutBody) {
  EXPECT_TRUE(Ask("HEAD", "/metrics").head_only);
  EXPECT_EQ(Ask("HEAD", "/metrics").status, 200);
  EXPECT_FALSE(Ask("GET", "/metrics").head_only);
}

}  // namespace
}  // namespace admin
