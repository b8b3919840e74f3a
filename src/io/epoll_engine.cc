#include "io/epoll_engine.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "io/sockets.h"

namespace io {
namespace {

constexpr int kEventsAtOnce = 256;
constexpr int kAcceptsAtOnce = 64;
constexpr uint32_t kTailMin = 2048;  // a chunk with less room than this is not received into
constexpr uint32_t kReceivable = EPOLLIN | EPOLLRDHUP;
constexpr uint32_t kEnded = EPOLLRDHUP | EPOLLERR | EPOLLHUP;
constexpr uint64_t kWakeTag = UINT64_MAX;
constexpr uint64_t kListenerTag = uint64_t{1} << 63;

uint64_t TagOf(SocketId id) { return uint64_t{id.generation} << 32 | id.slot; }

int WaitMilliseconds(base::Instant until) {
  if (until == base::Instant::Never()) {
    return -1;
  }
  const int64_t left = until.nanoseconds() - base::Instant::MonotonicNow().nanoseconds();
  if (left <= 0) {
    return 0;
  }
  return static_cast<int>(std::min<int64_t>((left + 999'999) / 1'000'000, 60'000));
}

}  // namespace

EpollEngine::EpollEngine(uint32_t buffer_bytes)
    : EpollEngine(ClientShape(buffer_bytes, true), ServerShape(buffer_bytes, true)) {}

EpollEngine::EpollEngine(const ReceiveShape& client, const ReceiveShape& server)
    : EpollEngine(Open(), client, server) {}

EpollEngine::Descriptors EpollEngine::Open() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  return {epoll, epoll < 0 ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
}

absl::StatusOr<std::unique_ptr<EpollEngine>> EpollEngine::Create(uint32_t buffer_bytes) {
  const Descriptors own = Open();
  if (own.wake < 0) {
    const int error = errno;
    if (own.epoll >= 0) {
      close(own.epoll);
    }
    return base::ErrnoError("epoll: raise the limit of open files (ulimit -n, LimitNOFILE=)",
                            error);
  }
  const ReceiveShape client = ClientShape(buffer_bytes, true);
  const ReceiveShape server = ServerShape(buffer_bytes, true);
  return std::unique_ptr<EpollEngine>(new EpollEngine(own, client, server));
}

EpollEngine::EpollEngine(Descriptors own, const ReceiveShape& client, const ReceiveShape& server)
    : epoll_(own.epoll),
      wake_(own.wake),
      client_receiver_(client),
      server_receiver_(server) {
  CHECK(epoll_ >= 0 && wake_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0);
}

EpollEngine::~EpollEngine() {
  for (Listener& listener : listeners_) {
    if (listener.descriptor >= 0) {
      close(listener.descriptor);
    }
  }
  CHECK(sockets_.live() == 0);
  for (Receiver* receiver : {&client_receiver_, &server_receiver_}) {
    if (receiver->chunk != nullptr) {
      receiver->pool.LetGo(receiver->chunk);
    }
  }
  close(wake_);
  close(epoll_);
}

// -- sockets --------------------------------------------------------------------------------------

SocketId EpollEngine::Adopt(int descriptor, Endpoint* endpoint, Traffic traffic) {
  TuneSocket(descriptor, tcp_);
  const int flags = fcntl(descriptor, F_GETFL);
  if ((flags & O_NONBLOCK) == 0) {
    static_cast<void>(fcntl(descriptor, F_SETFL, flags | O_NONBLOCK));
  }
  Socket socket;
  socket.endpoint = endpoint;
  socket.descriptor = descriptor;
  socket.traffic = traffic;
  return sockets_.Add(std::move(socket));
}

void EpollEngine::Discard(int descriptor) {
  close(descriptor);
  ResumeListeners();
}

SocketId EpollEngine::Dial(const Address& address, Endpoint* endpoint, Traffic traffic) {
  Socket fresh;
  fresh.endpoint = endpoint;
  fresh.traffic = traffic;
  fresh.descriptor = OpenSocket(address, SOCK_NONBLOCK);
  const SocketId id = sockets_.Add(std::move(fresh));
  Socket& socket = sockets_.At(id);
  metrics_.system_calls.Add();
  if (socket.descriptor < 0) {
    pending_.push_back(Pending{id, News::kConnected, -socket.descriptor});
  } else if (connect(socket.descriptor, address.get(), address.length()) == 0) {
    pending_.push_back(Pending{id, News::kConnected, 0});
  } else if (errno == EINPROGRESS) {
    socket.connecting = true;
    Watch(id, socket);
  } else {
    pending_.push_back(Pending{id, News::kConnected, errno});
  }
  return id;
}

// Registers what the socket waits for; a socket that waits for nothing is not registered, since
// epoll would report its end again and again.
void EpollEngine::Watch(SocketId id, Socket& socket) {
  uint32_t wanted = 0;
  if (socket.receiving && !socket.starved) {
    wanted |= kReceivable;
  }
  if (socket.connecting || !socket.unsent.empty()) {
    wanted |= EPOLLOUT;
  }
  if (wanted == socket.watched) {
    return;
  }
  epoll_event event{};
  // A socket that is only received from is told once per arrival: told again and again, the kernel
  // would look at it twice for each query.
  event.events = wanted == kReceivable ? wanted | EPOLLET : wanted;
  event.data.u64 = TagOf(id);
  const int operation = wanted == 0           ? EPOLL_CTL_DEL
                        : socket.watched == 0 ? EPOLL_CTL_ADD
                                              : EPOLL_CTL_MOD;
  metrics_.system_calls.Add();
  CHECK(epoll_ctl(epoll_, operation, socket.descriptor, &event) == 0);
  socket.watched = wanted;
}

void EpollEngine::StartReceive(SocketId id) {
  Socket& socket = sockets_.At(id);
  socket.receiving = true;
  socket.stopping = false;
  Watch(id, socket);
}

void EpollEngine::StopReceive(SocketId id) {
  Socket& socket = sockets_.At(id);
  if (!socket.receiving) {
    return;
  }
  socket.receiving = false;
  socket.stopping = true;
  Watch(id, socket);
  pending_.push_back(Pending{id, News::kStopped, 0});
}

void EpollEngine::Send(SocketId id, const iovec* pieces, uint32_t count, SendMode mode) {
  Socket& socket = sockets_.At(id);
  metrics_.sends.Add();
  metrics_.system_calls.Add();
  const int64_t sent = SendNow(socket.descriptor, pieces, FAULT_POINT("io.send.short") ? 1 : count);
  int64_t total = 0;
  for (uint32_t i = 0; i < count; ++i) {
    total += static_cast<int64_t>(pieces[i].iov_len);
  }
  const bool waits = sent == -EAGAIN || (sent >= 0 && sent < total);
  if (mode == SendMode::kNow || !waits) {
    pending_.push_back(Pending{id, News::kSent, sent});
    return;
  }
  socket.unsent.assign(pieces, pieces + count);
  socket.sent = 0;
  if (sent > 0) {
    socket.sent = sent;
  }
  Watch(id, socket);
}

// Goes on with a kAll send; `sent` bytes of its pieces are gone.
void EpollEngine::SendOn(SocketId id, Socket& socket) {
  std::array<iovec, kSendPieces> rest;
  uint32_t count = 0;
  int64_t skip = socket.sent;
  int64_t left = 0;
  for (const iovec& piece : socket.unsent) {
    const auto length = static_cast<int64_t>(piece.iov_len);
    if (skip >= length) {
      skip -= length;
      continue;
    }
    rest[count].iov_base = static_cast<char*>(piece.iov_base) + skip;
    rest[count].iov_len = static_cast<size_t>(length - skip);
    left += length - skip;
    skip = 0;
    ++count;
  }
  metrics_.system_calls.Add();
  const int64_t sent = SendNow(socket.descriptor, rest.data(), count);
  if (sent == -EAGAIN) {
    return;
  }
  const int64_t result = sent < 0 ? sent : socket.sent + sent;
  if (sent >= 0 && sent < left) {
    socket.sent += sent;
    return;
  }
  socket.unsent.clear();
  Watch(id, socket);
  metrics_.sent_bytes.Add(result > 0 ? static_cast<uint64_t>(result) : 0);
  socket.endpoint->OnSent(result);
}

void EpollEngine::ShutdownSend(SocketId id) { shutdown(sockets_.At(id).descriptor, SHUT_WR); }

void EpollEngine::Release(SocketId id) {
  Socket& socket = sockets_.At(id);
  CHECK(!socket.releasing);
  socket.releasing = true;
  pending_.push_back(Pending{id, News::kReleased, 0});
}

Address EpollEngine::PeerAddress(SocketId id) {
  Socket* socket = sockets_.Find(id);
  return socket == nullptr ? Address() : PeerAddressOf(socket->descriptor);
}

// -- listeners ------------------------------------------------------------------------------------

absl::StatusOr<Address> EpollEngine::Listen(const Address& address, Acceptor* acceptor) {
  ASSIGN_OR_RETURN(const int descriptor, OpenListener(address, SOCK_NONBLOCK));
  RETURN_IF_ERROR(ListenShared(descriptor, acceptor));
  return BoundAddress(descriptor);
}

absl::Status EpollEngine::ListenShared(int descriptor, Acceptor* acceptor) {
  Listener listener;
  listener.descriptor = descriptor;
  listener.acceptor = acceptor;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kListenerTag | listeners_.size();
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) {
    const int error = errno;
    close(descriptor);
    return base::ErrnoError("epoll", error);
  }
  listeners_.push_back(listener);
  return absl::OkStatus();
}

void EpollEngine::AcceptQueued(Acceptor* acceptor) {
  for (const Listener& listener : listeners_) {
    if (listener.acceptor == acceptor) {
      metrics_.accepts.Add(AcceptWaiting(listener.descriptor, SOCK_NONBLOCK, acceptor));
    }
  }
}

void EpollEngine::StopListening(Acceptor* acceptor) {
  for (Listener& listener : listeners_) {
    if (listener.acceptor == acceptor && listener.descriptor >= 0) {
      // By hand: closing one of several descriptors of a socket does not take it off the set.
      epoll_ctl(epoll_, EPOLL_CTL_DEL, listener.descriptor, nullptr);
      close(std::exchange(listener.descriptor, -1));
      listener.resume_at = base::Instant::Never();
    }
  }
}

void EpollEngine::HandleListener(uint32_t index) {
  for (int i = 0; i < kAcceptsAtOnce && listeners_[index].descriptor >= 0; ++i) {
    metrics_.system_calls.Add();
    const int descriptor =
        accept4(listeners_[index].descriptor, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0) {
      metrics_.accepts.Add();
      listeners_[index].acceptor->OnAccepted(descriptor);
      continue;
    }
    if (IsOutOfResources(errno)) {
      const int error = errno;
      metrics_.accept_failures.Add();
      // Until a socket is closed here; others may close theirs, so look again after a while.
      listeners_[index].resume_at = Now() + kAcceptPause;
      epoll_ctl(epoll_, EPOLL_CTL_DEL, listeners_[index].descriptor, nullptr);
      listeners_[index].acceptor->OnAcceptFailed(error);
    }
    return;
  }
}

void EpollEngine::ResumeListeners() {
  for (size_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].resume_at != base::Instant::Never() && listeners_[i].descriptor >= 0) {
      listeners_[i].resume_at = base::Instant::Never();
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = kListenerTag | i;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, listeners_[i].descriptor, &event);
    }
  }
}

