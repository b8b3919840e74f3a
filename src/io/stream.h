// Stream: one socket as a session sees it: received slices in, slices out, back-pressure, and a
// close in three steps.
//
// Owned by one session or server connection, on one shard. Bytes are not copied on the way: what
// was received is handed out as slices of the receive pool, and what is written is sent from where
// it lies. Only what must wait is copied: a slice that the peer's socket did not take at once is
// moved into memory of the stream's own, so that a slow peer never pins the shard's pool.
//
// Sends: one in flight; all that is written meanwhile leaves with the next one. A stream that was
// written to is flushed once, at the end of the loop's round.
//
// TLS: after StartTls() the same calls carry plaintext. What is written is encrypted once, when the
// stream is flushed; what is received is decrypted as it comes, unless the stream is paused.
// queued() counts what is not encrypted yet and the records that are.
//
// Bound: the writer watches queued() against Limits::queue_high and pauses its source.
// Failure: a broken socket drops what is queued; readers see ended() and error(). A TLS stream
// whose peer goes without close_notify ends with ECONNRESET, one that breaks the protocol with
// EPROTO; tls_fault() says more.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/slice.h"
#include "io/engine.h"
#include "io/event.h"
#include "io/loop.h"
#include "io/task.h"
#include "io/tls_context.h"
#include "io/tls_facts.h"
#include "io/tls_session.h"

namespace io {

class Stream final : private Endpoint, private RecordSink {
 public:
  explicit Stream(Loop* loop) : loop_(loop) {}
  ~Stream() override;  // closed, or never opened
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // -- life -------------------------------------------------------------------------------------
  // Takes over a connected descriptor and starts to receive.
  void Adopt(int descriptor, Traffic traffic);
  // Connects and starts to receive; kDeadlineExceeded, or kUnavailable with the errno's text.
  Task<absl::Status> Dial(Address address, Traffic traffic, base::Deadline deadline);
  // Ask: what is queued goes out (at most until `deadline`), then the peer is told. Wait: until
  // the kernel owes nothing. Close. Returns when the stream may be destroyed.
  Task<void> Close(base::Deadline deadline);
  bool open() const { return state_ == State::kOpen; }
  // Whoever dials, shakes hands, reads or writes finds the stream broken; it is to be closed as
  // ever.
  void Abort();
  // Closed, and may be dialled again: for whoever tries in another way.
  void Renew();

  // -- TLS --------------------------------------------------------------------------------------
  // The handshake, in the role of `context`; once. What has been received and not taken is the
  // peer's first ciphertext; what was written before still goes out in the clear, in front.
  // `context` and `options` are used until the first wait only. kDeadlineExceeded, or kUnavailable
  // with the cause, for the log: then the stream is to be closed, which also sends the alert.
  Task<absl::Status> StartTls(const TlsContext* context, const TlsOptions* options,
                              base::Deadline deadline);
  // Null without TLS, and until the handshake is over.
  const TlsFacts* tls() const {
    return tls_ != nullptr && tls_->known() ? &tls_->facts() : nullptr;
  }
  // True exactly while StartTls() is under way; Abort() ends it.
  bool shaking() const { return tls_ != nullptr && tls_->shaking(); }
  // Why TLS failed; kNone and "" if it did not.
  TlsFailure tls_failure() const { return tls_ == nullptr ? TlsFailure::kNone : tls_->failure(); }
  std::string_view tls_fault() const { return tls_ == nullptr ? std::string_view() : tls_->why(); }

  // -- who is told ------------------------------------------------------------------------------
  // `bit` of `event` is raised when input or the end of it has come.
  void NotifyReadable(Event* event, uint32_t bit);
  // `bit` of `event` is raised when queued() has fallen from above to below Limits::queue_low,
  // or the stream broke.
  void NotifyDrained(Event* event, uint32_t bit);

  // -- receiving --------------------------------------------------------------------------------
  // The next received slice; empty if there is none now.
  base::Slice TakeInput();
  // The first byte that TakeInput() would give; has_input() only.
  unsigned char first_input() const {
    return static_cast<unsigned char>(*input_[next_input_].data());
  }
  // The slice that TakeInput() gave last, or its end: it is the next one again.
  void PutBack(base::Slice rest);
  bool has_input() const { return next_input_ < input_.size(); }
  // True exactly when no more bytes will come, and all that came was taken.
  bool ended() const { return receive_ended_ && !has_input(); }
  // 0 for an orderly end, else the errno of the receive or send that broke the stream.
  int error() const { return error_; }
  // What has come already, or still comes, waits in memory of the stream's own.
  void PauseReceive();
  void ResumeReceive();

