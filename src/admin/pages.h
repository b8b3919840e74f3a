// Pages: what each address of the admin endpoint answers.
//
// Pure but for what the Source reads; on the endpoint's shard. Every request gets an answer.
#pragma once

#include <optional>

#include "admin/source.h"
#include "base/counters.h"
#include "http/message.h"

namespace admin {

struct AdminMetrics {
  base::Gauge connections;
  base::Counter requests;  // answered, also with an error
  base::Counter rejected;  // not HTTP, or more of it than is allowed
  base::Counter refused;   // connections over the bound
  base::Counter timeouts;  // connections closed: idle, or too slow to ask or to read
  void Describe(base::MetricSink* sink) const;
};

struct Answered {
  http::Response response;
  std::optional<ClearGaps> order;  // what the response says is done, and whoever asked must do
};

// keep_alive is the request's.
Answered Answer(const http::Request& request, const Source& source, const AdminMetrics& metrics);

}  // namespace admin