// -- the round ------------------------------------------------------------------------------------

void EpollEngine::Wake() {
  const uint64_t one = 1;
  const ssize_t written = write(wake_, &one, sizeof one);
  CHECK(written == sizeof one || errno == EAGAIN);
}

bool EpollEngine::TellKnown() {
  if (pending_.empty()) {
    return false;
  }
  telling_.swap(pending_);
  bool closed = false;
  for (const Pending& pending : telling_) {
    Socket* socket = sockets_.Find(pending.socket);
    if (socket == nullptr) {
      continue;
    }
    Endpoint* endpoint = socket->endpoint;
    if (pending.news == News::kReleased) {
      if (socket->descriptor >= 0) {
        close(socket->descriptor);  // which takes it off epoll's list
        closed = true;
      }
      sockets_.Remove(pending.socket);
      endpoint->OnReleased();
    } else if (socket->releasing) {
      continue;
    } else if (pending.news == News::kSent) {
      metrics_.sent_bytes.Add(pending.value > 0 ? static_cast<uint64_t>(pending.value) : 0);
      endpoint->OnSent(pending.value);
    } else if (pending.news == News::kConnected) {
      TuneSocket(socket->descriptor, tcp_);
      endpoint->OnConnected(static_cast<int>(pending.value));
    } else if (std::exchange(socket->stopping, false)) {
      endpoint->OnReceiveEnded(ECANCELED);
    }
  }
  telling_.clear();
  if (closed) {
    ResumeListeners();
  }
  return true;
}

