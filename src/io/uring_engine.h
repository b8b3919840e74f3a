// UringEngine: the io_uring twin of Engine.
//
// One ring, two provided-buffer rings (clients, servers), multishot receives and accepts, one send
// in flight per socket, one system call per round. Kernel 6.1 or newer; what the kernel offers
// beyond that comes from ProbeUring().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "io/buffer_ring.h"
#include "io/engine.h"
#include "io/socket_table.h"
#include "io/uring_probe.h"
#include "io/uring_ring.h"

namespace io {

struct UringOptions {
  uint32_t ring_entries = 256;         // --ring-size
  uint32_t buffer_bytes = 256 * 1024;  // --buffer-size
  uint32_t completion_entries = UringRing::kCompletionEntries;
  ReceiveShape client_shape;  // count 0: from buffer_bytes
  ReceiveShape server_shape;
  UringSupport support;
};

class UringEngine final : public Engine {
 public:
  // On the shard's own thread.
  static absl::StatusOr<std::unique_ptr<UringEngine>> Create(const UringOptions& options);
  ~UringEngine() override;  // every socket was released

  std::string_view name() const override { return "io_uring"; }
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
  absl::Status ListenShared(int descriptor, Acceptor* acceptor) override;
  void AcceptQueued(Acceptor* acceptor) override;
  void StopListening(Acceptor* acceptor) override;
  EngineMetrics& metrics() override { return metrics_; }

 private:
  struct Socket {
    Endpoint* endpoint = nullptr;
    int descriptor = -1;
    uint16_t owed = 0;  // operations the kernel has not completed
    Traffic traffic = Traffic::kClient;
    bool receiving = false;  // true exactly when a receive is armed or waits for a buffer
    bool starved = false;    // true exactly when it waits for a buffer
    bool stopping = false;   // StopReceive was called and its end not yet told
    bool releasing = false;
    bool connecting = false;
    std::unique_ptr<Address> dialled;  // lives while connecting
    std::unique_ptr<msghdr> message;   // of a send of several pieces in flight
  };
  struct Listener {
    int descriptor = -1;
    Acceptor* acceptor = nullptr;
    bool shared = false;  // true exactly when other engines accept from it too
    bool armed = false;
    base::Instant resume_at = base::Instant::Never();  // out of descriptors: accept again then
    bool closing = false;
  };
  enum class Operation : uint8_t { kReceive, kSend, kConnect, kCancel, kEnd, kAccept, kWake };

  UringEngine(UringRing ring, const UringOptions& options);
  absl::Status Start();
  static uint64_t Tag(Operation operation, SocketId socket);
  void ArmReceive(SocketId id, Socket& socket);
  void CancelReceive(SocketId id, Socket& socket);
  void WatchEnd(SocketId id, Socket& socket);
  void CheckEnded();
  void ArmAccept(uint32_t index);
  void CloseListener(uint32_t index);
  void ResumeListeners();
  void ArmWake();
  bool RestartStarved();  // true if it told anything
  void Handle(const io_uring_cqe& completion);
  void HandleReceive(SocketId id, Socket& socket, const io_uring_cqe& completion);
  bool EndReceive(SocketId id, Socket& socket, int result);  // true if it told
  void HandleAccept(uint32_t index, const io_uring_cqe& completion);
  void FinishIfQuiet(SocketId id, Socket& socket);
  bool TellReleased();  // true if it told anything
  BufferRing& BuffersOf(const Socket& socket) {
    return socket.traffic == Traffic::kClient ? client_buffers_ : server_buffers_;
  }

  UringRing ring_;
  BufferRing client_buffers_;
  BufferRing server_buffers_;
  SocketTable<Socket> sockets_;
  std::vector<Listener> listeners_;
  std::vector<SocketId> starved_;
  std::vector<SocketId> ended_;  // by the kernel's word, in this round
  std::vector<SocketId> quiet_;  // released, nothing owed: closed in the next Poll
  std::vector<Endpoint*> released_;
  uint64_t wake_count_ = 0;
  int wake_ = -1;
  EngineMetrics metrics_;
};

}  // namespace io
