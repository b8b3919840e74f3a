#include "config/cpus.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <vector>

#include "config/text.h"

namespace config {
namespace {

constexpr uint32_t kShardsAutomaticMax = 4;
constexpr uint32_t kCpusMax = 65536;

std::optional<std::string> ReadWhole(const std::string& path) {
  const std::ifstream file(path);
  if (!file) {
    return std::nullopt;
  }
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

// CPUs of `quota` microseconds in each `period`, rounded up; 0 for "max", -1 and nonsense.
uint32_t Cpus(std::string_view quota, std::string_view period) {
  uint64_t used = 0;
  uint64_t of = 0;
  const auto number = [](std::string_view text, uint64_t* value) {
    const char* end = text.data() + text.size();
    return std::from_chars(text.data(), end, *value).ec == std::errc();
  };
  if (!number(quota, &used) || !number(period, &of) || used == 0 || of == 0) {
    return 0;
  }
  return static_cast<uint32_t>(std::min<uint64_t>(used / of + (used % of != 0 ? 1 : 0), kCpusMax));
}

uint32_t QuotaOfGroup(const std::string& folder, bool unified, const FileReader& read) {
  if (unified) {
    const std::string content = read(folder + "/cpu.max").value_or("");
    const size_t blank = content.find(' ');
    return blank == std::string::npos ? 0
                                      : Cpus(content.substr(0, blank), content.substr(blank + 1));
  }
  return Cpus(read(folder + "/cpu.cfs_quota_us").value_or(""),
              read(folder + "/cpu.cfs_period_us").value_or(""));
}

// The smallest quota of `path` and its ancestors. Inside a container the path may not exist, but
// the root that is mounted there is the container's own.
uint32_t QuotaOfPath(const std::string& root, std::string path, bool unified,
                     const FileReader& read) {
  uint32_t smallest = 0;
  while (true) {
    while (path.ends_with("/")) {
      path.pop_back();
    }
    const uint32_t quota = QuotaOfGroup(root + path, unified, read);
    if (quota != 0 && (smallest == 0 || quota < smallest)) {
      smallest = quota;
    }
    if (path.empty()) {
      return smallest;
    }
    path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
  }
}

}  // namespace

uint32_t CpuQuota(const FileReader& read) {
  std::istringstream lines(read("/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);) {  // "0::/a/b", "4:cpu,cpuacct:/a/b"
    const size_t first = line.find(':');
    const size_t second = line.find(':', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) {
      continue;
    }
    const std::string controllers = Cat({",", line.substr(first + 1, second - first - 1), ","});
    const std::string path = line.substr(second + 1);
    uint32_t quota = 0;
    if (controllers == ",,") {
      quota = QuotaOfPath("/sys/fs/cgroup", path, true, read);
    } else if (controllers.find(",cpu,") != std::string::npos) {
      quota = QuotaOfPath("/sys/fs/cgroup/cpu", path, false, read);
    }
    if (quota != 0) {
      return quota;
    }
  }
  return 0;
}

uint32_t UsableCpus() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  uint32_t usable = 1;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) {
    usable = static_cast<uint32_t>(std::max(1, CPU_COUNT(&mask)));
  }
  const uint32_t quota = CpuQuota(ReadWhole);
  return quota == 0 ? usable : std::min(usable, quota);
}

uint32_t ShardCount(uint32_t wanted, uint32_t usable_cpus) {
  return wanted != 0 ? wanted : std::min(kShardsAutomaticMax, usable_cpus);
}

}  // namespace config
