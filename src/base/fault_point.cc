#include "base/fault_point.h"

#include <string>
#include <unordered_map>

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

}  // namespace base
