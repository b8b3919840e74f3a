#include "io/receive_pool.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/check.h"

namespace io {

ReceivePool::ReceivePool(uint32_t count, uint32_t chunk_bytes)
    : chunk_bytes_(chunk_bytes), chunks_(count) {
  const size_t bytes = size_t{count} * chunk_bytes;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  memory_ = static_cast<char*>(memory);
  free_.reserve(count);
  for (uint32_t i = count; i-- > 0;) {
    base::Block& chunk = chunks_[i];
    chunk.owner = this;
    chunk.data = memory_ + size_t{i} * chunk_bytes;
    chunk.capacity = chunk_bytes;
    chunk.lent = true;
    free_.push_back(&chunk);
  }
}

ReceivePool::~ReceivePool() {
  CHECK(free_.size() == chunks_.size());
  munmap(memory_, chunks_.size() * chunk_bytes_);
}

base::Block* ReceivePool::Take() {
  if (free_.empty()) {
    return nullptr;
  }
  base::Block* chunk = free_.back();
  free_.pop_back();
  DCHECK(chunk->references == 0);
  chunk->references = 1;
  return chunk;
}

void ReceivePool::LetGo(base::Block* chunk) {
  DCHECK(chunk->references > 0);
  if (--chunk->references == 0) {
    Recycle(chunk);
  }
}

void ReceivePool::Recycle(base::Block* chunk) { free_.push_back(chunk); }

// What lies with the kernel is what one socket may bring in one round, however full its reader's
// queue is: buffer_bytes in all. Classic buffers are used up by one receive each,
// however short, so they are smaller and more of them are posted.
ReceiveShape ClientShape(uint32_t buffer_bytes, bool incremental) {
  const uint32_t chunk = std::max(buffer_bytes / 4, 4096u);
  return incremental ? ReceiveShape{chunk, 32, 4}
                     : ReceiveShape{std::max(chunk / 16, 4096u), 512, 128};
}

ReceiveShape ServerShape(uint32_t buffer_bytes, bool incremental) {
  return incremental ? ReceiveShape{std::max(buffer_bytes / 4, 4096u), 32, 4}
                     : ReceiveShape{std::max(buffer_bytes / 32, 4096u), 256, 32};
}

}  // namespace io
