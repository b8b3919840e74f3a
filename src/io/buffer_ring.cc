#include "io/buffer_ring.h"

#include <sys/mman.h>

#include <bit>
#include <cerrno>

#include "base/check.h"

namespace io {

BufferRing::BufferRing(io_uring* ring, uint16_t group, const ReceiveShape& shape, bool incremental)
    : ring_(ring),
      group_(group),
      incremental_(incremental),
      target_(shape.posted),
      entries_(std::bit_ceil(shape.posted)),
      pool_(shape.count, shape.chunk_bytes),
      offsets_(shape.count, 0) {}

int BufferRing::Register() {
  void* memory = mmap(nullptr, entries_ * sizeof(io_uring_buf), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return ENOMEM;
  }
  shared_ = static_cast<io_uring_buf_ring*>(memory);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<uint64_t>(memory);
  registration.ring_entries = entries_;
  registration.bgid = group_;
  registration.pad = incremental_ ? abi::kBufferRingIncremental : 0;
  const int result = io_uring_register_buf_ring(ring_, &registration, 0);
  if (result != 0) {
    munmap(memory, entries_ * sizeof(io_uring_buf));
    shared_ = nullptr;
  }
  return -result;
}

BufferRing::~BufferRing() {
  if (shared_ == nullptr) {
    return;
  }
  io_uring_unregister_buf_ring(ring_, group_);
  munmap(shared_, entries_ * sizeof(io_uring_buf));
  for (uint32_t i = 0; i < pool_.count(); ++i) {
    if (pool_.chunk(i)->references > 0) {
      pool_.LetGo(pool_.chunk(i));
    }
  }
}

bool BufferRing::TopUp() {
  if (posted_ == target_) {
    return true;
  }
  const uint16_t before = tail_;
  while (posted_ < target_) {
    base::Block* chunk = pool_.Take();
    if (chunk == nullptr) {
      break;
    }
    const uint32_t index = pool_.IndexOf(chunk);
    offsets_[index] = 0;
    io_uring_buf& entry = shared_->bufs[tail_ & (entries_ - 1)];
    entry.addr = reinterpret_cast<uint64_t>(chunk->data);
    entry.len = chunk->capacity;
    entry.bid = static_cast<uint16_t>(index);
    ++tail_;
    ++posted_;
  }
  if (tail_ != before) {
    __atomic_store_n(&shared_->tail, tail_, __ATOMIC_RELEASE);
  }
  return posted_ > 0;
}

base::Slice BufferRing::Received(const io_uring_cqe& completion, uint32_t length) {
  const uint32_t index = completion.flags >> IORING_CQE_BUFFER_SHIFT;
  CHECK(index < pool_.count());
  base::Block* chunk = pool_.chunk(index);
  CHECK(offsets_[index] + length <= chunk->capacity);
  base::Slice slice;
  if (length > 0) {
    slice = base::Slice(chunk, offsets_[index], length);
    offsets_[index] += length;
  }
  const bool kernel_goes_on = incremental_ && (completion.flags & abi::kCqeBufferMore) != 0;
  if (!kernel_goes_on) {
    --posted_;
    pool_.LetGo(chunk);
  }
  return slice;
}

}  // namespace io
