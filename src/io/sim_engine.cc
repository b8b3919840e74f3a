#include "io/sim_engine.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace io {
namespace {

constexpr uint32_t kChunks = 64;
constexpr uint32_t kChunkBytes = 4096;
constexpr int64_t kDialLeast = 20;  // microseconds
constexpr int64_t kDialMost = 5'000;
constexpr int64_t kAcceptPauseLeast = 50'000;
constexpr int64_t kAcceptPauseMost = 200'000;

}  // namespace

SimEngine::SimEngine(SimNetwork* network) : network_(network), pool_(kChunks, kChunkBytes) {
  network_->Attach(this);
}

SimEngine::~SimEngine() {
  CHECK(sockets_.live() == 0);
  while (!heard_.empty()) {
    StopListening(heard_.front()->acceptor);
  }
  network_->Detach(this);
}

// -- sockets --------------------------------------------------------------------------------------

SocketId SimEngine::Adopt(int descriptor, Endpoint* endpoint, Traffic) {
  CHECK(network_->Find(descriptor) != nullptr);
  Socket socket;
  socket.endpoint = endpoint;
  socket.end = descriptor;
  const SocketId id = sockets_.Add(std::move(socket));
  live_.push_back(id);
  return id;
}

SocketId SimEngine::Dial(const Address& address, Endpoint* endpoint, Traffic) {
  Socket fresh;
  fresh.endpoint = endpoint;
  const SocketId id = sockets_.Add(std::move(fresh));
  live_.push_back(id);
  if (network_->Fires(network_->rates_.unanswered_dial, SimFault::kUnansweredDial)) {
    return id;
  }
  SimNetwork::Listener* listener = network_->PickListener(address);
  const base::Instant due = network_->After(kDialLeast, kDialMost);
  if (listener == nullptr ||
      network_->Fires(network_->rates_.refused_dial, SimFault::kRefusedDial)) {
    pending_.push_back(Pending{due, id, News::kConnected, ECONNREFUSED});
    return id;
  }
  const auto [ours, theirs] = network_->Connect(address, address);
  sockets_.At(id).end = ours;
  listener->queue.emplace_back(due, theirs);
  pending_.push_back(Pending{due, id, News::kConnected, 0});
  return id;
}

void SimEngine::StartReceive(SocketId id) {
  Socket& socket = sockets_.At(id);
  socket.receiving = true;
  socket.stopping = false;
}

void SimEngine::StopReceive(SocketId id) {
  Socket& socket = sockets_.At(id);
  if (!socket.receiving || socket.stopping) {
    return;
  }
  socket.stopping = true;  // bytes may still come until its end is told
  pending_.push_back(Pending{network_->After(0, 50), id, News::kStopped, 0});
}

void SimEngine::Send(SocketId id, const iovec* pieces, uint32_t count, SendMode mode) {
  Socket& socket = sockets_.At(id);
  CHECK(!socket.sending && count > 0 && count <= kSendPieces);
  metrics_.sends.Add();
  socket.sending = true;
  socket.mode = mode;
  socket.sent = 0;
  socket.pieces.assign(pieces, pieces + count);
}

void SimEngine::ShutdownSend(SocketId id) {
  if (const int end = sockets_.At(id).end; end >= 0) {
    network_->Finish(end);
  }
}

void SimEngine::Release(SocketId id) {
  Socket& socket = sockets_.At(id);
  CHECK(!socket.releasing);
  socket.releasing = true;
  pending_.push_back(Pending{network_->After(0, 500), id, News::kReleased, 0});
}

Address SimEngine::PeerAddress(SocketId id) {
  Socket* socket = sockets_.Find(id);
  const SimNetwork::End* end = socket == nullptr ? nullptr : network_->Find(socket->end);
  return end == nullptr ? Address() : end->remote;
}

// -- listeners ------------------------------------------------------------------------------------

