// FakeSource: an admin::Source whose answers a test sets. Owned by the test; one thread.
#pragma once

#include <string>

#include "admin/source.h"

namespace admin {

struct FakeSource final : Source {
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

  std::string help = "Things.";
  base::Counter things;
  Readiness state = Readiness::kServing;
};

}  // namespace admin
