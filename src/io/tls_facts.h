// TlsFacts: what a finished TLS handshake told about a connection. A plain value, kept by its
// Stream for as long as it lives (Stream::tls()).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace io {

struct TlsFacts {
  std::string_view version;  // "TLSv1.2", "TLSv1.3"
  std::string_view cipher;   // as OpenSSL names it: "TLS_AES_128_GCM_SHA256"
  int bits = 0;              // of the cipher's key
  bool resumed = false;      // by a ticket: no certificate was shown, and nobody is thereby known
  bool alpn = false;         // both sides named the protocol "postgresql"
  // The peer's certificate, only if it was verified against a CA of ours; else all are empty.
  bool peer_verified = false;
  std::string peer_common_name;  // of the subject; empty also if it is not one, or holds a NUL
  std::string peer_name;         // the whole subject as RFC 2253 writes it: "CN=alice,O=Example"
  // tls-server-end-point (RFC 5929, section 4): the hash of the server's certificate, the local one
  // in the server's role and the peer's in the client's; 28 to 64 bytes. Empty if the RFC leaves it
  // undefined (a signature without a hash of its own, as Ed25519): then there is no binding.
  std::string server_end_point;
};

// Why a handshake failed, or a connection later, for whoever counts.
enum class TlsFailure : uint8_t {
  kNone,
  kCertificate,  // we did not accept the peer's certificate, or it showed none
  kRefused,      // the peer sent an alert
  kProtocol,     // no version or cipher in common, or bytes that are not TLS
  kClosed,       // the peer went
  kTimeout,
};
inline constexpr size_t kTlsFailures = 6;
// "certificate", "refused", …: the label of the metric.
std::string_view Name(TlsFailure failure);

}  // namespace io
