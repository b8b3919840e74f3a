#include "mirror/shared.h"

#include <algorithm>
#include <utility>

#include "mirror/spill_root.h"

namespace mirror {
namespace {

// Shards draw in chunks: small against the budget, so that it is not felt early.
int64_t Chunk(const base::Limits& limits) {
  return std::clamp<int64_t>(limits.mirror_bytes_max / 256, 1, 64 * 1024);
}

// What may go to the disk may be larger than what waits in memory.
int64_t Recording(const config::Config& config) {
  const base::Limits& limits = config.limits;
  return config.spill_dir.empty()
             ? limits.mirror_bytes_max
             : std::max(limits.mirror_bytes_max, 2 * limits.mirror_transaction_max);
}

// What the lanes can never take from what sessions are recording: where a queue is full, the text
// of what is dropped is still there to name its tables; and where that is not dropped, but goes to
// the disk or is waited for, sessions go on recording as ever.
int64_t ForRecording(const config::Config& config) {
  const bool loses_nothing = !config.spill_dir.empty() || config.mirror_block;
  return loses_nothing ? Recording(config) : config.limits.mirror_bytes_max / 8;
}

}  // namespace

Shared::Shared(const config::Config& config)
    : process_(config.limits.mirror_bytes_max * static_cast<int64_t>(config.mirrors.size()) +
                   ForRecording(config),
               Chunk(config.limits)),
      recording_(Recording(config), Chunk(config.limits), &process_),
      names_(config.limits.mirror_bytes_max / 4, Chunk(config.limits)),
      overflowing_(Overflowing(config.limits), Chunk(config.limits)) {
  for (size_t i = 0; i < config.mirrors.size(); ++i) {
    mirrors_.push_back(std::make_unique<PerMirror>(config, config.mirrors[i].name,
                                                   Chunk(config.limits), &process_));
  }
}

Shared::~Shared() = default;

int64_t Shared::SpillInFlight(const base::Limits& limits) {
  return std::max<int64_t>(2 * limits.mirror_transaction_max, 16 << 20);
}

int64_t Shared::Overflowing(const base::Limits& limits) {
  return 2 * std::max(limits.mirror_transaction_max, limits.mirror_bytes_max);
}

int64_t Shared::SpillPlaces(const base::Limits& limits) {
  return std::max<int64_t>(limits.spill_max / 256, 1 << 20);
}

void Shared::SetSpill(std::unique_ptr<SpillRoot> root) {
  spill_ = std::move(root);
  for (const std::unique_ptr<PerMirror>& mirror : mirrors_) {
    mirror->replaying = !spill_->Leftovers(mirror->ledger.mirror()).empty();
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
