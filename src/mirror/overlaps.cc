#include "mirror/overlaps.h"

namespace mirror {

bool Overlaps::Meets(const Unit& unit, uint64_t session, std::span<const WrittenRow> rows) {
  bool meets = false;
  for (const WrittenRow& row : rows) {
    const Seen mine{.acked = unit.place.acked, .session = session, .row = row};
    meets = MeetsIn(&buckets_[row.table / 2 % kBuckets], mine, unit.after) || meets;
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
    const WrittenRow& row = other.row;
    const bool apart =
        row.column != 0 && row.column == mine.row.column && row.value != mine.row.value;
    old = other.acked > after ? 0 : old + 1;
    meets = old == 0 && other.session != mine.session && row.table == mine.row.table && !apart;
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
