#include "io/uring_ring.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace io {
namespace {

constexpr uint32_t kCompletionEntriesLeast = 512;
constexpr uint32_t kSetupFlags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
                                 IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;

std::string WhatToDo(int error) {
  switch (error) {
    case ENOSYS:
      return "this kernel has no io_uring; kernel 6.1 or newer is needed";
    case EPERM:
    case EACCES:
      return "io_uring is forbidden here: by a seccomp profile (Docker's default: run with a "
             "profile that allows io_uring_setup, io_uring_enter and io_uring_register), or by "
             "the sysctl kernel.io_uring_disabled (set it to 0)";
    case EINVAL:
      return "this kernel's io_uring is too old: kernel 6.1 or newer is needed";
    case ENOMEM:
      return "not enough locked memory for a ring: raise the memlock limit "
             "(ulimit -l, LimitMEMLOCK=)";
    case EMFILE:
    case ENFILE:
      return "no file descriptor is left for a ring: raise the limit of open files "
             "(ulimit -n, LimitNOFILE=)";
    default:
      return "io_uring cannot be set up";
  }
}

// EBUSY and EAGAIN: completions must be reaped first; EINTR, ETIME: nothing is wrong. Anything
// else (EBADR: completions were lost) means that the kernel's state and ours differ.
int Refusal(int result) {
  const bool fine =
      result >= 0 || result == -EINTR || result == -ETIME || result == -EBUSY || result == -EAGAIN;
  return fine ? 0 : -result;
}

}  // namespace

absl::Status UringRefused(int error) {
  return base::Unavailable(WhatToDo(error) + " (" + strerror(error) + ")");
}

absl::StatusOr<UringRing> UringRing::Create(uint32_t entries, bool no_iowait,
                                            uint32_t completions) {
  UringRing ring;
  int result = -EINVAL;
  const uint32_t least = std::min(completions, kCompletionEntriesLeast);
  for (uint32_t cq = completions; cq >= least; cq /= 2) {
    io_uring_params params{};
    params.flags = kSetupFlags;
    params.cq_entries = std::max(cq, entries);
    result = io_uring_queue_init_params(entries, &ring.ring_, &params);
    if (result != -ENOMEM) {
      break;
    }
  }
  if (result < 0) {
    return UringRefused(-result);
  }
  ring.live_ = true;
  ring.enter_flags_ = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
  if (no_iowait) {
    ring.enter_flags_ |= abi::kEnterNoIowait;
  }
  io_uring_ring_dontfork(&ring.ring_);
  if (io_uring_register_ring_fd(&ring.ring_) == 1) {
    ring.enter_flags_ |= IORING_ENTER_REGISTERED_RING;
  }
  return ring;
}

UringRing::UringRing(UringRing&& other) noexcept
    : ring_(other.ring_),
      enter_flags_(other.enter_flags_),
      live_(std::exchange(other.live_, false)) {}

UringRing::~UringRing() {
  if (live_) {
    io_uring_queue_exit(&ring_);
  }
}

io_uring_sqe* UringRing::Entry() {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_);
  if (entry == nullptr) {
    // Interrupted calls are repeated; any other refusal would be repeated without end.
    int result;
    do {
      result = Call(Publish(), 0, nullptr);
    } while (result == -EINTR || result == -EAGAIN);
    entry = io_uring_get_sqe(&ring_);
    CHECK(entry != nullptr);
  }
  std::memset(static_cast<void*>(entry), 0, sizeof *entry);
  return entry;
}

// liburing filled the index array with the identity when it made the ring.
uint32_t UringRing::Publish() {
  io_uring_sq& sq = ring_.sq;
  if (sq.sqe_head != sq.sqe_tail) {
    __atomic_store_n(sq.ktail, sq.sqe_tail, __ATOMIC_RELEASE);
    sq.sqe_head = sq.sqe_tail;
  }
  return sq.sqe_tail - __atomic_load_n(sq.khead, __ATOMIC_ACQUIRE);
}

int UringRing::Call(uint32_t submit, uint32_t wait_for, io_uring_getevents_arg* argument) {
  io_uring_getevents_arg none{};
  none.sigmask_sz = _NSIG / 8;
  const int result = io_uring_enter2(
      static_cast<unsigned>(ring_.enter_ring_fd), submit, wait_for, enter_flags_,
      reinterpret_cast<sigset_t*>(argument == nullptr ? &none : argument), sizeof none);
  return result;
}

int UringRing::Enter(base::Instant now, base::Instant until) {
  const uint32_t submit = Publish();
  if (until <= now || more_pending()) {
    return Refusal(Call(submit, 0, nullptr));
  }
  io_uring_getevents_arg argument{};
  argument.sigmask_sz = _NSIG / 8;
  __kernel_timespec timeout{};
  if (until != base::Instant::Never()) {
    const int64_t wait = until.nanoseconds() - now.nanoseconds();
    timeout.tv_sec = wait / 1'000'000'000;
    timeout.tv_nsec = wait % 1'000'000'000;
    argument.ts = reinterpret_cast<uint64_t>(&timeout);
  }
  return Refusal(Call(submit, 1, &argument));
}

}  // namespace io
