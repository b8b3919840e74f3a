// Overlaps: which single statements ran on the primary at the same time as another one on the same
// table, so that nobody can tell which wrote first: the order in which a server answers is not the
// order in which it wrote.
//
// One per process, any thread; a lock per bucket of tables, held for a look at what was
// acknowledged there last. Asked only for statements outside of transactions that change or delete
// rows. It says too much rather than too little: two statements are told apart only by what
// sql::RowKeyOf proves. Bound: kSeenMax statements of a bucket; what an older one was is taken for
// an overlap.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "mirror/unit.h"
#include "mirror/written_row.h"

namespace mirror {

class Overlaps {
 public:
  static constexpr size_t kBuckets = 64;
  static constexpr size_t kSeenMax = 512;

  Overlaps() = default;
  Overlaps(const Overlaps&) = delete;
  Overlaps& operator=(const Overlaps&) = delete;

  // True exactly if another session's statement was acknowledged since this one was forwarded and
  // may have written the same row. `unit` has its place, and is no block; its rows are kept in mind
  // for those to come.
  bool Meets(const Unit& unit, uint64_t session, std::span<const WrittenRow> rows);

 private:
  struct Seen {
    uint64_t acked = 0;
    uint64_t session = 0;
    WrittenRow row;
  };
  struct Bucket {
    std::mutex mutex;
    std::vector<Seen> seen;  // a ring once it is full
    size_t next = 0;         // where the next one goes
  };

  bool MeetsIn(Bucket* bucket, const Seen& mine, uint64_t after);

  std::array<Bucket, kBuckets> buckets_;
};

}  // namespace mirror
