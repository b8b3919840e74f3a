#include "mirror/last_writers.h"

#include <algorithm>

namespace mirror {

// Two that note one row at once may lose the smaller stamp: no matter.
uint64_t LastWriters::Note(uint64_t stamp, std::span<const WrittenRow> rows) {
  uint64_t before = 0;
  for (const WrittenRow& row : rows) {
    if (row.column == 0) {
      continue;
    }
    const uint64_t hash = row.table * 31 + row.column * 17 + row.value;
    std::atomic<uint64_t>& slot = stamps_[(hash ^ (hash >> 29)) % kSlots];
    const uint64_t last = slot.load(std::memory_order_relaxed);
    before = last < stamp ? std::max(before, last) : before;
    slot.store(std::max(last, stamp), std::memory_order_relaxed);
  }
  return before;
}

}  // namespace mirror
