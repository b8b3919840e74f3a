// ReceivePool: the chunks of memory that a shard receives into, few and hot.
//
// Owned by an engine, on its shard. Chunks are handed out and taken back last-in-first-out, so
// that the next receive lands in memory that is still in the cache. A chunk is a base::Block: it
// comes back when the last Slice of it is gone (and the receiver has let go of it). Bound: `count`
// chunks; a pool that is used up makes its receivers wait ("starved").
#pragma once

#include <cstdint>
#include <vector>

#include "base/slice.h"

namespace io {

class ReceivePool final : public base::BlockOwner {
 public:
  // One mapping of count * chunk_bytes, touched only as it is used.
  ReceivePool(uint32_t count, uint32_t chunk_bytes);
  ~ReceivePool() override;  // every Slice must be gone
  ReceivePool(const ReceivePool&) = delete;
  ReceivePool& operator=(const ReceivePool&) = delete;

  // A free chunk, with one reference that the receiver holds; null if there is none.
  base::Block* Take();
  // The receiver lets go of a chunk it took.
  void LetGo(base::Block* chunk);
  void Recycle(base::Block* chunk) override;

  uint32_t IndexOf(const base::Block* chunk) const {
    return static_cast<uint32_t>(chunk - chunks_.data());
  }
  base::Block* chunk(uint32_t index) { return &chunks_[index]; }
  uint32_t count() const { return static_cast<uint32_t>(chunks_.size()); }
  uint32_t free_count() const { return static_cast<uint32_t>(free_.size()); }
  uint32_t chunk_bytes() const { return chunk_bytes_; }

 private:
  const uint32_t chunk_bytes_;
  char* memory_ = nullptr;
  std::vector<base::Block> chunks_;
  std::vector<base::Block*> free_;  // a stack
};

// Which sizes an engine uses: 4 or 8 chunks lie with the kernel, the others are referenced by
// slices for the moment between a receive and the send that follows it.
struct ReceiveShape {
  uint32_t chunk_bytes = 0;
  uint32_t count = 0;
  uint32_t posted = 0;  // io_uring only
};
ReceiveShape ClientShape(uint32_t buffer_bytes, bool incremental);
ReceiveShape ServerShape(uint32_t buffer_bytes, bool incremental);

}  // namespace io
