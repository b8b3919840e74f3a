#include "server/server.h"

#include <pthread.h>
#include <sys/resource.h>

#include <csignal>
#include <latch>
#include <memory>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "config/cpus.h"
#include "io/uring_engine.h"
#include "server/shard.h"

namespace server {
namespace {

// Signals are for the main thread alone: shards inherit this mask.
sigset_t BlockSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  sigaddset(&signals, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  sigdelset(&signals, SIGPIPE);
  return signals;
}

// Each client takes two descriptors; the soft limit is often far below the hard one.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
  }
}

absl::StatusOr<std::vector<io::Address>> ListenAddresses(const config::Config& config) {
  std::vector<io::Address> addresses;
  for (const config::Endpoint& endpoint : config.listen) {
    ASSIGN_OR_RETURN(const io::Address address,
                     io::Address::Numeric(endpoint.host, endpoint.port));
    addresses.push_back(address);
  }
  return addresses;
}

// Which twin runs; one WARN line with cause and fix if it is not the one that was hoped for.
absl::Status ChooseEngine(const config::Config& config, Common* common) {
  if (config.io == config::IoBackend::kEpoll) {
    return absl::OkStatus();
  }
  common->uring = io::ProbeUring();
  common->use_uring = common->uring.usable;
  if (common->uring.usable) {
    return absl::OkStatus();
  }
  if (config.io == config::IoBackend::kIoUring) {
    return base::Unavailable("--io io_uring: " + common->uring.reason);
  }
  base::Log(base::LogLevel::kWarn, "io.epoll_instead_of_io_uring",
            {{"why", common->uring.reason}, {"cost", "5-20 % more CPU per small query"}});
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<io::Engine>> MakeEngine(const Common& common) {
  if (!common.use_uring) {
    return std::unique_ptr<io::Engine>(
        std::make_unique<io::EpollEngine>(common.config->buffer_size));
  }
  io::UringOptions options;
  options.ring_entries = common.config->ring_size;
  options.buffer_bytes = common.config->buffer_size;
  options.support = common.uring;
  ASSIGN_OR_RETURN(std::unique_ptr<io::UringEngine> engine, io::UringEngine::Create(options));
  return std::unique_ptr<io::Engine>(std::move(engine));
}

}  // namespace

absl::Status Run(const config::Config& config) {
  const sigset_t signals = BlockSignals();
  RaiseDescriptorLimit();
  return absl::OkStatus();
}

}  // namespace server
