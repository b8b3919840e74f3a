#include "io/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/fault_point.h"
#include "io/slice_tail.h"

namespace io {

std::string_view Name(TlsFailure failure) {
  switch (failure) {
    case TlsFailure::kNone:
      return "none";
    case TlsFailure::kCertificate:
      return "certificate";
    case TlsFailure::kRefused:
      return "refused";
    case TlsFailure::kProtocol:
      return "protocol";
    case TlsFailure::kClosed:
      return "closed";
    case TlsFailure::kTimeout:
      return "timeout";
  }
  return "none";
}

// The BIO under a session's SSL. It never waits: reading says "retry" when nothing is fed, and
// writing always succeeds, because the sink's queue is bounded by back-pressure instead.
struct TlsBio {
  static TlsSession* Of(BIO* bio) { return static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int Write(BIO* bio, const char* bytes, int length) {
    BIO_clear_retry_flags(bio);
    Of(bio)->BioWrite(std::string_view(bytes, static_cast<size_t>(length)));
    return length;
  }
  static int Read(BIO* bio, char* to, int most) {
    BIO_clear_retry_flags(bio);
    const int got = Of(bio)->BioRead(to, most);
    if (got <= 0) {
      BIO_set_retry_read(bio);
      return -1;
    }
    return got;
  }
  // FLUSH is asked for by the handshake; everything else, kernel TLS above all, is not offered.
  static long Control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
  static int Create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  // Constant data of the process, as OpenSSL's own methods are.
  static const BIO_METHOD* Method() {
    static const BIO_METHOD* const method = Make();
    return method;
  }

 private:
  static BIO_METHOD* Make() {
    BIO_METHOD* const made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgbraid stream");
    CHECK(made != nullptr);
    CHECK(BIO_meth_set_write(made, Write) == 1 && BIO_meth_set_read(made, Read) == 1 &&
          BIO_meth_set_ctrl(made, Control) == 1 && BIO_meth_set_create(made, Create) == 1);
    return made;
  }
};

namespace {

constexpr uint32_t kPlainLeast = 64;
constexpr unsigned char kAlpn[] = "\x0apostgresql";

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};

// OpenSSL keeps one queue of errors for the whole thread: what one connection left there would be
// taken for the next one's. To look is cheap; ERR_clear_error() goes through all of its 16 places,
// whether anything is in them or not.
void ForgetErrors() {
  if (ERR_peek_error() != 0 && !HISTORICAL_BUG("b12-errors-of-another-connection")) {
    ERR_clear_error();
  }
}

bool IsAddress(const std::string& host) {
  ASN1_OCTET_STRING* const address = a2i_IPADDRESS(host.c_str());
  ERR_clear_error();
  ASN1_OCTET_STRING_free(address);
  return address != nullptr;
}

// Not partial wildcards ("f*.example"), and "*" only as the whole leftmost label, as libpq.
void CheckName(SSL* ssl, const std::string& name, bool address) {
  X509_VERIFY_PARAM* const rules = SSL_get0_param(ssl);
  X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  CHECK((address ? X509_VERIFY_PARAM_set1_ip_asc(rules, name.c_str())
                 : X509_VERIFY_PARAM_set1_host(rules, name.data(), name.size())) == 1);
}

// RFC 5929, section 4.1. Empty where it leaves the hash undefined.
std::string ServerEndPoint(X509* certificate) {
  int hash = NID_undef;
  if (certificate == nullptr ||
      X509_get_signature_info(certificate, &hash, nullptr, nullptr, nullptr) != 1) {
    return "";
  }
  const EVP_MD* const method =
      hash == NID_md5 || hash == NID_sha1 ? EVP_sha256() : EVP_get_digestbynid(hash);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int length = 0;
  if (method == nullptr || X509_digest(certificate, method, digest.data(), &length) != 1) {
    return "";
  }
  return std::string(reinterpret_cast<const char*>(digest.data()), length);
}

std::string CommonName(const X509_NAME* subject) {
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) {
    return "";
  }
  unsigned char* utf8 = nullptr;
  const int length =
      ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  std::string name(length > 0 ? reinterpret_cast<const char*>(utf8) : "",
                   length > 0 ? static_cast<size_t>(length) : 0);
  OPENSSL_free(utf8);
  // A NUL would make "alice\0.evil.example" look like alice to whoever stops at it.
  return name.find('\0') == std::string::npos ? name : "";
}

std::string DistinguishedName(const X509_NAME* subject) {
  const std::unique_ptr<BIO, FreeBio> text(BIO_new(BIO_s_mem()));
  CHECK(text != nullptr);
  if (X509_NAME_print_ex(text.get(), subject, 0, XN_FLAG_RFC2253) < 0) {
    return "";
  }
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(text.get(), &bytes);
  return std::string(bytes, static_cast<size_t>(length));
}

bool IsAlert(unsigned long error) {
  return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) >= SSL_AD_REASON_OFFSET &&
         ERR_GET_REASON(error) < SSL_AD_REASON_OFFSET + 256;
}

