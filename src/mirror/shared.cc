#include "mirror/shared.h"

#include <algorithm>

namespace mirror {
namespace {

// Shards draw in chunks: small against the budget, so that it is not felt early.
int64_t Chunk(const base::Limits& limits) {
  return std::clamp<int64_t>(limits.mirror_bytes_max / 256, 1, 64 * 1024);
}

// What the lanes can never take from what sessions are recording: where a queue is full, the text
// of what is dropped is still there to name its tables.
int64_t ForNames(const base::Limits& limits) { return limits.mirror_bytes_max / 8; }

}  // namespace

Shared::Shared(const config::Config& config)
    : process_(config.limits.mirror_bytes_max * static_cast<int64_t>(config.mirrors.size()) +
                   ForNames(config.limits),
               Chunk(config.limits)),
      recording_(config.limits.mirror_bytes_max, Chunk(config.limits), &process_),
      names_(config.limits.mirror_bytes_max / 4, Chunk(config.limits)) {
  for (size_t i = 0; i < config.mirrors.size(); ++i) {
    mirrors_.push_back(std::make_unique<PerMirror>(config, config.mirrors[i].name,
                                                   Chunk(config.limits), &process_));
  }
}

std::vector<GapLedger*> Shared::ledgers() const {
  std::vector<GapLedger*> ledgers;
  for (const std::unique_ptr<PerMirror>& mirror : mirrors_) {
    ledgers.push_back(&mirror->ledger);
  }
  return ledgers;
}

void Shared::Describe(base::MetricSink* sink) const {
  for (const std::unique_ptr<PerMirror>& mirror : mirrors_) {
    mirror->ledger.Describe(sink);
  }
}

}  // namespace mirror
