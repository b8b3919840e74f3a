#include "admin/mirrors_page.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "admin/target.h"
#include "unit/admin/fake_source.h"

namespace admin {
namespace {

GapReport Gap(std::string table, std::string sqlstate, int64_t last) {
  GapReport gap;
  gap.table = std::move(table);
  gap.cause = sqlstate.empty() ? "timeout" : "refused";
  gap.sqlstate = std::move(sqlstate);
  gap.first = absl::FromUnixMillis(1769903999123);
  gap.last = absl::FromUnixMillis(last);
  gap.statements = 3;
  gap.transactions = 2;
  return gap;
}

class MirrorsPage : public testing::Test {
 protected:
  MirrorsPage() {
    MirrorReport mirror;
    mirror.name = "next.version";
    mirror.address = "10.0.0.6:5432";
    mirror.offered = 9;
    mirror.delivered = 4;
    mirror.refused = 1;
    mirror.dropped = {{"timeout", 2}, {"shutdown", 0}};
    mirror.queued_units = 2;
    mirror.queued_bytes = 512;
    mirror.lag_p50 = 0.000128;
    mirror.gaps = {Gap("", "", 1769904000000), Gap("s.\"T\"", "42P01", 1769905000000),
                   Gap("t", "", 1769906000000)};
    source_.reports.push_back(mirror);
    mirror.name = "other";
    mirror.gaps.clear();
    source_.reports.push_back(mirror);
  }
  Answered Ask(const std::string& method, const std::string& target,
               std::vector<http::Field> fields = {}) {
    http::Request request;
    request.method = method;
    request.target = target;
    request.fields = std::move(fields);
    return Answer(request, source_, metrics_);
  }
  // How many gaps the answer says are cleared; -1: it is no order.
  int Cleared(const std::string& query) {
    const Answered answered = Ask("DELETE", "/v1/mirrors/next.version/gaps" + query);
    if (!answered.order.has_value()) {
      EXPECT_EQ(answered.response.status, 400) << query;
      return -1;
    }
    EXPECT_EQ(answered.order->mirror, "next.version");
    return std::stoi(answered.response.body.substr(std::string(R"({"cleared":)").size()));
  }

  FakeSource source_;
  AdminMetrics metrics_;
};

TEST_F(MirrorsPage, TellsEveryMirror) {
  const http::Response response = Ask("GET", "/v1/mirrors").response;
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.content_type, "application/json");
  const std::string first = response.body.substr(0, response.body.find("},{\"name\":\"other\""));
  EXPECT_EQ(first,
            R"([{"name":"next.version","address":"10.0.0.6:5432","database":null,"reachable":true,)"
            R"("offered":9,"delivered":4,"refused":1,"dropped":{"timeout":2,"shutdown":0},)"
            R"("statements":0,"retries":0,"reconnects":0,"queued_units":2,"queued_bytes":512,)"
            R"("spilled":0,"spilled_bytes":0,"spill_failures":0,"spill_units":0,"spill_bytes":0,)"
            R"("connections":0,"lag_seconds":{"p50":0.000128,"p99":null},"gaps_kept":false,)"
            R"("gaps_folded":false,"gaps":[)"
            R"({"table":null,"cause":"timeout","sqlstate":null,"first":"2026-01-31T23:59:59.123Z",)"
            R"("last":"2026-02-01T00:00:00.000Z","statements":3,"transactions":2},)"
            R"({"table":"s.\"T\"","cause":"refused","sqlstate":"42P01",)"
            R"("first":"2026-01-31T23:59:59.123Z","last":"2026-02-01T00:16:40.000Z",)"
            R"("statements":3,"transactions":2},)"
            R"({"table":"t","cause":"timeout","sqlstate":null,"first":"2026-01-31T23:59:59.123Z",)"
            R"("last":"2026-02-01T00:33:20.000Z","statements":3,"transactions":2}])");
  EXPECT_TRUE(response.body.ends_with("\"gaps\":[]}]\n"));
}