bool IsAboutCertificate(unsigned long error) {
  return ERR_GET_LIB(error) == ERR_LIB_SSL &&
         (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED ||
          ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
}

}  // namespace

TlsSession::TlsSession(const TlsContext* context, const TlsOptions& options, RecordSink* sink)
    : sink_(sink),
      role_(context->role()),
      must_name_alpn_(options.send_alpn),
      verifies_(context->verifies()) {
  ERR_clear_error();
  ssl_ = SSL_new(context->get());
  CHECK(ssl_ != nullptr);
  BIO* const bio = BIO_new(TlsBio::Method());
  CHECK(bio != nullptr);
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  if (role_ == TlsRole::kServer) {
    SSL_set_accept_state(ssl_);
    return;
  }
  SSL_set_connect_state(ssl_);
  const std::string& name = options.server_name;
  const bool address = IsAddress(name);
  if (!name.empty() && !address) {
    CHECK(SSL_set_tlsext_host_name(ssl_, name.c_str()) == 1);
  }
  if (options.check_name && !HISTORICAL_BUG("b5-name-is-not-compared")) {
    CHECK(verifies_ && !name.empty());
    CheckName(ssl_, name, address);
  }
  if (options.send_alpn) {
    CHECK(SSL_set_alpn_protos(ssl_, kAlpn, sizeof kAlpn - 1) == 0);
  }
}

TlsSession::~TlsSession() { SSL_free(ssl_); }

// -- under OpenSSL --------------------------------------------------------------------------------

int TlsSession::BioRead(char* to, int most) {
  int got = 0;
  while (got < most && next_fed_ < input_.size()) {
    base::Slice& slice = input_[next_fed_];
    const uint32_t part = std::min(slice.size(), static_cast<uint32_t>(most - got));
    std::memcpy(to + got, slice.data(), part);
    got += static_cast<int>(part);
    slice.RemovePrefix(part);
    if (slice.empty()) {
      slice.Reset();
      ++next_fed_;
    }
  }
  fed_ -= static_cast<uint32_t>(got);
  if (next_fed_ == input_.size()) {
    input_.clear();
    next_fed_ = 0;
  }
  return got;
}

void TlsSession::BioWrite(std::string_view record) {
  if (reading_) {
    answers_ += static_cast<uint32_t>(record.size());
  }
  sink_->PutRecord(record);
}

// -- handshake ------------------------------------------------------------------------------------

TlsSession::Step TlsSession::Handshake() {
  if (state_ != State::kHandshake) {
    return state_ == State::kOpen ? Step::kDone : Step::kFailed;
  }
  ForgetErrors();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    NoteFacts();
    if (must_name_alpn_ && !facts_.alpn) {
      Fail(TlsFailure::kProtocol, "the server did not agree on the protocol by ALPN");
      return Step::kFailed;
    }
    state_ = State::kOpen;
    known_ = true;
    return Step::kDone;
  }
  if (SSL_get_error(ssl_, result) == SSL_ERROR_WANT_READ) {
    return Step::kWantInput;
  }
  FailFromQueue(result);
  return Step::kFailed;
}

void TlsSession::NoteFacts() {
  facts_.version = SSL_get_version(ssl_);
  facts_.cipher = SSL_get_cipher_name(ssl_);
  facts_.bits = SSL_get_cipher_bits(ssl_, nullptr);
  facts_.resumed = SSL_session_reused(ssl_) == 1;
  const unsigned char* protocol = nullptr;
  unsigned int length = 0;
  SSL_get0_alpn_selected(ssl_, &protocol, &length);
  facts_.alpn = length > 0;  // a server can only choose what was offered
  NotePeer();
  ERR_clear_error();
}

void TlsSession::NotePeer() {
  const std::unique_ptr<X509, FreeX509> peer(SSL_get1_peer_certificate(ssl_));
  X509* const server = role_ == TlsRole::kServer ? SSL_get_certificate(ssl_) : peer.get();
  facts_.server_end_point = ServerEndPoint(server);
  if (peer == nullptr || !verifies_ || SSL_get_verify_result(ssl_) != X509_V_OK) {
    return;
  }
  const X509_NAME* const subject = X509_get_subject_name(peer.get());
  facts_.peer_verified = true;
  facts_.peer_common_name = CommonName(subject);
  facts_.peer_name = DistinguishedName(subject);
}

// -- receiving ------------------------------------------------------------------------------------

void TlsSession::Feed(base::Slice ciphertext) {
  fed_ += ciphertext.size();
  input_.push_back(std::move(ciphertext));
}

void TlsSession::DropFed() {
  input_.clear();
  next_fed_ = fed_ = 0;
}

