// Surroundings: what a session needs of its shard. Made by the shard, on which it stays; everything
// in it outlives every session.
#pragma once

#include "backend/backend_metrics.h"
#include "backend/cancel.h"
#include "backend/epoch.h"
#include "backend/pools.h"
#include "io/loop.h"
#include "mirror/mirrors.h"
#include "session/authenticator.h"
#include "session/session_metrics.h"
#include "turn/judge.h"

namespace session {

struct Surroundings {
  io::Loop* loop = nullptr;
  backend::Epoch epoch;  // in force; another after a reload
  backend::CancelRegistry* cancels = nullptr;
  mirror::Mirrors* mirrors = nullptr;
  backend::Pools* pools = nullptr;
  backend::CancelReceiver* receiver = nullptr;  // of cancels for this shard's sessions
  Authenticator* authenticator = nullptr;
  SessionMetrics* metrics = nullptr;
  backend::BackendMetrics* backend_metrics = nullptr;
  turn::Judge* judge = nullptr;  // none by default
};

}  // namespace session
