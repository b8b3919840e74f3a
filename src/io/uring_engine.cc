#include "io/uring_engine.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "io/sockets.h"

namespace io {
namespace {

constexpr uint16_t kClientGroup = 0;
constexpr uint16_t kServerGroup = 1;

}  // namespace

absl::StatusOr<std::unique_ptr<UringEngine>> UringEngine::Create(const UringOptions& options) {
  ASSIGN_OR_RETURN(UringRing ring,
                   UringRing::Create(options.ring_entries, options.support.no_iowait,
                                     options.completion_entries));
  std::unique_ptr<UringEngine> engine(new UringEngine(std::move(ring), options));
  RETURN_IF_ERROR(engine->Start());
  return engine;
}

UringEngine::UringEngine(UringRing ring, const UringOptions& options)
    : ring_(std::move(ring)),
      client_buffers_(ring_.get(), kClientGroup,
                      options.client_shape.count > 0
                          ? options.client_shape
                          : ClientShape(options.buffer_bytes, options.support.incremental),
                      options.support.incremental),
      server_buffers_(ring_.get(), kServerGroup,
                      options.server_shape.count > 0
                          ? options.server_shape
                          : ServerShape(options.buffer_bytes, options.support.incremental),
                      options.support.incremental) {}

absl::Status UringEngine::Start() {
  for (BufferRing* buffers : {&client_buffers_, &server_buffers_}) {
    if (const int error = buffers->Register(); error != 0) {
      return UringRefused(error);
    }
  }
  wake_ = eventfd(0, EFD_CLOEXEC);
  if (wake_ < 0) {
    return UringRefused(errno);
  }
  ArmWake();
  return absl::OkStatus();
}

UringEngine::~UringEngine() {
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    CloseListener(i);
    if (listeners_[i].descriptor >= 0) {
      close(listeners_[i].descriptor);
    }
  }
  CHECK(sockets_.live() == 0);
  // The ring goes first: it ends the read of the eventfd and what is left of the accepts.
  if (wake_ >= 0) {
    close(wake_);
  }
}

uint64_t UringEngine::Tag(Operation operation, SocketId socket) {
  return uint64_t{static_cast<uint8_t>(operation)} << 56 | uint64_t{socket.generation} << 32 |
         socket.slot;
}

// -- sockets --------------------------------------------------------------------------------------

SocketId UringEngine::Adopt(int descriptor, Endpoint* endpoint, Traffic traffic) {
  TuneSocket(descriptor, tcp_);
  Socket socket;
  socket.endpoint = endpoint;
  socket.descriptor = descriptor;
  socket.traffic = traffic;
  const SocketId id = sockets_.Add(std::move(socket));
  WatchEnd(id, sockets_.At(id));
  return id;
}

// A multishot receive can miss what comes right behind the last bytes, and then nothing wakes it
// any more: the end of a Unix socket (liburing's issue 1549), and on kernel 6.18 one reset in half
// a million of TCP connections. So the kernel is asked for the end separately too, and CheckEnded()
// looks whether the receive knows. The poll wakes for nothing else.
void UringEngine::WatchEnd(SocketId id, Socket& socket) {
  io_uring_sqe* entry = ring_.Entry();
  io_uring_prep_poll_add(entry, socket.descriptor, POLLRDHUP);
  io_uring_sqe_set_data64(entry, Tag(Operation::kEnd, id));
  ++socket.owed;
}

void UringEngine::Discard(int descriptor) {
  close(descriptor);
  ResumeListeners();
}

SocketId UringEngine::Dial(const Address& address, Endpoint* endpoint, Traffic traffic) {
  Socket fresh;
  fresh.endpoint = endpoint;
  fresh.traffic = traffic;
  fresh.descriptor = OpenSocket(address, 0);
  fresh.dialled = std::make_unique<Address>(address);
  const SocketId id = sockets_.Add(std::move(fresh));
  Socket& socket = sockets_.At(id);
  io_uring_sqe* entry = ring_.Entry();
  if (socket.descriptor < 0) {
    // No descriptor: the failure is told like any other, from Poll().
    io_uring_prep_close(entry, -1);
  } else {
    io_uring_prep_connect(entry, socket.descriptor, socket.dialled->get(),
                          socket.dialled->length());
  }
  io_uring_sqe_set_data64(entry, Tag(Operation::kConnect, id));
  socket.connecting = true;
  ++socket.owed;
  return id;
}

void UringEngine::StartReceive(SocketId id) {
  Socket& socket = sockets_.At(id);
  socket.stopping = false;
  if (!socket.receiving) {
    ArmReceive(id, socket);
  }
}

