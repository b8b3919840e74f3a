// BufferRing: a ReceivePool's chunks as a provided-buffer ring of one io_uring.
//
// Few chunks are posted at a time, so that receives stay in hot memory. Incremental rings (kernel
// 6.12) fill a chunk receive after receive; classic ones use up a buffer per receive.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/slice.h"
#include "io/receive_pool.h"
#include "io/uring_abi.h"

namespace io {

class BufferRing {
 public:
  // `ring` outlives this.
  BufferRing(io_uring* ring, uint16_t group, const ReceiveShape& shape, bool incremental);
  ~BufferRing();  // no receive of the group is pending, every Slice is gone
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;

  // An errno, 0 if the kernel accepted the ring. Before anything else.
  int Register();
  // Posts chunks until the target is reached; true if at least one is posted.
  bool TopUp();
  // What a completion with IORING_CQE_F_BUFFER brought: `length` bytes (maybe 0) of the chunk.
  base::Slice Received(const io_uring_cqe& completion, uint32_t length);
  uint16_t group() const { return group_; }
  uint32_t posted() const { return posted_; }  // chunks that lie with the kernel
  ReceivePool& pool() { return pool_; }

 private:
  io_uring* const ring_;
  const uint16_t group_;
  const bool incremental_;
  const uint32_t target_;   // chunks posted
  const uint32_t entries_;  // of the ring, a power of two
  ReceivePool pool_;
  std::vector<uint32_t> offsets_;  // by chunk: where the kernel writes next
  io_uring_buf_ring* shared_ = nullptr;
  uint32_t posted_ = 0;
  uint16_t tail_ = 0;
};

}  // namespace io
