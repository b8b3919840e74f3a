// EpollEngine: the epoll twin of Engine, for kernels and containers without io_uring.
//
// The same completions, made from readiness: a socket that is readable is received from into a
// pool chunk, receive after receive, as incremental buffers are filled. A send is tried at once;
// what is left of a kAll send goes out as the socket becomes writable.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "io/engine.h"
#include "io/receive_pool.h"
#include "io/socket_table.h"

namespace io {

class EpollEngine final : public Engine {
 public:
  // On the shard's own thread. `buffer_bytes`: --buffer-size. kUnavailable if there is no
  // descriptor left for it.
  static absl::StatusOr<std::unique_ptr<EpollEngine>> Create(uint32_t buffer_bytes);
  // The same for tests, which have descriptors enough.
  explicit EpollEngine(uint32_t buffer_bytes);
  EpollEngine(const ReceiveShape& client, const ReceiveShape& server);
  ~EpollEngine() override;  // every socket was released

  std::string_view name() const override { return "epoll"; }
  base::Instant Now() override { return base::Instant::MonotonicNow(); }
  bool TellKnown() override;
  void Poll(base::Instant until) override;
  void Wake() override;
  SocketId Adopt(int descriptor, Endpoint* endpoint, Traffic traffic) override;
  void Discard(int descriptor) override;
  SocketId Dial(const Address& address, Endpoint* endpoint, Traffic traffic) override;
  void StartReceive(SocketId socket) override;
  void StopReceive(SocketId socket) override;
  void Send(SocketId socket, const iovec* pieces, uint32_t count, SendMode mode) override;
  void ShutdownSend(SocketId socket) override;
  void Release(SocketId socket) override;
  Address PeerAddress(SocketId socket) override;
  absl::StatusOr<Address> Listen(const Address& address, Acceptor* acceptor) override;
  absl::Status ListenShared(int descriptor, Acceptor* acceptor) override;  // non-blocking
  void AcceptQueued(Acceptor* acceptor) override;
  void StopListening(Acceptor* acceptor) override;
  EngineMetrics& metrics() override { return metrics_; }

 private:
  struct Socket {
    Endpoint* endpoint = nullptr;
    int descriptor = -1;
    uint32_t watched = 0;  // events registered with epoll; 0: not registered
    Traffic traffic = Traffic::kClient;
    bool receiving = false;
    bool starved = false;   // true exactly when it waits for a free chunk, not watched
    bool stopping = false;  // StopReceive was called and its end not yet told
    bool connecting = false;
    bool releasing = false;
    std::vector<iovec> unsent;  // of a kAll send in flight
    int64_t sent = 0;
  };
  struct Listener {
    int descriptor = -1;
    Acceptor* acceptor = nullptr;
    base::Instant resume_at = base::Instant::Never();  // out of descriptors: accept again then
  };
  // What Poll() has to tell before it may wait.
  enum class News : uint8_t { kSent, kConnected, kStopped, kReleased };
  struct Pending {
    SocketId socket;
    News news;
    int64_t value;
  };
  // A pool and the chunk that is being filled.
  struct Receiver {
    explicit Receiver(const ReceiveShape& shape) : pool(shape.count, shape.chunk_bytes) {}
    ReceivePool pool;
    base::Block* chunk = nullptr;
    uint32_t used = 0;
  };

  struct Descriptors {
    int epoll;
    int wake;
  };

  static Descriptors Open();  // -1, and errno, where there is none
  EpollEngine(Descriptors own, const ReceiveShape& client, const ReceiveShape& server);
  void Watch(SocketId id, Socket& socket);
  void HandleSocket(SocketId id, uint32_t events);
  void HandleListener(uint32_t index);
  void Receive(SocketId id, Socket& socket, bool more);
  void ReadOn();
  void FinishConnect(SocketId id, Socket& socket);
  void SendOn(SocketId id, Socket& socket);
  bool PrepareChunk(Receiver* receiver);
  void ResumeListeners();
  void RestartStarved();

  int epoll_ = -1;
  int wake_ = -1;
  Receiver client_receiver_;
  Receiver server_receiver_;
  SocketTable<Socket> sockets_;
  std::vector<Listener> listeners_;
  std::vector<SocketId> starved_;
  std::vector<SocketId> unread_;  // to be received from once more
  std::vector<Pending> pending_;
  std::vector<Pending> telling_;
  EngineMetrics metrics_;
};

}  // namespace io