void UringEngine::ArmReceive(SocketId id, Socket& socket) {
  socket.receiving = true;
  if (!BuffersOf(socket).TopUp()) {
    metrics_.starved.Add();
    socket.starved = true;
    starved_.push_back(id);
    return;
  }
  io_uring_sqe* entry = ring_.Entry();
  if (FAULT_POINT("io.receive.deaf")) {
    io_uring_prep_poll_add(entry, wake_, 0);  // waits, can be cancelled, and is never woken
  } else {
    io_uring_prep_recv_multishot(entry, socket.descriptor, nullptr, 0, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = BuffersOf(socket).group();
  }
  io_uring_sqe_set_data64(entry, Tag(Operation::kReceive, id));
  ++socket.owed;
}

void UringEngine::StopReceive(SocketId id) {
  Socket& socket = sockets_.At(id);
  if (!socket.receiving || socket.stopping) {
    return;
  }
  socket.stopping = true;
  CancelReceive(id, socket);
}

void UringEngine::CancelReceive(SocketId id, Socket& socket) {
  if (socket.starved) {
    return;  // RestartStarved tells its end
  }
  io_uring_sqe* entry = ring_.Entry();
  io_uring_prep_cancel64(entry, Tag(Operation::kReceive, id), 0);
  io_uring_sqe_set_data64(entry, Tag(Operation::kCancel, id));
  ++socket.owed;
}

// A receive that still waits is armed again: then it finds the end.
void UringEngine::CheckEnded() {
  for (const SocketId id : ended_) {
    Socket* const socket = sockets_.Find(id);
    if (socket != nullptr && socket->receiving && !socket->stopping && !socket->releasing) {
      CancelReceive(id, *socket);
    }
  }
  ended_.clear();
}

void UringEngine::Send(SocketId id, const iovec* pieces, uint32_t count, SendMode mode) {
  Socket& socket = sockets_.At(id);
  const int flags = MSG_NOSIGNAL | (mode == SendMode::kNow ? MSG_DONTWAIT : MSG_WAITALL);
  io_uring_sqe* entry = ring_.Entry();
  if (count == 1) {
    size_t length = pieces[0].iov_len;
    if (FAULT_POINT("io.send.short") && mode == SendMode::kNow) {
      length = (length + 1) / 2;
    }
    io_uring_prep_send(entry, socket.descriptor, pieces[0].iov_base, length, flags);
  } else {
    if (socket.message == nullptr) {
      socket.message = std::make_unique<msghdr>();
    }
    *socket.message = msghdr{};
    socket.message->msg_iov = const_cast<iovec*>(pieces);
    socket.message->msg_iovlen = count;
    io_uring_prep_sendmsg(entry, socket.descriptor, socket.message.get(),
                          static_cast<unsigned>(flags));
  }
  io_uring_sqe_set_data64(entry, Tag(Operation::kSend, id));
  ++socket.owed;
  metrics_.sends.Add();
}

void UringEngine::ShutdownSend(SocketId id) { shutdown(sockets_.At(id).descriptor, SHUT_WR); }

void UringEngine::Release(SocketId id) {
  Socket& socket = sockets_.At(id);
  CHECK(!socket.releasing);
  socket.releasing = true;
  if (socket.owed > 0 && socket.descriptor >= 0) {
    // Ends all that is in flight. Shutting it down would too, but the receive would read on until
    // the end: a close with nothing unread is an orderly one, and a peer that found the window shut
    // would never hear of it.
    io_uring_sqe* entry = ring_.Entry();
    io_uring_prep_cancel_fd(entry, socket.descriptor, IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(entry, Tag(Operation::kCancel, id));
    ++socket.owed;
  }
  FinishIfQuiet(id, socket);
}

void UringEngine::FinishIfQuiet(SocketId id, Socket& socket) {
  if (socket.releasing && socket.owed == 0) {
    quiet_.push_back(id);
    socket.owed = UINT16_MAX;  // listed once
  }
}

bool UringEngine::TellReleased() {
  if (quiet_.empty()) {
    return false;
  }
  for (const SocketId id : quiet_) {
    Socket& socket = sockets_.At(id);
    if (socket.descriptor >= 0) {
      close(socket.descriptor);
      ResumeListeners();
    }
    released_.push_back(socket.endpoint);
    sockets_.Remove(id);
  }
  quiet_.clear();
  for (Endpoint* endpoint : released_) {
    endpoint->OnReleased();
  }
  released_.clear();
  return true;
}

Address UringEngine::PeerAddress(SocketId id) {
  Socket* socket = sockets_.Find(id);
  return socket == nullptr ? Address() : PeerAddressOf(socket->descriptor);
}

// -- listeners ------------------------------------------------------------------------------------

absl::StatusOr<Address> UringEngine::Listen(const Address& address, Acceptor* acceptor) {
  ASSIGN_OR_RETURN(const int descriptor, OpenListener(address, 0));
  Listener listener;
  listener.descriptor = descriptor;
  listener.acceptor = acceptor;
  listeners_.push_back(listener);
  ArmAccept(static_cast<uint32_t>(listeners_.size() - 1));
  return BoundAddress(descriptor);
}

absl::Status UringEngine::ListenShared(int descriptor, Acceptor* acceptor) {
  Listener listener;
  listener.descriptor = descriptor;
  listener.acceptor = acceptor;
  listener.shared = true;
  listeners_.push_back(listener);
  ArmAccept(static_cast<uint32_t>(listeners_.size() - 1));
  return absl::OkStatus();
}

void UringEngine::ArmAccept(uint32_t index) {
  Listener& listener = listeners_[index];
  if (listener.closing || listener.armed) {
    return;
  }
  listener.armed = true;
  io_uring_sqe* entry = ring_.Entry();
  io_uring_prep_multishot_accept(entry, listener.descriptor, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data64(entry, Tag(Operation::kAccept, SocketId{index, 0}));
}

// A shared listener stays as it is: other engines wait for it.
void UringEngine::AcceptQueued(Acceptor* acceptor) {
  for (const Listener& listener : listeners_) {
    const bool own = listener.acceptor == acceptor && !listener.closing && !listener.shared;
    if (own && fcntl(listener.descriptor, F_SETFL, O_NONBLOCK) == 0) {
      metrics_.accepts.Add(AcceptWaiting(listener.descriptor, 0, acceptor));
    }
  }
}

void UringEngine::StopListening(Acceptor* acceptor) {
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].acceptor == acceptor) {
      CloseListener(i);
    }
  }
}