absl::StatusOr<Address> SimEngine::Listen(const Address& address, Acceptor* acceptor) {
  auto heard = std::make_unique<Heard>();
  heard->acceptor = acceptor;
  heard->listener.engine = this;
  heard->address = address.ToString();
  network_->listeners_.emplace(heard->address, &heard->listener);
  heard_.push_back(std::move(heard));
  return address;
}

// Shared are only Unix sockets, which the simulated network does not have.
absl::Status SimEngine::ListenShared(int descriptor, Acceptor* acceptor) {
  static_cast<void>(descriptor);
  static_cast<void>(acceptor);
  return base::Unavailable("no descriptors on a simulated network");
}

void SimEngine::StopListening(Acceptor* acceptor) {
  for (const std::unique_ptr<Heard>& heard : heard_) {
    if (heard->acceptor != acceptor) {
      continue;
    }
    for (const auto& [due, end] : heard->listener.queue) {
      network_->Reset(end);
      network_->Close(end);
    }
    std::erase_if(network_->listeners_, [&heard](const auto& entry) {
      return entry.second == &heard->listener;
    });
  }
  std::erase_if(heard_, [acceptor](const std::unique_ptr<Heard>& heard) {
    return heard->acceptor == acceptor;
  });
}

void SimEngine::Accept() {
  for (size_t i = 0; i < heard_.size(); ++i) {
    auto& queue = heard_[i]->listener.queue;
    while (!queue.empty() && queue.front().first <= Now()) {
      told_ = true;
      if (network_->Fires(network_->rates_.failed_accept, SimFault::kFailedAccept)) {
        metrics_.accept_failures.Add();
        queue.front().first = network_->After(kAcceptPauseLeast, kAcceptPauseMost);
        heard_[i]->acceptor->OnAcceptFailed(EMFILE);
        break;
      }
      const int end = queue.front().second;
      queue.pop_front();
      metrics_.accepts.Add();
      heard_[i]->acceptor->OnAccepted(end);
    }
  }
}

// -- the round ------------------------------------------------------------------------------------

bool SimEngine::CanReceive(const Socket& socket) {
  const SimNetwork::End* end = network_->Find(socket.end);
  if (!socket.receiving || socket.releasing || end == nullptr) {
    return false;
  }
  return end->reset || (!end->incoming.empty() && end->incoming.front().arrives <= Now() &&
                        pool_.free_count() > 0);
}

bool SimEngine::CanSend(const Socket& socket) {
  if (!socket.sending || socket.releasing) {
    return false;
  }
  const SimNetwork::End* end = network_->Find(socket.end);
  const SimNetwork::End* other = end == nullptr ? nullptr : network_->Find(end->peer);
  return socket.mode == SendMode::kNow || end == nullptr || end->reset || other == nullptr ||
         other->unread < other->window;
}

bool SimEngine::HasWork() {
  if (woken_ || wanted_ <= Now()) {
    return true;
  }
  for (const Pending& pending : pending_) {
    if (pending.due <= Now()) {
      return true;
    }
  }
  for (const std::unique_ptr<Heard>& heard : heard_) {
    if (!heard->listener.queue.empty() && heard->listener.queue.front().first <= Now()) {
      return true;
    }
  }
  return std::any_of(live_.begin(), live_.end(), [this](SocketId id) {
    const Socket& socket = sockets_.At(id);
    return CanReceive(socket) || CanSend(socket);
  });
}

void SimEngine::Poll(base::Instant until) {
  metrics_.rounds.Add();
  woken_ = false;
  TellPending();
  Accept();
  const std::vector<SocketId> now_live = live_;
  for (const SocketId id : now_live) {
    Socket* socket = sockets_.Find(id);
    if (socket != nullptr && CanSend(*socket)) {
      SendOn(*socket);
    }
    if (socket != nullptr && CanReceive(*socket)) {
      Receive(*socket);
    }
  }
  // What was told may have made somebody ready: only a round that tells nothing may sleep.
  wanted_ = std::exchange(told_, false) ? Now() : until;
}

