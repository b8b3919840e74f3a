// How many CPUs this process may really use: its affinity mask, cut by the cgroup's quota.
//
// Asked once at start. Files that cannot be read mean no quota.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace config {

// The content of a file, or nothing if it cannot be read.
using FileReader = std::function<std::optional<std::string>(const std::string& path)>;

// CPUs that the cgroup of this process and those above it grant (versions 1 and 2), rounded up;
// 0 if none sets a quota. `read` is asked for paths under /proc and /sys.
uint32_t CpuQuota(const FileReader& read);

// CPUs of the affinity mask, at most CpuQuota(), at least 1.
uint32_t UsableCpus();

// The number of shards to run: `wanted`, or min(4, usable CPUs) if it is 0.
uint32_t ShardCount(uint32_t wanted, uint32_t usable_cpus);

}  // namespace config