void UringEngine::CloseListener(uint32_t index) {
  Listener& listener = listeners_[index];
  if (listener.closing) {
    return;
  }
  listener.closing = true;
  if (listener.armed) {
    io_uring_sqe* entry = ring_.Entry();
    io_uring_prep_cancel64(entry, Tag(Operation::kAccept, SocketId{index, 0}), 0);
    io_uring_sqe_set_data64(entry, Tag(Operation::kCancel, SocketId{}));
    // No one can connect from now on. The descriptor stays until the accept has ended: one that
    // is not submitted yet must not find a newcomer under its number.
    if (!listener.shared) {
      shutdown(listener.descriptor, SHUT_RDWR);
    }
    return;
  }
  close(std::exchange(listener.descriptor, -1));
}

void UringEngine::ResumeListeners() {
  for (uint32_t i = 0; i < listeners_.size(); ++i) {
    if (listeners_[i].resume_at != base::Instant::Never()) {
      listeners_[i].resume_at = base::Instant::Never();
      ArmAccept(i);
    }
  }
}

void UringEngine::HandleAccept(uint32_t index, const io_uring_cqe& completion) {
  Listener& listener = listeners_[index];
  const bool goes_on = (completion.flags & IORING_CQE_F_MORE) != 0;
  listener.armed = goes_on;
  if (completion.res >= 0) {
    if (listener.closing) {
      close(completion.res);
    } else {
      metrics_.accepts.Add();
      listener.acceptor->OnAccepted(completion.res);
    }
  } else if (!listener.closing && completion.res != -ECANCELED) {
    metrics_.accept_failures.Add();
    listener.acceptor->OnAcceptFailed(-completion.res);
    if (IsOutOfResources(-completion.res) && !goes_on) {
      // Until a socket is closed here; others may close theirs, so look again after a while.
      listener.resume_at = Now() + kAcceptPause;
      return;
    }
  }
  if (goes_on) {
    return;
  }
  if (listener.closing) {
    close(std::exchange(listener.descriptor, -1));
    return;
  }
  ArmAccept(index);
}

// -- the round ------------------------------------------------------------------------------------

void UringEngine::ArmWake() {
  io_uring_sqe* entry = ring_.Entry();
  io_uring_prep_read(entry, wake_, &wake_count_, sizeof wake_count_, 0);
  io_uring_sqe_set_data64(entry, Tag(Operation::kWake, SocketId{}));
}

void UringEngine::Wake() {
  const uint64_t one = 1;
  const ssize_t written = write(wake_, &one, sizeof one);
  CHECK(written == sizeof one || errno == EAGAIN);
}

bool UringEngine::RestartStarved() {
  if (starved_.empty()) {
    return false;
  }
  bool told = false;
  std::vector<SocketId> waiting;
  waiting.swap(starved_);
  for (const SocketId id : waiting) {
    Socket* socket = sockets_.Find(id);
    if (socket == nullptr || !socket->starved) {
      continue;
    }
    socket->starved = false;
    if (socket->stopping || socket->releasing) {
      told = EndReceive(id, *socket, -ECANCELED) || told;
    } else {
      ArmReceive(id, *socket);
    }
  }
  return told;
}

