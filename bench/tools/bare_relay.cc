// The floor: a TCP relay that reads nothing of what it moves. Every accepted connection gets one
// to the target, and bytes go both ways, as cheaply as we know how with io_uring: one thread, one
// io_uring_enter per round, multishot receives into few hot buffers, one send in flight per socket
// and everything that arrives meanwhile in the next one. What a proxy costs beyond this program is
// what it costs to understand the protocol.
//
// Pool memory is sent with MSG_DONTWAIT; what did not fit is copied into the side's own memory, so
// that a slow reader cannot hold the pool. Above kHighMark bytes towards a side, its peer is not
// read. A pair is freed when the kernel owes none of its operations.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/tools/address.h"
#include "bench/tools/relay_pool.h"

namespace {

using bench::Piece;
using bench::RelayPool;

constexpr size_t kHighMark = 256u << 10;
constexpr size_t kLowMark = 64u << 10;
constexpr size_t kMaxVectors = 64;

enum class Op : uint64_t { kAccept, kConnect, kReceive, kSend, kCancel };

struct Pair;

// One socket of a pair, and the bytes on their way to it.
struct Side {
  Pair* pair = nullptr;
  Side* peer = nullptr;
  int fd = -1;
  uint16_t group = 0;
  bool receiving = false;   // a multishot receive is with the kernel
  bool cancelling = false;  // and has been asked to end
  bool starved = false;     // waits for a free chunk
  bool paused = false;      // the peer has too much to send
  bool ended = false;       // end of file was read here
  bool finished = false;    // and has been passed on to this side's socket
  bool sending = false;
  bool dirty = false;
  size_t queued = 0;            // bytes in pieces + owned
  std::vector<Piece> pieces;    // pool memory, oldest first
  size_t in_flight_pieces = 0;  // how many of them the send covers
  std::string owned;            // copied bytes, sent before any piece
  std::string owned_next;       // what arrived while `owned` was with the kernel
  size_t owned_at = 0;
  std::vector<iovec> vectors;
  msghdr message{};
};

struct Pair {
  Side client;
  Side server;
  int owed = 0;  // operations the kernel has not completed
  bool dead = false;
};

// A socket with an operation's name in the low bits; 16-byte aligned by operator new.
uint64_t Tag(const void* p, Op op) {
  return reinterpret_cast<uint64_t>(p) | static_cast<uint64_t>(op);
}

class Relay {
 public:
  Relay(io_uring* ring, int listener, const bench::Address& target);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  void Run();
  [[nodiscard]] bool incremental() const { return client_pool_.incremental(); }

 private:
  io_uring_sqe* Sqe();
  RelayPool& PoolOf(const Side& side) { return side.group == 0 ? client_pool_ : server_pool_; }
  void ArmAccept();
  void ArmReceive(Side& side);
  void PauseReceive(Side& side);
  void Dispatch(const io_uring_cqe& cqe);
  void OnAccept(const io_uring_cqe& cqe);
  void OnReceive(Side& side, const io_uring_cqe& cqe);
  void OnSend(Side& side, int result);
  void Queue(Side& to, const Piece& piece);
  void MarkDirty(Side& side);
  void Send(Side& side);
  void CopyOut(Side& side, size_t sent);
  void DropSent(Side& side, size_t sent);
  void Kill(Pair& pair);
  void MaybeFree(Pair& pair);
  void EndOfRound();

  io_uring* ring_;
  int listener_;
  bench::Address target_;
  RelayPool client_pool_;
  RelayPool server_pool_;
  std::vector<Side*> dirty_;
  std::deque<Side*> starved_;
};

Relay::Relay(io_uring* ring, int listener, const bench::Address& target)
    : ring_(ring),
      listener_(listener),
      target_(target),
      client_pool_(ring, 0, {.chunk_size = 64u << 10, .chunks = 32, .posted = 4},
                   {.chunk_size = 4u << 10, .chunks = 512, .posted = 128}),
      server_pool_(ring, 1, {.chunk_size = 256u << 10, .chunks = 32, .posted = 4},
                   {.chunk_size = 16u << 10, .chunks = 128, .posted = 64}) {}

io_uring_sqe* Relay::Sqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(ring_);
  while (sqe == nullptr) {
    io_uring_submit(ring_);
    sqe = io_uring_get_sqe(ring_);
  }
  return sqe;
}

void Relay::ArmAccept() {
  io_uring_sqe* sqe = Sqe();
  io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = Tag(nullptr, Op::kAccept);
}

