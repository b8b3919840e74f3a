#include "admin/pages.h"

#include <string>

#include "admin/mirrors_page.h"
#include "admin/open_metrics.h"
#include "admin/process.h"

namespace admin {
namespace {

using Kind = OpenMetricsText::Kind;

http::Response Metrics(const Source& source, const AdminMetrics& metrics) {
  OpenMetricsText text;
  const About about = source.about();
  text.AddInfo("pgbraid_build_info", "The program.", Label("version", about.version));
  text.AddInfo("pgbraid_io_engine_info", "What moves the bytes.", Label("engine", about.engine));
  text.AddNumber("pgbraid_server_shards", "Shards, each one thread.", Kind::kGauge, about.shards);
  text.AddNumber("pgbraid_server_ready", "1 while clients are served, else 0.", Kind::kGauge,
                 source.readiness() == Readiness::kServing ? 1 : 0);
  DescribeProcess(&text);
  source.Describe(&text);
  metrics.Describe(&text);
  http::Response response;
  response.content_type = kOpenMetricsType;
  response.body = text.Text();
  return response;
}

http::Response Plain(int status, std::string_view line) {
  http::Response response;
  response.status = status;
  response.body = line;
  return response;
}

http::Response Ready(Readiness readiness) {
  switch (readiness) {
    case Readiness::kStarting:
      return Plain(503, "starting\n");
    case Readiness::kServing:
      return Plain(200, "ready\n");
    case Readiness::kDraining:
      return Plain(503, "draining\n");
  }
  return Plain(503, "unknown\n");
}

http::Response Page(std::string_view path, const Source& source, const AdminMetrics& metrics) {
  if (path == "/metrics") {
    return Metrics(source, metrics);
  }
  if (path == "/livez") {
    return Plain(200, "alive\n");
  }
  if (path == "/readyz") {
    return Ready(source.readiness());
  }
  return Plain(404, "there are /metrics, /livez, /readyz and /v1/mirrors\n");
}

}  // namespace

void AdminMetrics::Describe(base::MetricSink* sink) const {
  sink->Add("pgbraid_admin_connections", "Connections to the admin endpoint open now.", "",
            connections);
  sink->Add("pgbraid_admin_requests", "Requests the admin endpoint answered.", "", requests);
  sink->Add("pgbraid_admin_rejected", "Connections closed for a malformed request.", "", rejected);
  sink->Add("pgbraid_admin_refused", "Connections closed because there were too many.", "",
            refused);
  sink->Add("pgbraid_admin_timeouts", "Connections closed for being idle or slow.", "", timeouts);
}

Answered Answer(const http::Request& request, const Source& source, const AdminMetrics& metrics) {
  Answered answered;
  if (IsMirrorsPath(request.path())) {
    answered = AnswerMirrors(request, source);
  } else if (request.method == "GET" || request.method == "HEAD") {
    answered.response = Page(request.path(), source, metrics);
  } else {
    answered.response = Plain(405, "only GET and HEAD\n");
    answered.response.allow = "GET, HEAD";
  }
  answered.response.head_only = request.method == "HEAD";
  answered.response.keep_alive = request.keep_alive;
  return answered;
}

}  // namespace admin
