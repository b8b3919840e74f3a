// FakeSource: an admin::Source whose answers a test sets, and Orders that are only noted. Owned by
// the test; one thread.
#pragma once

#include <string>
#include <vector>

#include "admin/source.h"

namespace admin {

struct FakeSource final : Source, Orders {
  void Describe(base::MetricSink* sink) const override {
    sink->Add("fake_things", help, "", things);
  }
  Readiness readiness() const override { return state; }
  About about() const override {
    About about;
    about.version = "1.2.3";
    about.engine = "simulated";
    about.shards = 3;
    return about;
  }

  std::vector<MirrorReport> mirrors() const override { return reports; }
  void CarryOut(const ClearGaps& order) override { obeyed.push_back(order); }

  std::string help = "Things.";
  base::Counter things;
  Readiness state = Readiness::kServing;
  std::vector<MirrorReport> reports;
  std::vector<ClearGaps> obeyed;
};

}  // namespace admin