void EpollEngine::Poll(base::Instant until) {
  metrics_.rounds.Add();
  std::array<epoll_event, kEventsAtOnce> events;
  const bool told = TellKnown();
  RestartStarved();
  for (const Listener& listener : listeners_) {
    until = std::min(until, listener.resume_at);
  }
  metrics_.system_calls.Add();
  const int timeout = told || !unread_.empty() ? 0 : WaitMilliseconds(until);
  const int count = epoll_wait(epoll_, events.data(), kEventsAtOnce, timeout);
  ReadOn();
  for (int i = 0; i < count; ++i) {
    const uint64_t tag = events[static_cast<size_t>(i)].data.u64;
    const uint32_t what = events[static_cast<size_t>(i)].events;
    if (tag == kWakeTag) {
      uint64_t wakes;
      metrics_.system_calls.Add();
      static_cast<void>(read(wake_, &wakes, sizeof wakes));
    } else if ((tag & kListenerTag) != 0) {
      HandleListener(static_cast<uint32_t>(tag));
    } else {
      HandleSocket(SocketId{static_cast<uint32_t>(tag), static_cast<uint32_t>(tag >> 32)}, what);
    }
  }
  for (const Listener& listener : listeners_) {
    if (listener.resume_at != base::Instant::Never() && listener.resume_at <= Now()) {
      ResumeListeners();
    }
  }
  TellKnown();
}

