#include "sql/session_calls.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "sql/session_effects.h"

namespace sql {
namespace {

// Sorted by name.
constexpr SessionCall kCalls[] = {
    {"currval", kReadsSequence},
    {"dblink_connect", kOtherState, true},
    {"dblink_connect_u", kOtherState, true},
    {"lastval", kReadsSequence},
    {"nextval", kUsesSequence},
    {"pg_advisory_lock", kAdvisoryLock},
    {"pg_advisory_lock_shared", kAdvisoryLock},
    {"pg_advisory_unlock", kUnlocks},
    {"pg_advisory_unlock_all", kUnlocksAll},
    {"pg_advisory_unlock_shared", kUnlocks},
    {"pg_backup_start", kOtherState},
    {"pg_copy_logical_replication_slot", kOtherState},
    {"pg_copy_physical_replication_slot", kOtherState},
    {"pg_create_logical_replication_slot", kOtherState},
    {"pg_create_physical_replication_slot", kOtherState},
    {"pg_replication_origin_session_reset", kOtherState},
    {"pg_replication_origin_session_setup", kOtherState},
    {"pg_start_backup", kOtherState},
    {"pg_try_advisory_lock", kAdvisoryLock},
    {"pg_try_advisory_lock_shared", kAdvisoryLock},
    {"set_config", kUnknownSetting},
    {"setseed", kOtherState},
    {"setval", kUsesSequence},
};
static_assert(std::is_sorted(std::begin(kCalls), std::end(kCalls),
                             [](const SessionCall& a, const SessionCall& b) {
                               return a.name < b.name;
                             }));
static_assert(std::all_of(std::begin(kCalls), std::end(kCalls), [](const SessionCall& call) {
  return call.name.size() <= kSessionCallBytesMax;
}));

// Which letters a name in the table begins and ends with: most names are turned away by these.
constexpr uint8_t kBegins = 1;
constexpr uint8_t kEnds = 2;
constexpr std::array<uint8_t, 256> MakeEdges() {
  std::array<uint8_t, 256> edges{};
  for (const SessionCall& call : kCalls) {
    edges[static_cast<unsigned char>(call.name.front())] |= kBegins;
    edges[static_cast<unsigned char>(call.name.back())] |= kEnds;
  }
  return edges;
}
constexpr std::array<uint8_t, 256> kEdges = MakeEdges();

}  // namespace

bool MayEndSessionCall(char c) { return (kEdges[static_cast<unsigned char>(c)] & kEnds) != 0; }

const SessionCall* FindSessionCall(std::string_view name) {
  if (name.empty() || (kEdges[static_cast<unsigned char>(name.front())] & kBegins) == 0 ||
      !MayEndSessionCall(name.back())) {
    return nullptr;
  }
  const auto* row = std::lower_bound(std::begin(kCalls), std::end(kCalls), name,
                                     [](const SessionCall& candidate, std::string_view wanted) {
                                       return candidate.name < wanted;
                                     });
  return row != std::end(kCalls) && row->name == name ? row : nullptr;
}

}  // namespace sql
