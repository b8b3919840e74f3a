// Setup: a configuration and what was made for it: the TLS of its files, the secrets of its users.
// What one epoch of the process consists of; immutable together.
//
// Made by the main thread, as a whole or not at all, and handed to every shard. Whoever works by it
// keeps an Epoch: a session, a pool, a connection as long as it may have to be cancelled, a look-up
// of secrets. It is freed by the last of them, so what it points into stays as long as that.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "backend/dial.h"
#include "backend/known_secrets.h"
#include "base/epoch.h"
#include "config/config.h"
#include "io/resolver.h"
#include "io/tls_context.h"

namespace backend {

struct Setup {
  config::Config config;
  std::unique_ptr<const Dialler> dialler;
  std::unique_ptr<const KnownSecrets> secrets;       // of the users file
  std::unique_ptr<const io::TlsContext> client_tls;  // null: clients get no TLS

  // What should be said once: certificates that have expired, servers that are not verified.
  std::vector<std::string> Warnings() const;
};

using Epochs = base::Epochs<Setup>;
using Epoch = Epochs::Hold;

// Reads the files of TLS. An error says which file, and for which setting or server.
// `process_secret`: random, the same for every epoch of a process.
absl::StatusOr<Setup> MakeSetup(config::Config config, io::Resolver* resolver,
                                std::string_view process_secret);

}  // namespace backend