// Sockets that had more than one receive took, or an end behind it, are told of no more by epoll:
// they are received from, once a round, until there is nothing.
void EpollEngine::ReadOn() {
  std::vector<SocketId> reading;
  reading.swap(unread_);
  for (const SocketId id : reading) {
    Socket* socket = sockets_.Find(id);
    if (socket != nullptr && socket->receiving && !socket->starved && !socket->releasing) {
      Receive(id, *socket, true);
    }
  }
}

// Chunks come back between rounds only, so a round begins with a look at who waits for one.
void EpollEngine::RestartStarved() {
  std::vector<SocketId> waiting;
  waiting.swap(starved_);
  for (const SocketId id : waiting) {
    Socket* socket = sockets_.Find(id);
    if (socket == nullptr || socket->releasing) {
      continue;
    }
    Receiver& receiver = socket->traffic == Traffic::kClient ? client_receiver_ : server_receiver_;
    if (!PrepareChunk(&receiver)) {
      starved_.push_back(id);
      continue;
    }
    socket->starved = false;
    Watch(id, *socket);
  }
}

void EpollEngine::HandleSocket(SocketId id, uint32_t events) {
  Socket* socket = sockets_.Find(id);
  if (socket == nullptr || socket->releasing) {
    return;
  }
  if (socket->connecting) {
    FinishConnect(id, *socket);
    return;
  }
  if (!socket->unsent.empty() && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    SendOn(id, *socket);
  }
  if (socket->receiving && !socket->starved && (events & (EPOLLIN | kEnded)) != 0) {
    Receive(id, *socket, (events & kEnded) != 0);
  }
}

void EpollEngine::FinishConnect(SocketId id, Socket& socket) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(socket.descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
    error = errno;
  }
  socket.connecting = false;
  TuneSocket(socket.descriptor, tcp_);
  Watch(id, socket);
  socket.endpoint->OnConnected(error);
}

bool EpollEngine::PrepareChunk(Receiver* receiver) {
  if (receiver->chunk != nullptr && receiver->chunk->capacity - receiver->used < kTailMin) {
    receiver->pool.LetGo(std::exchange(receiver->chunk, nullptr));
  }
  if (receiver->chunk == nullptr) {
    receiver->chunk = receiver->pool.Take();
    receiver->used = 0;
  }
  return receiver->chunk != nullptr;
}

// `more`: there may be more behind what one receive takes.
void EpollEngine::Receive(SocketId id, Socket& socket, bool more) {
  Receiver& receiver = socket.traffic == Traffic::kClient ? client_receiver_ : server_receiver_;
  if (!PrepareChunk(&receiver)) {
    metrics_.starved.Add();
    socket.starved = true;  // not watched meanwhile: it would be readable in every round
    starved_.push_back(id);
    Watch(id, socket);
    return;
  }
  base::Block* chunk = receiver.chunk;
  metrics_.system_calls.Add();
  const uint32_t room = chunk->capacity - receiver.used;
  const int64_t got = ReceiveNow(socket.descriptor, chunk->data + receiver.used, room);
  if (got > 0 && (more || got == room)) {
    unread_.push_back(id);
  }
  if (got > 0) {
    const auto length = static_cast<uint32_t>(got);
    base::Slice bytes(chunk, receiver.used, length);
    receiver.used += length;
    metrics_.receives.Add();
    metrics_.received_bytes.Add(length);
    socket.endpoint->OnReceived(std::move(bytes));
    return;
  }
  if (got == -EAGAIN) {
    return;
  }
  const int error = static_cast<int>(-got);
  socket.receiving = false;
  Watch(id, socket);
  socket.endpoint->OnReceiveEnded(error);
}

}  // namespace io
