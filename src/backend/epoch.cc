#include "backend/epoch.h"

#include <utility>

#include "base/status.h"

namespace backend {
namespace {

// What clients' connections are encrypted with; null if they are not.
absl::StatusOr<std::unique_ptr<io::TlsContext>> ClientTls(const config::Tls& tls) {
  if (!tls.enabled) {
    return std::unique_ptr<io::TlsContext>();
  }
  absl::StatusOr<std::unique_ptr<io::TlsContext>> made =
      io::TlsContext::ForServer({.certificate = tls.certificate,
                                 .key = tls.key,
                                 .client_ca = tls.client_ca,
                                 .demand_certificate = tls.verify_client});
  if (!made.ok()) {
    return base::Error(made.status().code(),
                       "TLS for clients: " + std::string(base::Message(made.status())));
  }
  return made;
}

}  // namespace

std::vector<std::string> Setup::Warnings() const {
  std::vector<std::string> warnings = dialler->warnings();
  if (client_tls != nullptr) {
    const std::vector<std::string>& more = client_tls->warnings();
    warnings.insert(warnings.end(), more.begin(), more.end());
  }
  return warnings;
}

absl::StatusOr<Setup> MakeSetup(config::Config config, io::Resolver* resolver,
                                std::string_view process_secret) {
  Setup setup;
  ASSIGN_OR_RETURN(setup.client_tls, ClientTls(config.tls));
  ASSIGN_OR_RETURN(setup.dialler, Dialler::Make(config, resolver));
  setup.secrets = std::make_unique<const KnownSecrets>(config.authentication.users, process_secret);
  setup.config = std::move(config);
  return setup;
}

}  // namespace backend
