#include "base/fault_point.h"

#include <cstdlib>
#include <string>
#include <unordered_map>

#include "base/log.h"

namespace base {
namespace {

struct Armed {
  uint64_t one_in = 0;
  Prng* prng = nullptr;
  uint64_t fired = 0;
};

std::unordered_map<std::string, Armed>& ArmedFaults() {
  thread_local std::unordered_map<std::string, Armed> armed;
  return armed;
}

}  // namespace

void FaultPoints::Arm(std::string_view name, uint64_t one_in, Prng* prng) {
  ArmedFaults()[std::string(name)] = Armed{.one_in = one_in, .prng = prng};
}

void FaultPoints::DisarmAll() { ArmedFaults().clear(); }

uint64_t FaultPoints::Fired(std::string_view name) {
  const auto found = ArmedFaults().find(std::string(name));
  return found == ArmedFaults().end() ? 0 : found->second.fired;
}

bool FaultPoints::Pass(std::string_view name) {
  auto& armed = ArmedFaults();
  if (armed.empty()) {
    return false;
  }
  const auto found = armed.find(std::string(name));
  if (found == armed.end() || !found->second.prng->OneIn(found->second.one_in)) {
    return false;
  }
  ++found->second.fired;
  return true;
}

std::string_view HistoricalBug() {
#if PGBRAID_FAULT_POINTS
  static const char* const name = std::getenv("PGBRAID_HISTORICAL_BUG");
  return name == nullptr ? std::string_view() : std::string_view(name);
#else
  return "";
#endif
}

void WarnOfHistoricalBug() {
  if (!HistoricalBug().empty()) {
    Log(LogLevel::kWarn, "base.historical_bug", {{"name", HistoricalBug()}});
  }
}

}  // namespace base
