#include "mirror/overlaps.h"

#include <vector>

#include "mirror/trace.h"
#include "mirror/written_row.h"
#include "sql/tables.h"

namespace mirror {

bool Overlaps::Meets(const Unit& unit, uint64_t session, sql::LexOptions options) {
  if (unit.block() || !ChangesRows(unit.steps.front())) {
    return false;
  }
  const Step& step = unit.steps.front();
  const std::string_view text = TextOf(step);
  Seen mine;
  mine.acked = unit.place.acked;
  mine.session = session;
  const WrittenRow row = WrittenRowOf(step, options);
  mine.column = row.column;
  mine.value = row.value;
  bool meets = false;
  for (const std::string& table : sql::WrittenTables(text, options)) {
    mine.table = HashOf(table);
    meets = MeetsIn(&buckets_[mine.table / 2 % kBuckets], mine, unit.after) || meets;
  }
  return meets;
}

// From the newest on. Shards come here a little out of order, so the first that is old enough does
// not end the search.
bool Overlaps::MeetsIn(Bucket* bucket, const Seen& mine, uint64_t after) {
  constexpr size_t kOldEnough = 16;
  const std::lock_guard<std::mutex> lock(bucket->mutex);
  std::vector<Seen>& seen = bucket->seen;
  bool meets = false;
  size_t old = 0;
  for (size_t i = 1; i <= seen.size() && old < kOldEnough && !meets; ++i) {
    const Seen& other = seen[(bucket->next + seen.size() - i) % seen.size()];
    const bool apart =
        other.column != 0 && other.column == mine.column && other.value != mine.value;
    old = other.acked > after ? 0 : old + 1;
    meets = old == 0 && other.session != mine.session && other.table == mine.table && !apart;
  }
  if (seen.size() < kSeenMax) {
    seen.push_back(mine);
    bucket->next = seen.size() % kSeenMax;
    return meets;
  }
  meets = meets || seen[bucket->next].acked > after;  // forgotten, and perhaps not the only one
  seen[bucket->next] = mine;
  bucket->next = (bucket->next + 1) % kSeenMax;
  return meets;
}

}  // namespace mirror
