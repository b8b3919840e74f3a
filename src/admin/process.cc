#include "admin/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"

namespace admin {
namespace {

using Kind = OpenMetricsText::Kind;

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double Now(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::optional<double> ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all_pages = 0;
  uint64_t resident_pages = 0;
  if (!(file >> all_pages >> resident_pages)) {
    return std::nullopt;
  }
  return static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Kernels since 6.2 tell the number as the folder's size; listing 20,000 takes milliseconds.
std::optional<double> OpenDescriptors() {
  constexpr const char* kFolder = "/proc/self/fd";
  struct stat about {};
  if (stat(kFolder, &about) == 0 && about.st_size > 0) {
    return static_cast<double>(about.st_size);
  }
  const auto close = [](DIR* folder) { closedir(folder); };
  const std::unique_ptr<DIR, decltype(close)> folder(opendir(kFolder), close);
  if (folder == nullptr) {
    return std::nullopt;
  }
  int64_t entries = 0;
  while (readdir(folder.get()) != nullptr) {
    ++entries;
  }
  constexpr int64_t kNotDescriptors = 3;  // ".", ".." and the folder itself
  return static_cast<double>(entries - kNotDescriptors);
}

// Field 22 of /proc/self/stat counts clock ticks since boot (proc(5)); the name in field 2 may hold
// anything, so counting starts behind its closing parenthesis.
std::optional<double> StartTime() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  constexpr int kFieldsBetween = 19;
  size_t at = line.rfind(')');
  for (int i = 0; i <= kFieldsBetween && at != std::string::npos; ++i) {
    at = line.find(' ', at + 1);
  }
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const double ticks = std::strtod(line.c_str() + at, nullptr);
  const double booted = Now(CLOCK_REALTIME) - Now(CLOCK_BOOTTIME);
  return booted + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

void AddGauge(std::string_view name, std::string_view help, std::optional<double> value,
              OpenMetricsText* text) {
  if (value.has_value()) {
    text->AddNumber(name, help, Kind::kGauge, *value);
  }
}

}  // namespace

void DescribeProcess(OpenMetricsText* text) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  text->AddNumber("process_cpu_seconds", "CPU time used, user and system.", Kind::kCounter,
                  Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  AddGauge("process_resident_memory_bytes", "Resident memory.", ResidentBytes(), text);
  AddGauge("process_open_fds", "Open file descriptors.", OpenDescriptors(), text);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  text->AddNumber("process_max_fds", "Largest number of open file descriptors.", Kind::kGauge,
                  static_cast<double>(limit.rlim_cur));
  AddGauge("process_start_time_seconds", "When the process started, since 1970.", StartTime(),
           text);
  text->AddNumber("pgbraid_base_log_dropped_lines", "Log lines lost because nobody read them.",
                  Kind::kCounter, static_cast<double>(base::LogDropped()));
  text->AddNumber("pgbraid_base_surprises", "Events that were not thought possible.",
                  Kind::kCounter, static_cast<double>(base::Surprises()));
}

}  // namespace admin
