// RecorderTools: what a Recorder needs of its shard.
#pragma once

#include <cstdint>
#include <unordered_set>

#include "base/credit.h"
#include "base/limits.h"
#include "io/loop.h"
#include "mirror/filter.h"
#include "mirror/last_writers.h"
#include "mirror/order_board.h"
#include "mirror/overlaps.h"
#include "mirror/returned.h"
#include "sql/classify_cache.h"

namespace mirror {

class Overflow;
class Recorder;

// What a recorder needs of its shard; everything outlives it.
struct RecorderTools {
  const base::Limits* limits = nullptr;
  const io::Loop* loop = nullptr;  // for the time of commits
  Overlaps* overlaps = nullptr;    // null: nobody asks
  LastWriters* last_writers = nullptr;  // likewise
  Clock* clock = nullptr;          // for their order
  sql::ClassifyCache* cache = nullptr;
  base::Credit* held = nullptr;
  base::Credit* names = nullptr;
  const Filters* filters = nullptr;
  Overflow* overflow = nullptr;    // null: there is no spill_dir
  std::unordered_set<Recorder*>* open = nullptr;  // has it while it lives; null: nobody asks
  uint64_t session = 0;
  bool statements_alone = false;  // a transaction's statements are units of their own
  Learning learning = Learning::kOff;
};

}  // namespace mirror
