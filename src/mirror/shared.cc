#include "mirror/shared.h"

#include <algorithm>

namespace mirror {
namespace {

// Shards draw in chunks: small against the budget, so that it is not felt early.
int64_t Chunk(const base::Limits& limits) {
  return std::clamp<int64_t>(limits.mirror_bytes_max / 256, 1, 64 * 1024);
}

}  // namespace

Shared::Shared(const config::Config& config)
    : process_(config.limits.mirror_bytes_max * static_cast<int64_t>(config.mirrors.size()),
               Chunk(config.limits)),
      recording_(config.limits.mirror_bytes_max, Chunk(config.limits), &process_),
      names_(config.limits.mirror_bytes_max / 4, Chunk(config.limits)) {
  for (size_t i = 0; i < config.mirrors.size(); ++i) {
    mirrors_.push_back(
        std::make_unique<PerMirror>(config, Chunk(config.limits), &process_));
  }
}

}  // namespace mirror
