// Report: what the admin endpoint is told: every shard's counters and the state of the process; and
// who carries out its orders.
//
// Owned by Run(); asked on shard 0, from when all shards exist until the first of them is gone.
// Reads other shards' counters with relaxed loads; never fails.
#pragma once

#include <cstddef>
#include <vector>

#include "admin/source.h"

namespace server {

struct Common;

class Report final : public admin::Source, public admin::Orders {
 public:
  explicit Report(const Common* common) : common_(common) {}

  void Describe(base::MetricSink* sink) const override;
  admin::Readiness readiness() const override;
  admin::About about() const override;
  std::vector<admin::MirrorReport> mirrors() const override;
  void CarryOut(const admin::ClearGaps& order) override;

 private:
  admin::MirrorReport MirrorOf(size_t index) const;

  const Common* const common_;
};

}  // namespace server
