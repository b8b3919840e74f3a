// TlsContext: what the TLS connections of one configuration share: keys, certificates, authorities
// and the rules of what is accepted.
//
// Made on the starting thread, from files; immutable then, used by every shard, and may go while
// connections made with it live on. Rules: TLS 1.2 and 1.3 only; with 1.2 only ECDHE with GCM or
// ChaCha20-Poly1305; no renegotiation, no compression, no session cache. A server gives tickets,
// whose key dies with the context, unless it asks for certificates: a ticket would carry one.
//
// Errors name the file and what is wrong with it. A private key must not be readable by others:
// owned by us with mode 0600 at most, or by root with 0640 at most, as PostgreSQL demands.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

struct ssl_ctx_st;

namespace io {

struct TlsServerFiles {
  std::string certificate;          // PEM: ours, then the intermediate ones
  std::string key;                  // PEM
  std::string client_ca;            // PEM, or empty: clients are not asked for a certificate
  bool demand_certificate = false;  // a client without a certificate is refused; needs client_ca
};

struct TlsClientFiles {
  // PEM; "system": those of the operating system; empty: the server's certificate is not verified.
  std::string ca;
  std::string certificate;  // PEM, or empty; with it, `key`
  std::string key;
};

enum class TlsRole : uint8_t { kServer, kClient };

class TlsContext {
 public:
  static absl::StatusOr<std::unique_ptr<TlsContext>> ForServer(const TlsServerFiles& files);
  static absl::StatusOr<std::unique_ptr<TlsContext>> ForClient(const TlsClientFiles& files);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  TlsRole role() const { return role_; }
  // True exactly when peers' certificates are verified against a CA.
  bool verifies() const { return verifies_; }
  // What is no error but should be said: "certificate file \"x\" has expired".
  const std::vector<std::string>& warnings() const { return warnings_; }
  ssl_ctx_st* get() const { return context_; }  // for TlsSession

 private:
  explicit TlsContext(TlsRole role);
  absl::Status UseCertificate(const std::string& certificate, const std::string& key);
  absl::Status UseAuthorities(const std::string& ca);
  void WarnOfDates(const std::string& file);

  const TlsRole role_;
  ssl_ctx_st* context_ = nullptr;
  bool verifies_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace io