void SimEngine::TellPending() {
  std::vector<Pending> due;
  for (size_t i = 0; i < pending_.size();) {
    if (pending_[i].due <= Now()) {
      due.push_back(pending_[i]);
      pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  for (const Pending& each : due) {
    Tell(each);
  }
}

void SimEngine::Tell(const Pending& pending) {
  Socket* socket = sockets_.Find(pending.socket);
  if (socket == nullptr) {
    return;
  }
  told_ = true;
  Endpoint* endpoint = socket->endpoint;
  if (pending.news == News::kReleased) {
    if (socket->end >= 0) {
      network_->Close(socket->end);
    }
    sockets_.Remove(pending.socket);
    std::erase(live_, pending.socket);
    endpoint->OnReleased();
  } else if (socket->releasing) {
    return;
  } else if (pending.news == News::kConnected) {
    endpoint->OnConnected(pending.error);
  } else if (socket->stopping) {
    socket->stopping = socket->receiving = false;
    endpoint->OnReceiveEnded(ECANCELED);
  }
}

// A piece of what has arrived, of a length drawn from the seed, as a slice of the pool.
void SimEngine::Receive(Socket& socket) {
  told_ = true;
  SimNetwork::End& end = *network_->Find(socket.end);
  if (end.reset || end.incoming.front().bytes.empty()) {
    socket.receiving = socket.stopping = false;
    socket.endpoint->OnReceiveEnded(end.reset ? ECONNRESET : 0);
    return;
  }
  std::string& bytes = end.incoming.front().bytes;
  base::Prng& prng = network_->prng();
  const size_t most = std::min<size_t>(bytes.size(), kChunkBytes);
  const size_t length = prng.OneIn(3) ? 1 + prng.Below(most) : most;
  base::Block* chunk = pool_.Take();
  std::memcpy(chunk->data, bytes.data(), length);
  base::Slice slice(chunk, 0, static_cast<uint32_t>(length));
  pool_.LetGo(chunk);
  end.unread -= length;
  bytes.erase(0, length);
  if (bytes.empty()) {
    end.incoming.pop_front();
  }
  metrics_.receives.Add();
  metrics_.received_bytes.Add(length);
  socket.endpoint->OnReceived(std::move(slice));
}

void SimEngine::EndSend(Socket& socket, int64_t result) {
  told_ = true;
  socket.sending = false;
  socket.pieces.clear();
  metrics_.sent_bytes.Add(result > 0 ? static_cast<uint64_t>(result) : 0);
  socket.endpoint->OnSent(result);
}

void SimEngine::SendOn(Socket& socket) {
  SimNetwork::End* end = network_->Find(socket.end);
  if (network_->Fires(network_->rates_.reset, SimFault::kReset)) {
    network_->Reset(socket.end);
  }
  if (end->reset || end->finished || network_->Find(end->peer) == nullptr) {
    EndSend(socket, end->reset ? -ECONNRESET : -EPIPE);
    return;
  }
  const bool now = socket.mode == SendMode::kNow;
  const bool cut = now && network_->Fires(network_->rates_.short_send, SimFault::kShortSend);
  size_t first = 0;
  for (; first < socket.pieces.size(); ++first) {
    iovec& piece = socket.pieces[first];
    std::string_view bytes(static_cast<const char*>(piece.iov_base), piece.iov_len);
    if (cut) {
      bytes = bytes.substr(0, network_->prng().Below(bytes.size()));
    }
    const size_t taken = network_->Push(socket.end, bytes);
    socket.sent += static_cast<int64_t>(taken);
    piece.iov_base = static_cast<char*>(piece.iov_base) + taken;
    piece.iov_len -= taken;
    if (piece.iov_len > 0) {
      break;
    }
  }
  if (first == socket.pieces.size() || now) {
    EndSend(socket, socket.sent > 0 ? socket.sent : -EAGAIN);
  } else {
    socket.pieces.erase(socket.pieces.begin(),
                        socket.pieces.begin() + static_cast<std::ptrdiff_t>(first));
  }
}

}  // namespace io