  // -- sending ----------------------------------------------------------------------------------
  void Write(base::Slice slice);
  void WriteCopy(std::string_view bytes);
  // Bytes written that the kernel has not taken yet.
  uint32_t queued() const { return queued_; }
  bool over_high() const { return queued_ > loop_->limits().queue_high; }
  bool broken() const { return broken_; }
  // No more will be written: when all is sent the peer is told (a half-close).
  void FinishSend();

  // Of the other side, or of the client that it says it speaks for.
  Address PeerAddress() const {
    return spoken_for_ != nullptr ? *spoken_for_ : loop_->engine().PeerAddress(socket_);
  }
  std::string PeerName() const { return PeerAddress().ToString(); }
  // The other side is a load balancer, and `client` is where the client is.
  void SpeaksFor(const Address& client) { spoken_for_ = std::make_unique<Address>(client); }
  Loop* loop() const { return loop_; }
  // Heap memory held by the queues, bytes.
  size_t memory() const;

 private:
  friend class Loop;
  enum class State : uint8_t {
    kNew,  // no socket yet
    kDialling,
    kOpen,
    kReleasing,  // the engine was told; the kernel may still owe something
    kClosed,
  };

  void OnConnected(int error) override;
  void OnReceived(base::Slice bytes) override;
  void OnReceiveEnded(int error) override;
  void OnSent(int64_t result) override;
  void OnReleased() override;

  void Flush();  // called by the loop at the end of a round
  void MarkDirty();
  void Consume(uint64_t sent);
  void CopyOut();
  base::Slice Owned(base::Slice slice);
  void DropQueue();
  void EmptyQueue();
  void FinishIfSent();
  void Break(int error);
  void RaiseReadable();
  void RaiseDrained();
  void StartReceiving();

  // -- stream_tls.cc ----------------------------------------------------------------------------
  void PutRecord(std::string_view bytes) override;
  Task<bool> ShakeHands(base::Deadline deadline);
  TlsMetrics::Side& tls_side(TlsRole role);
  void TakeCiphertext(base::Slice bytes);
  bool EndCiphertext();
  void Decrypt();
  void FailTls(int error);
  bool Encrypt();
  void SayGoodbye();

  Loop* const loop_;
  SocketId socket_;
  Event* readable_ = nullptr;
  Event* drained_ = nullptr;
  Event* life_ = nullptr;  // of the Dial or Close that waits
  uint32_t readable_bit_ = 0;
  uint32_t drained_bit_ = 0;
  int error_ = 0;

  std::unique_ptr<TlsSession> tls_;  // null: plain
  std::unique_ptr<Address> spoken_for_;  // null: nobody but the other side itself

  std::vector<base::Slice> input_;
  uint32_t next_input_ = 0;

  std::vector<base::Slice> queue_;
  uint32_t next_queued_ = 0;  // pieces before it were sent
  uint32_t queued_ = 0;       // bytes
  uint32_t in_flight_ = 0;    // bytes handed to the engine by the send in flight
  iovec one_{};               // the pieces of a send in flight, if it has only one
  iovec* pieces_ = nullptr;   // else these, from the frame pool

  State state_ = State::kNew;
  bool receiving_ = false;     // true exactly when the engine receives for us
  bool want_receive_ = false;  // true exactly when it should
  bool receive_ended_ = false;
  bool sending_ = false;    // true exactly when a send is in flight
  bool tail_open_ = false;  // true exactly when WriteCopy made the last piece
  bool dirty_ = false;      // true exactly when on the loop's list
  bool slow_ = false;       // true exactly when the last send was short: the rest is owned
  bool finishing_ = false;  // true exactly when FinishSend was called and not yet done
  bool broken_ = false;
  bool cipher_ended_ = false;  // TLS: the socket has ended, what came before is not decrypted yet
  bool leaving_ = false;       // TLS: Close was called, what comes is dropped
};

}  // namespace io