void Relay::ArmReceive(Side& side) {
  if (side.receiving || side.starved || side.paused || side.ended || side.pair->dead) return;
  if (PoolOf(side).empty()) {
    side.starved = true;
    starved_.push_back(&side);
    return;
  }
  io_uring_sqe* sqe = Sqe();
  io_uring_prep_recv_multishot(sqe, side.fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = side.group;
  sqe->user_data = Tag(&side, Op::kReceive);
  side.receiving = true;
  ++side.pair->owed;
}

void Relay::PauseReceive(Side& side) {
  side.paused = true;
  if (!side.receiving || side.cancelling) return;
  io_uring_sqe* sqe = Sqe();
  io_uring_prep_cancel64(sqe, Tag(&side, Op::kReceive), 0);
  sqe->user_data = Tag(&side, Op::kCancel);
  side.cancelling = true;
  ++side.pair->owed;
}

void Relay::Run() {
  ArmAccept();
  for (;;) {
    const int result = io_uring_submit_and_wait(ring_, 1);
    if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
      std::fprintf(stderr, "bare_relay: io_uring_enter: %s\n", std::strerror(-result));
      std::exit(1);
    }
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(ring_, head, cqe) {
      ++seen;
      Dispatch(*cqe);
    }
    io_uring_cq_advance(ring_, seen);
    EndOfRound();
  }
}

void Relay::Dispatch(const io_uring_cqe& cqe) {
  const auto op = static_cast<Op>(cqe.user_data & 15);
  if (op == Op::kAccept) return OnAccept(cqe);
  Side& side = *reinterpret_cast<Side*>(cqe.user_data & ~uint64_t{15});
  Pair& pair = *side.pair;
  switch (op) {
    case Op::kReceive:
      OnReceive(side, cqe);
      break;
    case Op::kSend:
      --pair.owed;
      OnSend(side, cqe.res);
      break;
    case Op::kConnect:
      --pair.owed;
      if (cqe.res < 0) {
        Kill(pair);
      } else {
        ArmReceive(pair.client);
        ArmReceive(pair.server);
      }
      break;
    case Op::kCancel:
      --pair.owed;
      side.cancelling = false;
      break;
    case Op::kAccept:
      break;
  }
  MaybeFree(pair);
}

void Relay::OnAccept(const io_uring_cqe& cqe) {
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) ArmAccept();
  if (cqe.res < 0) return;
  const int one = 1;
  setsockopt(cqe.res, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  const int server = bench::NewSocket(target_);
  if (server < 0) {
    close(cqe.res);
    return;
  }
  auto pair = std::make_unique<Pair>();
  pair->client.fd = cqe.res;
  pair->server.fd = server;
  pair->server.group = 1;
  pair->client.pair = pair->server.pair = pair.get();
  pair->client.peer = &pair->server;
  pair->server.peer = &pair->client;
  io_uring_sqe* sqe = Sqe();
  io_uring_prep_connect(sqe, server, target_.get(), target_.size);
  sqe->user_data = Tag(&pair->server, Op::kConnect);
  ++pair->owed;
  static_cast<void>(pair.release());  // the kernel's completions hold it now; MaybeFree ends it
}

void Relay::OnReceive(Side& side, const io_uring_cqe& cqe) {
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
    --side.pair->owed;
    side.receiving = false;
  }
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0 && cqe.res >= 0) {
    const Piece piece = PoolOf(side).Take(cqe.flags, static_cast<uint32_t>(cqe.res));
    if (side.pair->dead || cqe.res == 0) {
      PoolOf(side).Release(piece);
    } else {
      Queue(*side.peer, piece);
    }
  }
  if (side.pair->dead) return;
  if (cqe.res == 0) {
    side.ended = true;
    MarkDirty(*side.peer);
  } else if (cqe.res < 0 && cqe.res != -ENOBUFS && cqe.res != -ECANCELED && cqe.res != -EINTR) {
    return Kill(*side.pair);
  }
  if (cqe.res == -ENOBUFS && !side.starved && !side.paused) {
    side.starved = true;
    starved_.push_back(&side);
  } else {
    ArmReceive(side);
  }
}

void Relay::Queue(Side& to, const Piece& piece) {
  to.queued += piece.size;
  if (to.owned_at < to.owned.size() || !to.owned_next.empty()) {
    to.owned_next.append(piece.data, piece.size);  // the socket is full: do not hold the pool
    PoolOf(*to.peer).Release(piece);
  } else {
    Piece* last = to.pieces.size() > to.in_flight_pieces ? &to.pieces.back() : nullptr;
    if (last != nullptr && last->data + last->size == piece.data && last->chunk == piece.chunk) {
      last->size += piece.size;
      PoolOf(*to.peer).Release(piece);
    } else {
      to.pieces.push_back(piece);
    }
  }
  if (to.queued > kHighMark && !to.peer->paused) PauseReceive(*to.peer);
  MarkDirty(to);
}

void Relay::MarkDirty(Side& side) {
  if (side.dirty || side.sending) return;
  side.dirty = true;
  ++side.pair->owed;  // the list holds the pair too
  dirty_.push_back(&side);
}

