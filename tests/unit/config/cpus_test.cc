#include "config/cpus.h"

#include <gtest/gtest.h>

#include <map>

namespace config {
namespace {

uint32_t QuotaWith(const std::map<std::string, std::string>& files) {
  return CpuQuota([&files](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    return found == files.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

TEST(Cpus, TheSmallestQuotaOnTheWayToTheRootCounts) {
  EXPECT_EQ(QuotaWith({{"/proc/self/cgroup", "0::/a/b\n"},
                       {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
                       {"/sys/fs/cgroup/a/cpu.max", "250000 100000\n"},
                       {"/sys/fs/cgroup/cpu.max", "800000 100000\n"}}),
            3u);
}

TEST(Cpus, AContainerSeesItsOwnGroupAsRoot) {
  EXPECT_EQ(QuotaWith({{"/proc/self/cgroup", "0::/../other\n"},
                       {"/sys/fs/cgroup/cpu.max", "200000 100000\n"}}),
            2u);
}

TEST(Cpus, VersionOneIsReadToo) {
  EXPECT_EQ(QuotaWith({{"/proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/1\n0::/\n"},
                       {"/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "50000\n"},
                       {"/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n"}}),
            1u);
}

TEST(Cpus, NoQuotaAndNonsenseAreNoQuota) {
  EXPECT_EQ(QuotaWith({}), 0u);
  EXPECT_EQ(QuotaWith({{"/proc/self/cgroup", "junk\n0::/\n"}, {"/sys/fs/cgroup/cpu.max", "x y\n"}}),
            0u);
  EXPECT_EQ(QuotaWith({{"/proc/self/cgroup", "1:cpu:/\n"},
                       {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
                       {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"}}),
            0u);
}

TEST(Cpus, ShardsFollowTheCpusUpToFour) {
  EXPECT_GE(UsableCpus(), 1u);
  EXPECT_EQ(ShardCount(0, 2), 2u);
  EXPECT_EQ(ShardCount(0, 64), 4u);
  EXPECT_EQ(ShardCount(9, 2), 9u);
}

}  // namespace
}  // namespace config