TlsSession::Input TlsSession::Read(base::Slice* plaintext) {
  if (state_ != State::kOpen) {
    return Input::kFailed;
  }
  // What is fed is at least as long as its plaintext, but for a record's first part that OpenSSL
  // holds already.
  const bool holds_part = SSL_has_pending(ssl_) == 1;
  if ((SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0) {
    return Input::kClosed;
  }
  if (!holds_part && fed_ == 0) {
    return Input::kWantInput;
  }
  const uint32_t room = holds_part ? kRecordMax : std::clamp(fed_, kPlainLeast, kRecordMax);
  base::Slice block = base::Slice::WithCapacity(room);
  Input result = Input::kBytes;
  reading_ = true;
  // Not once more for nothing: OpenSSL would take a buffer, find no record and give it back.
  for (bool more = true; more && block.room() > 0; more = fed_ > 0 || SSL_has_pending(ssl_) == 1) {
    ForgetErrors();
    const int got = SSL_read(ssl_, block.tail(), static_cast<int>(block.room()));
    if (got <= 0) {
      const int error = SSL_get_error(ssl_, got);
      if (error == SSL_ERROR_ZERO_RETURN) {
        result = Input::kClosed;
      } else if (error != SSL_ERROR_WANT_READ) {
        FailFromQueue(got);
        result = Input::kFailed;
      } else {
        result = Input::kWantInput;
      }
      break;
    }
    block.Extend(static_cast<uint32_t>(got));
  }
  reading_ = false;
  if (answers_ > kAnswersMax) {
    Fail(TlsFailure::kProtocol, "the peer asks for key updates and does not read the answers");
    result = Input::kFailed;
  }
  if (block.empty()) {
    return result;
  }
  // The end or the failure, if there was one, is told by the next call.
  *plaintext = block.size() * 2 < room ? base::Slice::CopyOf(block.view()) : std::move(block);
  return Input::kBytes;
}

// -- sending --------------------------------------------------------------------------------------

void TlsSession::Queue(base::Slice plaintext) {
  queue_.push_back(std::move(plaintext));
  tail_open_ = false;
}

void TlsSession::QueueCopy(std::string_view plaintext) {
  AppendCopy(plaintext, &queue_, &tail_open_);
}

// One record for each kRecordMax bytes: pieces that are shorter are gathered first.
uint32_t TlsSession::Encrypt() {
  answers_ = 0;
  if (state_ == State::kHandshake || queue_.empty()) {
    return 0;
  }
  uint32_t total = 0;
  std::array<char, kRecordMax> gathered;
  size_t held = 0;
  for (size_t i = 0; i < queue_.size(); ++i) {
    std::string_view rest = queue_[i].view();
    total += queue_[i].size();
    while (!rest.empty()) {
      const bool last = i + 1 == queue_.size();
      if (held == 0 && (rest.size() >= kRecordMax || last)) {
        EncryptOne(rest.substr(0, kRecordMax));
        rest.remove_prefix(std::min<size_t>(rest.size(), kRecordMax));
        continue;
      }
      const size_t part = std::min(rest.size(), kRecordMax - held);
      std::memcpy(gathered.data() + held, rest.data(), part);
      held += part;
      rest.remove_prefix(part);
      if (held == kRecordMax || (last && rest.empty())) {
        EncryptOne(std::string_view(gathered.data(), held));
        held = 0;
      }
    }
  }
  DropQueued();
  return total;
}

void TlsSession::EncryptOne(std::string_view plaintext) {
  while (!plaintext.empty() && state_ == State::kOpen) {
    ForgetErrors();
    const int done = SSL_write(ssl_, plaintext.data(), static_cast<int>(plaintext.size()));
    if (done <= 0) {
      FailFromQueue(done);
      return;
    }
    plaintext.remove_prefix(static_cast<size_t>(done));
  }
}

uint32_t TlsSession::DropQueued() {
  uint32_t dropped = 0;
  for (const base::Slice& slice : queue_) {
    dropped += slice.size();
  }
  queue_.clear();
  tail_open_ = false;
  return dropped;
}

void TlsSession::SendClose() {
  if (state_ != State::kOpen || close_sent_) {
    return;
  }
  close_sent_ = true;
  ERR_clear_error();
  static_cast<void>(SSL_shutdown(ssl_));
  ERR_clear_error();
}

// -- failure --------------------------------------------------------------------------------------

void TlsSession::Fail(TlsFailure failure, std::string_view why) {
  if (state_ == State::kFailed) {
    return;
  }
  state_ = State::kFailed;
  failure_ = failure;
  why_ = why;
  DropFed();
}

void TlsSession::FailFromQueue(int result) {
  const int kind = SSL_get_error(ssl_, result);
  const unsigned long error = ERR_peek_error();
  const char* reason = ERR_reason_error_string(error);
  std::string why = reason != nullptr ? reason : "the connection ended";
  TlsFailure failure = kind == SSL_ERROR_SSL ? TlsFailure::kProtocol : TlsFailure::kClosed;
  if (IsAlert(error)) {
    failure = TlsFailure::kRefused;
    why = "the peer answered: " + why;
  } else if (IsAboutCertificate(error)) {
    failure = TlsFailure::kCertificate;
    const long verdict = SSL_get_verify_result(ssl_);
    why += verdict == X509_V_OK ? "" : std::string(": ") + X509_verify_cert_error_string(verdict);
  }
  ForgetErrors();
  Fail(failure, why);
}

size_t TlsSession::memory() const {
  return sizeof *this + (input_.capacity() + queue_.capacity()) * sizeof(base::Slice);
}

}  // namespace io
