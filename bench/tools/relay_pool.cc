#include "bench/tools/relay_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

// Newer than the headers of liburing 2.3.
constexpr uint16_t kPbufRingInc = 2;       // in io_uring_buf_reg, the word named `pad` there
constexpr uint32_t kCqeBufMore = 1u << 4;  // the kernel goes on filling this buffer

char* Map(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("bare_relay: mmap");
    std::exit(1);
  }
  return static_cast<char*>(memory);
}

// One registration: the result of the system call.
int Register(io_uring* ring, io_uring_buf_ring* memory, uint16_t group, uint32_t entries,
             uint16_t flags) {
  io_uring_buf_reg reg{};
  reg.ring_addr = reinterpret_cast<uint64_t>(memory);
  reg.ring_entries = entries;
  reg.bgid = group;
  reg.pad = flags;
  return io_uring_register_buf_ring(ring, &reg, 0);
}

}  // namespace

RelayPool::RelayPool(io_uring* ring, uint16_t group, const Shape& incremental, const Shape& classic)
    : group_(group), shape_(incremental) {
  const uint32_t most = std::max(incremental.chunks, classic.chunks);
  ring_ = reinterpret_cast<io_uring_buf_ring*>(Map(most * sizeof(io_uring_buf)));
  int result = Register(ring, ring_, group, incremental.chunks, kPbufRingInc);
  incremental_ = result == 0;
  if (!incremental_) {
    shape_ = classic;
    result = Register(ring, ring_, group, classic.chunks, 0);
  }
  if (result != 0) {
    std::fprintf(stderr, "bare_relay: buffer ring: %s\n", std::strerror(-result));
    std::exit(1);
  }
  io_uring_buf_ring_init(ring_);
  memory_ = Map(size_t{shape_.chunk_size} * shape_.chunks);
  chunks_.resize(shape_.chunks);
  for (uint32_t i = shape_.chunks; i > 0; --i) free_.push_back(static_cast<uint16_t>(i - 1));
  TopUp();
}

Piece RelayPool::Take(uint32_t cqe_flags, uint32_t size) {
  const auto id = static_cast<uint16_t>(cqe_flags >> IORING_CQE_BUFFER_SHIFT);
  Chunk& chunk = chunks_[id];
  const Piece piece{memory_ + size_t{id} * shape_.chunk_size + chunk.offset, size, group_, id};
  chunk.offset += size;
  ++chunk.refs;
  if (!incremental_ || (cqe_flags & kCqeBufMore) == 0) {
    --posted_;
    Unref(id);
  }
  return piece;
}

void RelayPool::Unref(uint16_t chunk) {
  if (--chunks_[chunk].refs > 0) return;
  chunks_[chunk].offset = 0;
  free_.push_back(chunk);
}

uint32_t RelayPool::TopUp() {
  uint32_t added = 0;
  while (posted_ < shape_.posted && !free_.empty()) {
    const uint16_t id = free_.back();
    free_.pop_back();
    chunks_[id].refs = 1;
    io_uring_buf_ring_add(ring_, memory_ + size_t{id} * shape_.chunk_size, shape_.chunk_size, id,
                          static_cast<int>(shape_.chunks - 1), static_cast<int>(added));
    ++added;
    ++posted_;
  }
  if (added > 0) io_uring_buf_ring_advance(ring_, static_cast<int>(added));
  return added;
}

}  // namespace bench
