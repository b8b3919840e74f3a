#include "server/report.h"

#include <algorithm>

#include "server/shard.h"

namespace server {

void Report::Describe(base::MetricSink* sink) const {
  for (const Shard* shard : common_->shards) {
    shard->Describe(sink);
  }
  // Not a sum: the newest that has come to every shard.
  int64_t newest = INT64_MAX;
  for (const Shard* shard : common_->shards) {
    newest = std::min(newest, shard->shard_metrics().config_epoch.value());
  }
  base::Gauge epoch;
  epoch.Set(newest);
  sink->Add("pgbraid_server_config_epoch",
            "Number of the newest configuration that is in force on every shard.", "", epoch);
  sink->Add("pgbraid_server_reloads", "Configurations that were loaded again and are in force.", "",
            common_->reloads);
  sink->Add("pgbraid_server_reload_failures",
            "Configurations that were loaded again and had a fault, so that nothing was changed.",
            "", common_->reload_failures);
  base::Gauge epochs;
  epochs.Set(common_->epochs->alive());
  sink->Add("pgbraid_server_config_epochs",
            "Configurations that somebody still goes by: the last, and older ones until their "
            "sessions and connections have gone.",
            "", epochs);
  base::Gauge stalled;
  stalled.Set(common_->stalled_shards.Load());
  sink->Add("pgbraid_server_stalled_shards", "Shards whose loop does not turn.", "", stalled);
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
