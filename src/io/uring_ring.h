// UringRing: one io_uring with the flags we need, and its submission and waiting in one call.
//
// Created and used on one thread (SINGLE_ISSUER). Flags: SINGLE_ISSUER, DEFER_TASKRUN,
// TASKRUN_FLAG, SUBMIT_ALL, CLAMP, CQSIZE; not NO_SQARRAY, which liburing 2.3 cannot handle.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "base/instant.h"
#include "io/uring_abi.h"

namespace io {

// Why the kernel refused what a ring needs, and what to do about it. `error`: an errno.
absl::Status UringRefused(int error);

class UringRing {
 public:
  static constexpr uint32_t kCompletionEntries = 4096;

  // The ladder: `completions` entries, halved down to 512 where locked memory is short.
  // The status' text says what to do about it.
  static absl::StatusOr<UringRing> Create(uint32_t entries, bool no_iowait,
                                          uint32_t completions = kCompletionEntries);
  UringRing(UringRing&& other) noexcept;
  UringRing& operator=(UringRing&&) = delete;
  ~UringRing();

  // A zeroed submission entry; submits what is queued if there is no room.
  io_uring_sqe* Entry();
  // Submits everything queued and reaps; waits for one completion until `until`. 0, or the errno
  // of a refusal that no other round will mend (a seccomp profile, completions lost).
  int Enter(base::Instant now, base::Instant until);
  // Calls `handle(const io_uring_cqe&)` for every completion there is. Returns how many.
  template <typename Handle>
  uint32_t Reap(Handle&& handle) {
    uint32_t reaped = 0;
    uint32_t head = *ring_.cq.khead;
    while (head != __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE)) {
      const io_uring_cqe completion = ring_.cq.cqes[head & *ring_.cq.kring_mask];
      __atomic_store_n(ring_.cq.khead, ++head, __ATOMIC_RELEASE);
      handle(completion);
      ++reaped;
    }
    return reaped;
  }
  // True exactly when the kernel has more completions to hand over at the next Enter().
  bool more_pending() const {
    return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  }
  bool overflowed() const {
    return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0;
  }
  io_uring* get() { return &ring_; }

 private:
  UringRing() = default;
  uint32_t Publish();  // makes queued entries visible to the kernel; how many there are
  int Call(uint32_t submit, uint32_t wait_for, io_uring_getevents_arg* argument);

  io_uring ring_{};
  uint32_t enter_flags_ = 0;
  bool live_ = false;
};

}  // namespace io
