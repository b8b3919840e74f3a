#include "server/report.h"

#include "server/shard.h"

namespace server {

void Report::Describe(base::MetricSink* sink) const {
  for (const Shard* shard : common_->shards) {
    shard->Describe(sink);
  }
}

admin::Readiness Report::readiness() const {
  return common_->readiness.Load();
}

admin::About Report::about() const {
  admin::About about;
  about.version = PGBRAID_VERSION;
  about.engine = common_->shards.front()->engine_name();
  about.shards = static_cast<uint32_t>(common_->shards.size());
  return about;
}

}  // namespace server
