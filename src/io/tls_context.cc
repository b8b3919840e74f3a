#include "io/tls_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/check.h"
#include "base/fault_point.h"
#include "base/status.h"

namespace io {
namespace {

constexpr std::string_view kAlpn = "\x0apostgresql";  // as on the wire: length, name
constexpr char kSessionIdContext[] = "pgbraid";
constexpr char kCiphers12[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr char kCiphers13[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

std::string Named(std::string_view what, const std::string& file) {
  return std::string(what) + " \"" + file + "\"";
}

// The first reason on this thread's queue of errors, which is empty afterwards.
std::string TakeReason() {
  const unsigned long error = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? "unknown error" : reason;
}

absl::Status CheckReadable(std::string_view what, const std::string& file) {
  if (access(file.c_str(), R_OK) != 0) {
    return base::ErrnoError(Named(what, file), errno);
  }
  return absl::OkStatus();
}

absl::Status CheckKeyFile(const std::string& file) {
  struct stat found {};
  if (stat(file.c_str(), &found) != 0) {
    return base::ErrnoError(Named("private key file", file), errno);
  }
  if (!S_ISREG(found.st_mode)) {
    return base::InvalidArgument(Named("private key file", file) + " is not a regular file");
  }
  if (found.st_uid != geteuid() && found.st_uid != 0) {
    return base::InvalidArgument(Named("private key file", file) +
                                 " must be owned by the user pgbraid runs as, or by root");
  }
  // root's key may be lent to a group, also when pgbraid itself runs as root.
  const mode_t forbidden = found.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
  if ((found.st_mode & forbidden) != 0) {
    return base::InvalidArgument(
        Named("private key file", file) +
        " can be read by others; its mode must be u=rw (0600) or less, or u=rw,g=r (0640) or less "
        "if root owns it");
  }
  return CheckReadable("private key file", file);
}

// A passphrase would be asked for on a terminal that a server does not have.
int NoPassphrase(char*, int, int, void*) { return 0; }

// A client that names protocols must name ours; one that names none is let in (and decided upon by
// whoever reads TlsFacts::alpn).
int SelectAlpn(SSL*, const unsigned char** chosen, unsigned char* chosen_length,
               const unsigned char* offered, unsigned int offered_length, void*) {
  unsigned char* match = nullptr;
  const int found = SSL_select_next_proto(
      &match, chosen_length, reinterpret_cast<const unsigned char*>(kAlpn.data()),
      static_cast<unsigned int>(kAlpn.size()), offered, offered_length);
  *chosen = match;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

TlsContext::TlsContext(TlsRole role) : role_(role) {
  ERR_clear_error();
  context_ = SSL_CTX_new(role == TlsRole::kServer ? TLS_server_method() : TLS_client_method());
  CHECK(context_ != nullptr);
  CHECK(SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION) == 1);
  CHECK(SSL_CTX_set_cipher_list(context_, kCiphers12) == 1);
  CHECK(SSL_CTX_set_ciphersuites(context_, kCiphers13) == 1);
  SSL_CTX_set_options(context_, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context_, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                 SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context_, 1);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context_, NoPassphrase);
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::ForServer(const TlsServerFiles& files) {
  std::unique_ptr<TlsContext> made(new TlsContext(TlsRole::kServer));
  RETURN_IF_ERROR(made->UseCertificate(files.certificate, files.key));
  SSL_CTX* const context = made->context_;
  CHECK(SSL_CTX_set_session_id_context(context,
                                       reinterpret_cast<const unsigned char*>(kSessionIdContext),
                                       sizeof kSessionIdContext - 1) == 1);
  SSL_CTX_set_alpn_select_cb(context, SelectAlpn, nullptr);
  CHECK(SSL_CTX_set_num_tickets(context, 1) == 1);
  if (files.client_ca.empty()) {
    return made;
  }
  RETURN_IF_ERROR(made->UseAuthorities(files.client_ca));
  STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(files.client_ca.c_str());
  if (names == nullptr) {
    return base::InvalidArgument(Named("CA file", files.client_ca) + ": " + TakeReason());
  }
  SSL_CTX_set_client_CA_list(context, names);
  const bool demanded =
      files.demand_certificate && !HISTORICAL_BUG("b7-no-certificate-will-do");
  SSL_CTX_set_verify(context,
                     SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE |
                         (demanded ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  CHECK(SSL_CTX_set_num_tickets(context, 0) == 1);
  return made;
}

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::ForClient(const TlsClientFiles& files) {
  std::unique_ptr<TlsContext> made(new TlsContext(TlsRole::kClient));
  if (!files.certificate.empty()) {
    RETURN_IF_ERROR(made->UseCertificate(files.certificate, files.key));
  }
  if (!files.ca.empty()) {
    RETURN_IF_ERROR(made->UseAuthorities(files.ca));
    SSL_CTX_set_verify(made->context_, SSL_VERIFY_PEER, nullptr);
  }
  return made;
}

absl::Status TlsContext::UseCertificate(const std::string& certificate, const std::string& key) {
  RETURN_IF_ERROR(CheckReadable("certificate file", certificate));
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context_, certificate.c_str()) != 1) {
    const bool none = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE ||
                      ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE;
    return base::InvalidArgument(Named("certificate file", certificate) +
                                 (none ? " holds no certificate" : ": " + TakeReason()));
  }
  RETURN_IF_ERROR(CheckKeyFile(key));
  ERR_clear_error();
  if (SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const unsigned long error = ERR_peek_error();
    if (ERR_GET_LIB(error) == ERR_LIB_X509 && ERR_GET_REASON(error) == X509_R_KEY_VALUES_MISMATCH) {
      ERR_clear_error();
      return base::InvalidArgument(Named("private key file", key) + " does not belong to " +
                                   Named("certificate file", certificate));
    }
    return base::InvalidArgument(
        Named("private key file", key) +
        " holds no private key that can be read without a passphrase: " + TakeReason());
  }
  if (SSL_CTX_check_private_key(context_) != 1) {
    ERR_clear_error();
    return base::InvalidArgument(Named("private key file", key) + " does not belong to " +
                                 Named("certificate file", certificate));
  }
  WarnOfDates(certificate);
  return absl::OkStatus();
}

void TlsContext::WarnOfDates(const std::string& file) {
  const X509* const certificate = SSL_CTX_get0_certificate(context_);
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    warnings_.push_back(Named("certificate file", file) + " has expired");
  } else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    warnings_.push_back(Named("certificate file", file) + " is not valid yet");
  }
}

absl::Status TlsContext::UseAuthorities(const std::string& ca) {
  verifies_ = true;
  ERR_clear_error();
  if (role_ == TlsRole::kClient && ca == "system") {
    if (SSL_CTX_set_default_verify_paths(context_) != 1) {
      return base::InvalidArgument("the system's certificate authorities: " + TakeReason());
    }
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(CheckReadable("CA file", ca));
  if (SSL_CTX_load_verify_file(context_, ca.c_str()) != 1) {
    ERR_clear_error();
    return base::InvalidArgument(Named("CA file", ca) + " holds no certificate");
  }
  return absl::OkStatus();
}

}  // namespace io
