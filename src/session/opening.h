// Opening: what a client's start-up packets said, until it is logged in. Internal to session/.
#pragma once

#include <string>

#include "backend/connection.h"
#include "pg/startup.h"
#include "session/session.h"

namespace session {

struct Session::Opening {
  std::string bytes;  // received and not used; `packet` points into it
  pg::StartupAllowed allowed{.long_cancel_secrets = true};
  bool fresh = true;        // true exactly until the first byte was looked at
  bool direct = false;      // TLS from the first byte
  bool tls_begins = false;  // true exactly when what comes next is a handshake
  io::TlsOptions tls;
  pg::StartupPacket packet;  // the StartupMessage or CancelRequest
  bool no_service = false;   // true exactly when no service has the name that was asked for
  backend::Parameters reported;  // what the client was told of its server; where there are mirrors
};

}  // namespace session
