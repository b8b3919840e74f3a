#include "mirror/last_writers.h"

#include <algorithm>
#include <string>

#include "mirror/trace.h"
#include "mirror/written_row.h"
#include "sql/tables.h"

namespace mirror {

// Two that note one row at once may lose the smaller stamp: no matter.
uint64_t LastWriters::Note(const Unit& unit, sql::LexOptions options) {
  const uint64_t mine = unit.place.stamp;
  uint64_t before = 0;
  for (const Step& step : unit.steps) {
    if (!ChangesRows(step)) {
      continue;
    }
    const WrittenRow row = WrittenRowOf(step, options);
    if (row.column == 0) {
      continue;
    }
    for (const std::string& table : sql::WrittenTables(TextOf(step), options)) {
      const uint64_t hash = HashOf(table) * 31 + row.column * 17 + row.value;
      std::atomic<uint64_t>& slot = stamps_[(hash ^ (hash >> 29)) % kSlots];
      const uint64_t last = slot.load(std::memory_order_relaxed);
      before = last < mine ? std::max(before, last) : before;
      slot.store(std::max(last, mine), std::memory_order_relaxed);
    }
  }
  return before;
}

}  // namespace mirror
