// Receive memory of the bare relay: one provided-buffer ring over a pool of chunks. Owned by the
// relay, used on its one thread. Few chunks are posted and free ones are reused last-in-first-out,
// so the memory stays in cache. Incremental where the kernel has it (many receives fill one chunk
// back to back), classic otherwise. Bound: chunks x chunk_size, mapped at start.
// Failure to register ends the program with a message.
#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

// The kernel's layout, pinned: Debian 12 also ships a <linux/io_uring.h> that C++ reads otherwise.
static_assert(offsetof(io_uring_buf_ring, bufs) == 0);
static_assert(sizeof(io_uring_buf) == 16);

struct Piece {
  char* data = nullptr;
  uint32_t size = 0;
  uint16_t group = 0;
  uint16_t chunk = 0;
};

class RelayPool {
 public:
  struct Shape {
    uint32_t chunk_size;
    uint32_t chunks;  // a power of two
    uint32_t posted;  // how many of them the kernel has
  };

  RelayPool(io_uring* ring, uint16_t group, const Shape& incremental, const Shape& classic);
  RelayPool(const RelayPool&) = delete;
  RelayPool& operator=(const RelayPool&) = delete;

  // The bytes of a completion that carries a buffer of this group; holds one reference.
  Piece Take(uint32_t cqe_flags, uint32_t size);
  void Release(const Piece& piece) { Unref(piece.chunk); }

  // Posts free chunks up to the wanted number; returns how many.
  uint32_t TopUp();
  [[nodiscard]] bool incremental() const { return incremental_; }
  [[nodiscard]] bool empty() const { return posted_ == 0; }

 private:
  struct Chunk {
    uint32_t offset = 0;  // where the kernel goes on filling
    uint32_t refs = 0;    // pieces, and one for the kernel while it is posted
  };

  void Unref(uint16_t chunk);

  uint16_t group_;
  bool incremental_ = false;
  Shape shape_;
  uint32_t posted_ = 0;
  io_uring_buf_ring* ring_ = nullptr;
  char* memory_ = nullptr;
  std::vector<Chunk> chunks_;
  std::vector<uint16_t> free_;
};

}  // namespace bench

