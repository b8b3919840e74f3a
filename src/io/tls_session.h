// TlsSession: one connection's TLS: ciphertext in, plaintext out, and the other way round. No
// socket and no waiting: that is Stream's part.
//
// Owned by a Stream, on its shard. OpenSSL reads ciphertext from the received slices and writes
// records to a RecordSink, through a BIO of our own, so each byte is copied once by us in each
// direction (RFC 8446; docs.openssl.org, "BIO_s_bio" and "SSL_read"). Plaintext to be sent is
// gathered, so that what was queued in one round leaves in as few records as possible.
//
// Bounds: what is fed and not read is the stream's to limit. Records that OpenSSL makes while it
// reads (answers to key updates, alerts) are limited to kAnswersMax until Encrypt() is called,
// which it is only while the socket takes what we send.
// Failure: kFailed once, for good; why() says so. OpenSSL's errors are kept per thread, so the
// queue is cleared before each of its calls: one connection's error is never another's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/slice.h"
#include "io/tls_context.h"
#include "io/tls_facts.h"

struct bio_st;
struct ssl_st;

namespace io {

// Takes the records that are to be sent, in order. At any time: also while reading.
class RecordSink {
 public:
  virtual ~RecordSink() = default;
  virtual void PutRecord(std::string_view bytes) = 0;
};

struct TlsOptions {
  // -- in the client's role ---------------------------------------------------------------------
  std::string server_name;  // sent as SNI, unless it is an address; may be empty
  bool check_name = false;  // the certificate must be for server_name, be it a name or an address
  bool send_alpn = false;   // direct TLS: says "postgresql", and the server must say it too
};

class TlsSession {
 public:
  static constexpr uint32_t kAnswersMax = 64 * 1024;
  static constexpr uint32_t kRecordMax = 16 * 1024;  // plaintext of one record (RFC 8446, 5.1)

  enum class Step : uint8_t { kDone, kWantInput, kFailed };
  enum class Input : uint8_t {
    kBytes,
    kWantInput,  // all that was fed is read
    kClosed,     // close_notify: the peer sends no more
    kFailed,
  };

  // `sink` outlives this. In the client's role the handshake begins with the first Handshake().
  TlsSession(const TlsContext* context, const TlsOptions& options, RecordSink* sink);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // -- handshake --------------------------------------------------------------------------------
  // Goes on with what was fed. After kDone facts() are known.
  Step Handshake();
  const TlsFacts& facts() const { return facts_; }
  bool shaking() const { return state_ == State::kHandshake; }
  bool established() const { return state_ == State::kOpen; }
  bool known() const { return known_; }  // true exactly once facts() are, also after a failure

  // -- receiving --------------------------------------------------------------------------------
  void Feed(base::Slice ciphertext);
  uint32_t fed() const { return fed_; }  // bytes not read by OpenSSL yet
  // What was fed moves out of the receive pool's memory, by `owned`.
  template <typename Owned>
  void OwnFed(Owned owned) {
    for (size_t i = next_fed_; i < input_.size(); ++i) {
      input_[i] = owned(std::move(input_[i]));
    }
  }
  void DropFed();
  // After the handshake: the next plaintext, at most kRecordMax bytes, in memory that fits it.
  Input Read(base::Slice* plaintext);

  // -- sending ----------------------------------------------------------------------------------
  void Queue(base::Slice plaintext);
  void QueueCopy(std::string_view plaintext);
  // Makes records of all that is queued; bytes that were. Before the handshake is over, none.
  uint32_t Encrypt();
  // Forgets what is queued; bytes forgotten.
  uint32_t DropQueued();
  // close_notify, behind what was encrypted. Once.
  void SendClose();
  bool close_sent() const { return close_sent_; }

  // -- failure ----------------------------------------------------------------------------------
  // From now on nothing is read or written.
  void Fail(TlsFailure failure, std::string_view why);
  TlsFailure failure() const { return failure_; }
  const std::string& why() const { return why_; }
  size_t memory() const;

 private:
  friend struct TlsBio;
  enum class State : uint8_t { kHandshake, kOpen, kFailed };

  int BioRead(char* to, int most);
  void BioWrite(std::string_view record);
  void FailFromQueue(int result);
  void NoteFacts();
  void NotePeer();
  void EncryptOne(std::string_view plaintext);

  RecordSink* const sink_;
  const TlsRole role_;
  ssl_st* ssl_ = nullptr;
  State state_ = State::kHandshake;
  TlsFailure failure_ = TlsFailure::kNone;
  bool known_ = false;
  bool must_name_alpn_ = false;
  bool verifies_ = false;
  bool reading_ = false;  // true exactly within SSL_read
  bool close_sent_ = false;
  bool tail_open_ = false;  // see AppendCopy
  uint32_t answers_ = 0;    // bytes of records made while reading, since the last Encrypt()
  uint32_t fed_ = 0;
  uint32_t next_fed_ = 0;
  std::vector<base::Slice> input_;
  std::vector<base::Slice> queue_;  // plaintext
  TlsFacts facts_;
  std::string why_;
};

}  // namespace io
