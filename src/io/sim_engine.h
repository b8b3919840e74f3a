// SimEngine: the simulated twin of Engine, on a SimNetwork.
//
// One per loop of a test; the loop must be told (Drive) before SimNetwork::Run turns it. Poll never
// waits: it notes until when it would have waited, which is when the network turns the loop again,
// if nothing happens before. Received bytes lie in a small receive pool, as with the other twins,
// so that what pins it shows.
//
// "Descriptors" are numbers of the network's ends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/engine.h"
#include "io/receive_pool.h"
#include "io/sim_network.h"
#include "io/socket_table.h"

namespace io {

class SimEngine final : public Engine {
 public:
  // `network` outlives this.
  explicit SimEngine(SimNetwork* network);
  ~SimEngine() override;  // every socket was released
  // The loop that this engine belongs to.
  void Drive(Loop* loop) { loop_ = loop; }

  std::string_view name() const override { return "simulated"; }
  base::Instant Now() override { return network_->now(); }
  void Poll(base::Instant until) override;
  void Wake() override { woken_ = true; }
  SocketId Adopt(int descriptor, Endpoint* endpoint, Traffic traffic) override;
  void Discard(int descriptor) override { network_->Close(descriptor); }
  SocketId Dial(const Address& address, Endpoint* endpoint, Traffic traffic) override;
  void StartReceive(SocketId socket) override;
  void StopReceive(SocketId socket) override;
  void Send(SocketId socket, const iovec* pieces, uint32_t count, SendMode mode) override;
  void ShutdownSend(SocketId socket) override;
  void Release(SocketId socket) override;
  Address PeerAddress(SocketId socket) override;
  absl::StatusOr<Address> Listen(const Address& address, Acceptor* acceptor) override;
  absl::Status ListenShared(int descriptor, Acceptor* acceptor) override;
  void StopListening(Acceptor* acceptor) override;
  EngineMetrics& metrics() override { return metrics_; }
  uint32_t live_sockets() const { return sockets_.live(); }

 private:
  friend class SimNetwork;

  struct Socket {
    Endpoint* endpoint = nullptr;
    int end = -1;              // -1: not connected
    bool receiving = false;
    bool stopping = false;     // StopReceive was called and its end not yet told
    bool releasing = false;
    bool sending = false;      // true exactly when a send is in flight
    SendMode mode = SendMode::kNow;
    std::vector<iovec> pieces; // of the send in flight, less what was taken
    int64_t sent = 0;
  };
  enum class News : uint8_t { kConnected, kStopped, kReleased };
  struct Pending {
    base::Instant due;
    SocketId socket;
    News news;
    int error;
  };
  struct Heard {
    Acceptor* acceptor = nullptr;
    SimNetwork::Listener listener;
    std::string address;
  };

  bool HasWork();
  bool CanReceive(const Socket& socket);
  bool CanSend(const Socket& socket);
  void TellPending();
  void Tell(const Pending& pending);
  void Accept();
  void Receive(Socket& socket);
  void SendOn(Socket& socket);
  void EndSend(Socket& socket, int64_t result);

  SimNetwork* const network_;
  Loop* loop_ = nullptr;
  ReceivePool pool_;
  SocketTable<Socket> sockets_;
  std::vector<SocketId> live_;  // in the order in which they were made
  std::vector<std::unique_ptr<Heard>> heard_;
  std::vector<Pending> pending_;
  base::Instant wanted_;  // until when Poll would have waited
  bool woken_ = false;
  bool told_ = false;     // true exactly when this round has told anything
  EngineMetrics metrics_;
};

}  // namespace io
