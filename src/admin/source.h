// Source: where the admin room gets its numbers, and Orders: who carries out what it was told to
// do. The rooms below it do not know it, and it does not know the shards; server/ implements both.
//
// Asked on the endpoint's shard, while every shard lives; answers at once.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "admin/mirror_report.h"
#include "base/counters.h"

namespace admin {

enum class Readiness : uint8_t { kStarting, kServing, kDraining };

// What is told once: constant for the life of the process.
struct About {
  std::string_view version;
  std::string_view engine;  // io::Engine::name()
  uint32_t shards = 0;
};

class Source {
 public:
  virtual ~Source() = default;
  virtual void Describe(base::MetricSink* sink) const = 0;
  virtual Readiness readiness() const = 0;
  virtual About about() const = 0;
  // In the order of the configuration.
  virtual std::vector<MirrorReport> mirrors() const = 0;
};

class Orders {
 public:
  virtual ~Orders() = default;
  virtual void CarryOut(const ClearGaps& order) = 0;
};

}  // namespace admin
