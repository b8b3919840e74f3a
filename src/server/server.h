// Server: the process: probes the kernel, starts the shards, waits for signals, reloads, drains.
//
// On the main thread, which serves nobody: it only waits for signals, since shards block them all.
#pragma once

#include "absl/status/status.h"
#include "config/reload.h"

namespace server {

// Runs until SIGTERM or SIGINT and the drain that follows. kUnavailable and the like if it cannot
// start (an address in use, io_uring asked for and not to be had).
// SIGHUP: `reloader` loads the configuration again, and it takes the place of `config`, or nothing
// is changed and the log says why.
absl::Status Run(const config::Config& config, const config::Reloader& reloader);

}  // namespace server
