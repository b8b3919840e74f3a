// Opening: what a client's start-up packets said, until it is logged in. Internal to session/.
#pragma once

#include <string>

#include "pg/startup.h"
#include "session/session.h"

namespace session {

struct Session::Opening {
  std::string bytes;  // received and not used; `packet` points into it
  pg::StartupAllowed allowed{.long_cancel_secrets = true};
  pg::StartupPacket packet;  // the StartupMessage or CancelRequest
};

}  // namespace session
