// Dial: a configured server's address, resolved and connected to. On the caller's shard.
#pragma once

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "config/server_url.h"
#include "io/resolver.h"
#include "io/stream.h"
#include "io/task.h"

namespace backend {

// How long a connect and login to `server` may take: what its URL says, else the process's limit.
absl::Duration ConnectTimeout(const config::Server& server, const base::Limits& limits);

// Resolves and connects `stream`; `*address` is what it connected to. kDeadlineExceeded,
// kUnavailable: texts name the server's host, so they are for the log, not for clients.
io::Task<absl::Status> Dial(io::Stream* stream, const config::Server* server,
                            io::Resolver* resolver, base::Deadline deadline, io::Address* address);

}  // namespace backend