TEST_F(MirrorsPage, TellsTheGapsOfOne) {
  EXPECT_EQ(Ask("GET", "/v1/mirrors/other/gaps").response.body, "[]\n");
  EXPECT_NE(Ask("GET", "/v1/mirrors/next%2Eversion/gaps?x=y").response.body.find("42P01"),
            std::string::npos);
  EXPECT_TRUE(Ask("HEAD", "/v1/mirrors/other/gaps").response.head_only);
}

TEST_F(MirrorsPage, AnOrderSaysWhatItIsAbout) {
  EXPECT_EQ(Cleared(""), 3);
  EXPECT_EQ(Cleared("?table=t"), 1);
  EXPECT_EQ(Cleared("?table=s.%22T%22"), 1);
  EXPECT_EQ(Cleared("?table="), 1);
  EXPECT_EQ(Cleared("?table=u"), 0);
  EXPECT_EQ(Cleared("?until=2026-02-01T00:16:40Z"), 2);
  EXPECT_EQ(Cleared("?until=2026-02-01T01:16:40.000%2B01:00&table=t"), 0);
  const Answered answered =
      Ask("DELETE", "/v1/mirrors/next.version/gaps?table=t&until=2026-02-01T00:16:40Z");
  ASSERT_TRUE(answered.order.has_value());
  EXPECT_EQ(answered.order->table, "t");
  EXPECT_EQ(answered.order->until, absl::FromUnixSeconds(1769905000));
  EXPECT_FALSE(Ask("DELETE", "/v1/mirrors/next.version/gaps").order->table.has_value());
}

// Whoever mistypes must not have everything forgotten.
TEST_F(MirrorsPage, AnOrderThatIsNotUnderstoodIsNone) {
  for (const char* query :
       {"?tables=t", "?table=a&table=b", "?table=%2", "?table=%gg", "?until=now", "?until=",
        "?until=2026-02-01T00:16:40Z&until=2026-02-01T00:16:40Z", "?x", "?=", "?&"}) {
    EXPECT_EQ(Cleared(query), -1) << query;
  }
}

TEST_F(MirrorsPage, OnlyWhatIsThereIsAnswered) {
  for (const char* target : {"/v1/mirrors/nobody/gaps", "/v1/mirrors/", "/v1/mirrors/other",
                             "/v1/mirrors//gaps", "/v1/mirrors/gaps", "/v1/mirrors/other/gaps/",
                             "/v1/mirrorsx", "/v1/mirrors/%zz/gaps", "/v1"}) {
    EXPECT_EQ(Ask("GET", target).response.status, 404) << target;
    EXPECT_FALSE(Ask("DELETE", target).order.has_value()) << target;
  }
}

TEST_F(MirrorsPage, OtherMethodsAreRefused) {
  for (const char* method : {"POST", "PUT", "PATCH", "OPTIONS", "delete"}) {
    const Answered gaps = Ask(method, "/v1/mirrors/other/gaps");
    EXPECT_EQ(gaps.response.status, 405) << method;
    EXPECT_EQ(gaps.response.allow, "GET, HEAD, DELETE");
    EXPECT_EQ(Ask(method, "/v1/mirrors").response.status, 405) << method;
  }
  const Answered all = Ask("DELETE", "/v1/mirrors");
  EXPECT_EQ(all.response.allow, "GET, HEAD");
  EXPECT_FALSE(all.order.has_value());
}

// A page that a browser on this machine shows must not be able to give orders.
TEST_F(MirrorsPage, NoOrderComesFromAPage) {
  for (const char* origin : {"http://evil.example", "null", ""}) {
    const Answered answered =
        Ask("DELETE", "/v1/mirrors/other/gaps", {{"Host", "localhost"}, {"oRiGiN", origin}});
    EXPECT_EQ(answered.response.status, 403);
    EXPECT_FALSE(answered.order.has_value());
  }
}

TEST(Target, DecodesPercent) {
  EXPECT_EQ(DecodePercent("a%20b+%C3%bc%00"), std::string("a b+\xc3\xbc\0", 7));
  for (const char* bad : {"%", "%2", "%zz", "a%1", "%%41"}) {
    EXPECT_FALSE(DecodePercent(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace admin
