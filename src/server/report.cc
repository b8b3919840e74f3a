#include "server/report.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/log.h"
#include "mirror/mirror_metrics.h"
#include "server/shard.h"

namespace server {
namespace {

// The smallest of the buckets' bounds, in seconds, that `part` of the durations are under.
double Quantile(const std::array<uint64_t, base::Histogram::kBuckets>& buckets, double part) {
  uint64_t all = 0;
  for (const uint64_t bucket : buckets) {
    all += bucket;
  }
  uint64_t under = 0;
  for (int i = 0; i + 1 < base::Histogram::kBuckets && all > 0; ++i) {
    under += buckets[static_cast<size_t>(i)];
    if (static_cast<double>(under) >= part * static_cast<double>(all)) {
      return base::Histogram::BoundSeconds(i);
    }
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void Report::Describe(base::MetricSink* sink) const {
  for (const Shard* shard : common_->shards) {
    shard->Describe(sink);
  }
  common_->mirrors->Describe(sink);
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

admin::MirrorReport Report::MirrorOf(size_t index) const {
  const config::Server& server = common_->config->mirrors[index];
  const mirror::GapLedger& ledger = common_->mirrors->mirror(index)->ledger;
  admin::MirrorReport report;
  report.name = server.name;
  report.address = server.Address();
  report.database = server.dbname;
  std::array<uint64_t, mirror::kCauses> dropped{};
  std::array<uint64_t, base::Histogram::kBuckets> lag{};
  for (const Shard* shard : common_->shards) {
    const mirror::MirrorMetrics& metrics = shard->mirrors().metrics(index);
    report.reachable = report.reachable && shard->mirrors().reachable(index);
    report.offered += metrics.offered.value();
    report.delivered += metrics.delivered.value();
    report.refused += metrics.refused.value();
    report.statements += metrics.statements.value();
    report.retries += metrics.retries.value();
    report.reconnects += metrics.reconnects.value();
    report.queued_units += metrics.queued_units.value();
    report.queued_bytes += metrics.queued_bytes.value();
    report.spilled += metrics.spilled.value();
    report.spilled_bytes += metrics.spilled_bytes.value();
    report.spill_failures += metrics.spill_failures.value();
    report.spill_units += metrics.spill_units.value();
    report.spill_bytes += metrics.spill_bytes.value();
    report.connections += metrics.connections.value();
    for (size_t i = 0; i < dropped.size(); ++i) {
      dropped[i] += metrics.dropped[i].value();
    }
    for (size_t i = 0; i < lag.size(); ++i) {
      lag[i] += metrics.lag.bucket(static_cast<int>(i));
    }
  }
  for (size_t i = 1; i < dropped.size(); ++i) {
    report.dropped.emplace_back(mirror::Name(static_cast<mirror::Cause>(i)), dropped[i]);
  }
  report.lag_p50 = Quantile(lag, 0.5);
  report.lag_p99 = Quantile(lag, 0.99);
  report.gaps_kept = !common_->config->state_dir.empty();
  report.gaps_folded = ledger.folded();
  for (mirror::Gap& gap : ledger.Snapshot()) {
    report.gaps.push_back({.table = std::move(gap.table), .cause = mirror::Name(gap.cause),
                           .sqlstate = std::move(gap.sqlstate), .first = gap.first,
                           .last = gap.last, .statements = gap.statements,
                           .transactions = gap.transactions});
  }
  return report;
}

std::vector<admin::MirrorReport> Report::mirrors() const {
  std::vector<admin::MirrorReport> reports;
  for (size_t i = 0; i < common_->config->mirrors.size(); ++i) {
    reports.push_back(MirrorOf(i));
  }
  return reports;
}

void Report::CarryOut(const admin::ClearGaps& order) {
  for (mirror::GapLedger* ledger : common_->mirrors->ledgers()) {
    if (ledger->mirror() == order.mirror) {
      const size_t cleared = ledger->Clear(order.table, order.until);
      base::Log(base::LogLevel::kInfo, "mirror.gaps_cleared",
                {{"mirror", order.mirror},
                 {"table", order.table.value_or("every one")},
                 {"entries", cleared}});
    }
  }
}

admin::About Report::about() const {
  admin::About about;
  about.version = PGBRAID_VERSION;
  about.engine = common_->shards.front()->engine_name();
  about.shards = static_cast<uint32_t>(common_->shards.size());
  return about;
}

}  // namespace server
