#include "unit/io/raw_tls.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <unistd.h>

#include <utility>

#include "base/check.h"

namespace io_test {

RawTls::RawTls(int descriptor, const RawOptions& options)
    : descriptor_(descriptor),
      context_(SSL_CTX_new(options.server ? TLS_server_method() : TLS_client_method())),
      ssl_(nullptr) {
  CHECK(fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) == 0);
  SSL_CTX_set_security_level(context_, 0);  // what we must refuse can be tried
  if (options.version != 0) {
    CHECK(SSL_CTX_set_min_proto_version(context_, options.version) == 1);
    CHECK(SSL_CTX_set_max_proto_version(context_, options.version) == 1);
  }
  if (!options.ciphers.empty()) {
    CHECK(SSL_CTX_set_cipher_list(context_, options.ciphers.c_str()) == 1);
  }
  if (!options.certificate.empty()) {
    CHECK(SSL_CTX_use_certificate_chain_file(context_, options.certificate.c_str()) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(context_, options.key.c_str(), SSL_FILETYPE_PEM) == 1);
  }
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_, OnTicket);
  ssl_ = SSL_new(context_);
  SSL_set_app_data(ssl_, this);
  CHECK(SSL_set_fd(ssl_, descriptor) == 1);
  if (!options.alpn.empty()) {
    CHECK(SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(options.alpn.data()),
                              static_cast<unsigned>(options.alpn.size())) == 0);
  }
  if (options.resume != nullptr) {
    CHECK(SSL_set_session(ssl_, options.resume) == 1);
  }
  options.server ? SSL_set_accept_state(ssl_) : SSL_set_connect_state(ssl_);
}

RawTls::~RawTls() {
  SSL_SESSION_free(ticket_);
  SSL_free(ssl_);
  SSL_CTX_free(context_);
  close(descriptor_);
}

int RawTls::OnTicket(SSL* ssl, SSL_SESSION* ticket) {
  RawTls* const self = static_cast<RawTls*>(SSL_get_app_data(ssl));
  SSL_SESSION_free(std::exchange(self->ticket_, ticket));
  return 1;  // ours now
}

SSL_SESSION* RawTls::TakeTicket() { return std::exchange(ticket_, nullptr); }

void RawTls::Note(int result) {
  const int kind = SSL_get_error(ssl_, result);
  if (kind == SSL_ERROR_ZERO_RETURN) {
    ended_ = true;
  } else if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE) {
    const char* reason = ERR_reason_error_string(ERR_peek_error());
    error_ = reason == nullptr ? "the connection ended" : reason;
  }
  ERR_clear_error();  // ours must not become anybody else's on this thread
}

bool RawTls::Shake() {
  if (failed()) {
    return false;
  }
  const int result = SSL_do_handshake(ssl_);
  if (result != 1) {
    Note(result);
  }
  return result == 1;
}

std::string RawTls::Read(size_t most) {
  std::string bytes(most, '\0');
  size_t got = 0;
  while (got < most && !failed() && !ended_) {
    const int result = SSL_read(ssl_, bytes.data() + got, static_cast<int>(most - got));
    if (result <= 0) {
      Note(result);
      break;
    }
    got += static_cast<size_t>(result);
  }
  bytes.resize(got);
  return bytes;
}

size_t RawTls::Write(std::string_view bytes) {
  if (failed()) {
    return 0;
  }
  const int result = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
  if (result <= 0) {
    Note(result);
    return 0;
  }
  return static_cast<size_t>(result);
}

void RawTls::AskForKeys() { CHECK(SSL_key_update(ssl_, SSL_KEY_UPDATE_REQUESTED) == 1); }

}  // namespace io_test
