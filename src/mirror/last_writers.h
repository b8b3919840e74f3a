// LastWriters: which transaction wrote a row last, as far as the texts tell.
//
// One per process, any thread, no locks. A hint, which orders nothing: PostgreSQL let the later of
// two transactions that met go on when the earlier one had committed; on a mirror they would begin
// side by side, the later one might get the row first, and would have to let go of it again. A row
// that has no hint costs that; two rows that share a slot make one of them wait for nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "mirror/written_row.h"

namespace mirror {

class LastWriters {
 public:
  static constexpr size_t kSlots = 1 << 14;

  LastWriters() = default;
  LastWriters(const LastWriters&) = delete;
  LastWriters& operator=(const LastWriters&) = delete;

  // A transaction with this stamp was acknowledged, and wrote these. The largest stamp below its
  // own of those that wrote one of them before; 0: there is none.
  uint64_t Note(uint64_t stamp, std::span<const WrittenRow> rows);

 private:
  std::array<std::atomic<uint64_t>, kSlots> stamps_{};
};

}  // namespace mirror