void Relay::Send(Side& side) {
  if (side.owned_at == side.owned.size()) {
    side.owned.clear();
    side.owned_at = 0;
    std::swap(side.owned, side.owned_next);
  }
  if (side.owned.empty() && side.pieces.empty()) {
    if (side.peer->ended && !side.finished) {
      side.finished = true;
      shutdown(side.fd, SHUT_WR);
    }
    return;
  }
  io_uring_sqe* sqe = Sqe();
  if (!side.owned.empty()) {
    io_uring_prep_send(sqe, side.fd, side.owned.data() + side.owned_at,
                       side.owned.size() - side.owned_at, MSG_NOSIGNAL | MSG_WAITALL);
  } else if (side.pieces.size() == 1) {
    side.in_flight_pieces = 1;
    io_uring_prep_send(sqe, side.fd, side.pieces[0].data, side.pieces[0].size,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
  } else {
    side.in_flight_pieces = std::min(side.pieces.size(), kMaxVectors);
    side.vectors.clear();
    for (size_t i = 0; i < side.in_flight_pieces; ++i) {
      side.vectors.push_back({side.pieces[i].data, side.pieces[i].size});
    }
    side.message.msg_iov = side.vectors.data();
    side.message.msg_iovlen = side.vectors.size();
    io_uring_prep_sendmsg(sqe, side.fd, &side.message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  sqe->user_data = Tag(&side, Op::kSend);
  side.sending = true;
  ++side.pair->owed;
}

void Relay::OnSend(Side& side, int result) {
  side.sending = false;
  if (side.pair->dead) return;
  if (result < 0 && result != -EAGAIN && result != -EINTR) return Kill(*side.pair);
  const size_t sent = result < 0 ? 0 : static_cast<size_t>(result);
  side.queued -= sent;
  if (side.owned_at < side.owned.size()) {
    side.owned_at += sent;
  } else {
    size_t covered = 0;
    for (size_t i = 0; i < side.in_flight_pieces; ++i) covered += side.pieces[i].size;
    if (sent < covered) {
      CopyOut(side, sent);
    } else {
      DropSent(side, side.in_flight_pieces);
    }
  }
  side.in_flight_pieces = 0;
  if (side.queued < kLowMark && side.peer->paused) {
    side.peer->paused = false;
    ArmReceive(*side.peer);
  }
  if (side.queued > 0 || side.peer->ended) MarkDirty(side);
}

void Relay::DropSent(Side& side, size_t pieces) {
  for (size_t i = 0; i < pieces; ++i) PoolOf(*side.peer).Release(side.pieces[i]);
  side.pieces.erase(side.pieces.begin(), side.pieces.begin() + static_cast<ptrdiff_t>(pieces));
}

// The socket is full: everything after the `sent` bytes moves to memory of our own.
void Relay::CopyOut(Side& side, size_t sent) {
  side.owned.clear();
  side.owned_at = 0;
  for (const Piece& piece : side.pieces) {
    const size_t skip = std::min<size_t>(sent, piece.size);
    side.owned.append(piece.data + skip, piece.size - skip);
    sent -= skip;
  }
  DropSent(side, side.pieces.size());
}

void Relay::Kill(Pair& pair) {
  if (pair.dead) return;
  pair.dead = true;
  shutdown(pair.client.fd, SHUT_RDWR);  // ends receives and sends that are with the kernel
  shutdown(pair.server.fd, SHUT_RDWR);
}

void Relay::MaybeFree(Pair& pair) {
  const bool both_over = pair.client.finished && pair.server.finished;
  if (pair.owed > 0 || (!both_over && !pair.dead)) return;
  for (Side* side : {&pair.client, &pair.server}) {
    if (side->starved) std::erase(starved_, side);
    DropSent(*side, side->pieces.size());
    close(side->fd);
  }
  delete &pair;  // released in OnAccept
}

void Relay::EndOfRound() {
  for (size_t i = 0; i < dirty_.size(); ++i) {
    Side& side = *dirty_[i];
    side.dirty = false;
    --side.pair->owed;
    if (!side.pair->dead && !side.sending) Send(side);
    MaybeFree(*side.pair);
  }
  dirty_.clear();
  client_pool_.TopUp();
  server_pool_.TopUp();
  // Armed only as long as there are chunks; what finds none queues itself again.
  for (size_t n = starved_.size(); n > 0; --n) {
    Side& side = *starved_.front();
    starved_.pop_front();
    side.starved = false;
    ArmReceive(side);
  }
}

void OpenRing(io_uring* ring) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP |
                 IORING_SETUP_CQSIZE;
  params.cq_entries = 4096;
  const int result = io_uring_queue_init_params(256, ring, &params);
  if (result != 0) {
    std::fprintf(stderr, "bare_relay: io_uring_setup: %s (needs Linux 6.1)\n",
                 std::strerror(-result));
    std::exit(1);
  }
  io_uring_register_ring_fd(ring);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 || std::string_view(argv[1]) != "--listen" ||
      std::string_view(argv[3]) != "--target") {
    std::fprintf(stderr, "usage: bare_relay --listen HOST:PORT --target HOST:PORT|unix:PATH\n");
    return 2;
  }
  bench::RaiseDescriptorLimit();
  std::signal(SIGPIPE, SIG_IGN);
  const bench::Address target = bench::ParseAddress(argv[4]);
  const int listener = bench::Listen(argv[2]);
  io_uring ring{};
  OpenRing(&ring);
  Relay relay(&ring, listener, target);
  std::printf("ready%s\n", relay.incremental() ? "" : " (classic buffers)");
  std::fflush(stdout);
  relay.Run();
}