bool UringEngine::TellKnown() {
  const bool released = TellReleased();
  client_buffers_.TopUp();
  server_buffers_.TopUp();
  return RestartStarved() || released;
}

void UringEngine::Poll(base::Instant until) {
  metrics_.rounds.Add();
  if (TellKnown()) {
    until = base::Instant();  // somebody may have been made ready: do not wait
  }
  for (const Listener& listener : listeners_) {
    until = std::min(until, listener.resume_at);
  }
  const bool timed = until != base::Instant::Never() && until != base::Instant();
  const base::Instant now = timed ? base::Instant::MonotonicNow() : base::Instant();
  metrics_.system_calls.Add();
  CHECK(ring_.Enter(now, until) == 0);
  for (const Listener& listener : listeners_) {
    if (listener.resume_at != base::Instant::Never() && listener.resume_at <= Now()) {
      ResumeListeners();
    }
  }
  if (ring_.overflowed()) {
    metrics_.queue_overflows.Add();
  }
  ring_.Reap([this](const io_uring_cqe& completion) { Handle(completion); });
  CheckEnded();
  TellReleased();
}

void UringEngine::Handle(const io_uring_cqe& completion) {
  const auto operation = static_cast<Operation>(completion.user_data >> 56);
  const SocketId id{
      static_cast<uint32_t>(completion.user_data),
      static_cast<uint32_t>(completion.user_data >> 32) & SocketTable<Socket>::kGenerationMask};
  if (operation == Operation::kAccept) {
    HandleAccept(id.slot, completion);
    return;
  }
  if (operation == Operation::kWake) {
    ArmWake();
    return;
  }
  Socket* found = sockets_.Find(id);
  if (found == nullptr) {
    CHECK(operation == Operation::kCancel);  // StopListening's; sockets wait for theirs
    return;
  }
  Socket& socket = *found;
  if (operation == Operation::kReceive) {
    HandleReceive(id, socket, completion);
    return;
  }
  --socket.owed;
  if (operation == Operation::kSend && !socket.releasing) {
    metrics_.sent_bytes.Add(completion.res > 0 ? static_cast<uint64_t>(completion.res) : 0);
    socket.endpoint->OnSent(completion.res);
  } else if (operation == Operation::kConnect) {
    socket.connecting = false;
    socket.dialled.reset();
    if (completion.res == 0) {
      TuneSocket(socket.descriptor, tcp_);
      if (!socket.releasing) {
        WatchEnd(id, socket);
      }
    }
    if (!socket.releasing) {
      socket.endpoint->OnConnected(socket.descriptor < 0 ? -socket.descriptor : -completion.res);
    }
  }
  if (operation == Operation::kEnd) {
    ended_.push_back(id);
  }
  if (operation == Operation::kCancel && socket.releasing && socket.owed > 0) {
    shutdown(socket.descriptor, SHUT_RDWR);  // what cannot be cancelled ends all the same
  }
  FinishIfQuiet(id, socket);
}

void UringEngine::HandleReceive(SocketId id, Socket& socket, const io_uring_cqe& completion) {
  const bool goes_on = (completion.flags & IORING_CQE_F_MORE) != 0;
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    const auto length = static_cast<uint32_t>(completion.res > 0 ? completion.res : 0);
    base::Slice bytes = BuffersOf(socket).Received(completion, length);
    if (length > 0 && !socket.releasing) {
      metrics_.receives.Add();
      metrics_.received_bytes.Add(length);
      socket.endpoint->OnReceived(std::move(bytes));
    }
  }
  if (goes_on) {
    return;
  }
  --socket.owed;
  EndReceive(id, socket, completion.res);
  FinishIfQuiet(id, socket);
}

// The kernel no longer receives for this socket: because it was asked to, because the stream
// ended, or for reasons of its own, after which the receive is armed again.
bool UringEngine::EndReceive(SocketId id, Socket& socket, int result) {
  socket.receiving = false;
  if (socket.releasing) {
    return false;
  }
  const bool stopped = std::exchange(socket.stopping, false);
  if (result == 0) {
    socket.endpoint->OnReceiveEnded(0);
  } else if (result < 0 && result != -ENOBUFS && result != -ECANCELED && result != -EINTR) {
    socket.endpoint->OnReceiveEnded(-result);
  } else if (stopped) {
    socket.endpoint->OnReceiveEnded(ECANCELED);
  } else {
    metrics_.receive_restarts.Add();
    ArmReceive(id, socket);
    return false;
  }
  return true;
}

}  // namespace io
