// Engine: what moves bytes for one shard. Three twins behind one completion interface: UringEngine
// (io_uring), EpollEngine (where io_uring is blocked or old) and SimEngine (simulated network and
// clock, for tests).
//
// Created, polled and destroyed on the shard's own thread; only Wake() may be called from others.
// An engine tells Endpoints and Acceptors what happened from within Poll() (never from within
// another call); they take note and return: no coroutine runs inside Poll().
//
// Rules the engines keep for every socket:
//  - between StartReceive and OnReceiveEnded the socket is being received from, and every received
//    byte is told, in order, once; a receive that the kernel ends by itself is armed again;
//  - one Send at a time; exactly one OnSent for each;
//  - after Release no call is told but OnReleased, once the kernel owes nothing and the
//    descriptor is closed; the memory of a Send in flight must live until then;
//  - a SocketId names a slot and a generation, so that nothing late is told to a newcomer.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/counters.h"
#include "base/instant.h"
#include "base/slice.h"
#include "io/address.h"
#include "io/tcp_tuning.h"

namespace io {

struct SocketId {
  uint32_t slot = UINT32_MAX;
  uint32_t generation = 0;
  bool valid() const { return slot != UINT32_MAX; }
  bool operator==(const SocketId&) const = default;
};

// What an engine tells about one socket. Implementations only take note.
class Endpoint {
 public:
  virtual ~Endpoint() = default;
  virtual void OnConnected(int error) = 0;         // after Dial: 0 or an errno
  virtual void OnReceived(base::Slice bytes) = 0;  // never empty
  virtual void OnReceiveEnded(int error) = 0;      // 0: end of stream; ECANCELED: StopReceive
  virtual void OnSent(int64_t result) = 0;         // bytes, or -errno (-EAGAIN: nothing fitted)
  virtual void OnReleased() = 0;
};

class Acceptor {
 public:
  virtual ~Acceptor() = default;
  // The callee owns `descriptor` (Engine::Adopt or Engine::Discard it).
  virtual void OnAccepted(int descriptor) = 0;
  // EMFILE, ENFILE, ...: accepting goes on by itself once descriptors are free again.
  virtual void OnAcceptFailed(int error) = 0;
};

// Sizes of receive memory differ: queries are small, results are large.
enum class Traffic : uint8_t { kClient, kServer };

enum class SendMode : uint8_t {
  kNow,  // whatever fits at once (MSG_DONTWAIT): for memory lent by the receive pool
  kAll,  // everything, however long it takes (MSG_WAITALL): for memory the sender owns
};

// Counters of one engine; those an engine has no use for stay 0.
struct EngineMetrics {
  base::Counter rounds;  // Poll() calls
  base::Counter system_calls;
  base::Counter receives;
  base::Counter received_bytes;
  base::Counter sends;
  base::Counter sent_bytes;
  base::Counter receive_restarts;  // a receive the kernel ended by itself
  base::Counter starved;           // a receive that found no buffer
  base::Counter queue_overflows;   // completion queue overflowed (nothing is lost)
  base::Counter accepts;
  base::Counter accept_failures;
  base::Counter copied_out_bytes;  // moved out of lent memory because a peer was slow
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual std::string_view name() const = 0;  // "io_uring", "epoll", "simulated"
  virtual base::Instant Now() = 0;
  // Of the TCP sockets from now on.
  void set_tcp(const TcpTuning& tcp) { tcp_ = tcp; }

  // Tells what is known without asking the kernel (a send that was done at once, a socket that was
  // released); true if there was anything. The loop calls it before it decides whether to wait.
  virtual bool TellKnown() { return false; }
  // One round: TellKnown(), hands over what is queued, waits until something happened or `until`
  // has come (not at all if it is past), and tells what happened.
  virtual void Poll(base::Instant until) = 0;
  // Any thread: makes a Poll() that waits, or the next one, return.
  virtual void Wake() = 0;

  // Takes over a connected, non-blocking-agnostic descriptor. `endpoint` outlives OnReleased.
  virtual SocketId Adopt(int descriptor, Endpoint* endpoint, Traffic traffic) = 0;
  // Closes a descriptor that nobody adopted.
  virtual void Discard(int descriptor) = 0;
  // A new socket that connects; OnConnected follows, also when it cannot even be made.
  virtual SocketId Dial(const Address& address, Endpoint* endpoint, Traffic traffic) = 0;
  virtual void StartReceive(SocketId socket) = 0;
  // OnReceiveEnded(ECANCELED) follows unless another end comes first; bytes may come before it.
  virtual void StopReceive(SocketId socket) = 0;
  // `pieces` (at most kSendPieces, at least one byte) and what they point to live until OnSent.
  virtual void Send(SocketId socket, const iovec* pieces, uint32_t count, SendMode mode) = 0;
  // Tells the peer that no more will be sent; what is queued in the kernel still goes out.
  virtual void ShutdownSend(SocketId socket) = 0;
  // Ends everything at once (unsent bytes may be lost), then OnReleased.
  virtual void Release(SocketId socket) = 0;
  // The address of the other side; AF_UNSPEC if unknown.
  virtual Address PeerAddress(SocketId socket) = 0;

  // Listens with SO_REUSEPORT and accepts until StopListening(). Returns the bound address.
  virtual absl::StatusOr<Address> Listen(const Address& address, Acceptor* acceptor) = 0;
  // Likewise from a listening descriptor that other engines accept from too; takes it over.
  virtual absl::Status ListenShared(int descriptor, Acceptor* acceptor) = 0;
  // Accepts whoever waits in the queues of `acceptor`'s own listeners, before it stops: closing
  // one resets them.
  virtual void AcceptQueued(Acceptor*) {}
  // Closes the listeners of `acceptor`; it is told nothing after this.
  virtual void StopListening(Acceptor* acceptor) = 0;

  virtual EngineMetrics& metrics() = 0;

 protected:
  TcpTuning tcp_;
};

inline constexpr uint32_t kSendPieces = 64;

}  // namespace io
