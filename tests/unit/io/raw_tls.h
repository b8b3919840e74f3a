// RawTls: the other end of a TLS connection, by OpenSSL alone and none of our code, in a test's
// hands step by step: key updates, tickets, ALPN, endings of every kind.
//
// Works on a non-blocking descriptor that it owns; calls return at once.
#pragma once

#include <openssl/ssl.h>

#include <string>
#include <string_view>

namespace io_test {

struct RawOptions {
  bool server = false;
  std::string certificate = "";  // PEM files; needed by a server
  std::string key = "";
  int version = 0;           // TLS1_2_VERSION, TLS1_3_VERSION; 0: whatever both can
  std::string alpn = "";     // as on the wire; empty: none
  std::string ciphers = "";  // of TLS 1.2; empty: OpenSSL's
  SSL_SESSION* resume = nullptr;
};

class RawTls {
 public:
  RawTls(int descriptor, const RawOptions& options);
  ~RawTls();
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;

  // True once the handshake is done; false: not yet, or failed.
  bool Shake();
  bool failed() const { return !error_.empty(); }
  const std::string& error() const { return error_; }
  // What can be read now; sets ended() at close_notify, error() when it fails.
  std::string Read(size_t most = 65'536);
  bool ended() const { return ended_; }
  // Bytes that were written; 0 if the socket is full.
  size_t Write(std::string_view bytes);
  // Asks the peer to change its keys too.
  void AskForKeys();
  void SendClose() { SSL_shutdown(ssl_); }
  SSL* ssl() { return ssl_; }
  int descriptor() const { return descriptor_; }
  // The last ticket, or null; the caller's.
  SSL_SESSION* TakeTicket();

 private:
  static int OnTicket(SSL* ssl, SSL_SESSION* ticket);
  void Note(int result);

  int descriptor_;
  SSL_CTX* context_;
  SSL* ssl_;
  SSL_SESSION* ticket_ = nullptr;
  std::string error_;
  bool ended_ = false;
};

}  // namespace io_test
