#include "io/uring_probe.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/status.h"
#include "io/buffer_ring.h"
#include "io/uring_ring.h"

namespace io {
namespace {

constexpr uint32_t kChunk = 4096;
constexpr uint64_t kReceiveTag = 1;
constexpr uint64_t kCancelTag = 2;
constexpr uint64_t kNopTag = 3;
constexpr int kRoundsAtMost = 64;

const std::array<int, 7> kOperations = {
    IORING_OP_ACCEPT,       IORING_OP_RECV,    IORING_OP_SEND, IORING_OP_SENDMSG,
    IORING_OP_ASYNC_CANCEL, IORING_OP_CONNECT, IORING_OP_READ};

struct SocketPair {
  int ends[2] = {-1, -1};
  SocketPair() {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
      ends[0] = ends[1] = -1;
    }
  }
  ~SocketPair() {
    for (const int end : ends) {
      if (end >= 0) {
        close(end);
      }
    }
  }
};

bool OperationsKnown(UringRing* ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(ring->get());
  if (probe == nullptr) {
    return false;
  }
  bool known = true;
  for (const int operation : kOperations) {
    known = known && io_uring_opcode_supported(probe, operation) != 0;
  }
  io_uring_free_probe(probe);
  return known;
}

// Waits a bounded while for completions until `enough` of them were seen.
std::vector<io_uring_cqe> Collect(UringRing* ring, size_t enough) {
  std::vector<io_uring_cqe> seen;
  for (int round = 0; round < kRoundsAtMost && seen.size() < enough; ++round) {
    const base::Instant now = base::Instant::MonotonicNow();
    if (ring->Enter(now, now + absl::Milliseconds(10)) != 0) {
      break;
    }
    ring->Reap([&seen](const io_uring_cqe& completion) { seen.push_back(completion); });
  }
  return seen;
}

bool NopWorks(UringRing* ring) {
  io_uring_sqe* entry = ring->Entry();
  io_uring_prep_nop(entry);
  io_uring_sqe_set_data64(entry, kNopTag);
  const std::vector<io_uring_cqe> seen = Collect(ring, 1);
  return seen.size() == 1 && seen[0].user_data == kNopTag && seen[0].res == 0;
}

// Two messages through one multishot receive, then a cancel. With incremental buffers the second
// must follow the first in the same chunk. 0, or an errno: EINVAL if this kernel cannot do it.
int TryReceive(UringRing* ring, uint16_t group, bool incremental) {
  const ReceiveShape shape{kChunk, 4, 4};
  BufferRing buffers(ring->get(), group, shape, incremental);
  if (const int error = buffers.Register(); error != 0) {
    return error;
  }
  SocketPair pair;
  if (pair.ends[0] < 0) {
    return EMFILE;
  }
  CHECK(buffers.TopUp());
  io_uring_sqe* entry = ring->Entry();
  io_uring_prep_recv_multishot(entry, pair.ends[0], nullptr, 0, 0);
  entry->flags |= IOSQE_BUFFER_SELECT;
  entry->buf_group = group;
  io_uring_sqe_set_data64(entry, kReceiveTag);
  const char* const messages[] = {"first", "second"};
  bool good = true;
  std::vector<base::Slice> slices;
  for (const char* message : messages) {
    const auto length = static_cast<ssize_t>(strlen(message));
    good = good && send(pair.ends[1], message, strlen(message), MSG_NOSIGNAL) == length;
    for (const io_uring_cqe& completion : Collect(ring, 1)) {
      good = good && completion.res == length && (completion.flags & IORING_CQE_F_MORE) != 0 &&
             (completion.flags & IORING_CQE_F_BUFFER) != 0;
      if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
        slices.push_back(buffers.Received(completion, static_cast<uint32_t>(length)));
        good = good && slices.back().view() == message;
      }
    }
  }
  good = good && slices.size() == 2;
  if (good && incremental) {
    good = slices[1].data() == slices[0].data() + slices[0].size();
  }
  entry = ring->Entry();
  io_uring_prep_cancel64(entry, kReceiveTag, 0);
  io_uring_sqe_set_data64(entry, kCancelTag);
  const size_t ended = Collect(ring, 2).size();
  return good && ended == 2 ? 0 : EINVAL;
}

}  // namespace

UringSupport ProbeUring() {
  UringSupport support;
  absl::StatusOr<UringRing> ring = UringRing::Create(64, false);
  if (!ring.ok()) {
    support.reason = base::Message(ring.status());
    return support;
  }
  if (!NopWorks(&*ring)) {
    support.reason = "io_uring_setup works here but io_uring_enter does not (a seccomp profile?)";
    return support;
  }
  const int error = OperationsKnown(&*ring) ? TryReceive(&*ring, 0, false) : EINVAL;
  if (error != 0) {
    support.reason = base::Message(UringRefused(error));
    return support;
  }
  support.usable = true;
  support.incremental = TryReceive(&*ring, 1, true) == 0;
  support.no_iowait = (ring->get()->features & abi::kFeatureNoIowait) != 0;
  return support;
}

}  // namespace io
