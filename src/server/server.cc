#include "server/server.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/crypto.h"
#include "base/log.h"
#include "base/status.h"
#include "config/cpus.h"
#include "io/epoll_engine.h"
#include "io/unix_listener.h"
#include "io/uring_engine.h"
#include "mirror/capture.h"
#include "mirror/gap_store.h"
#include "mirror/spill_root.h"
#include "server/report.h"
#include "server/shard.h"
#include "server/watchdog.h"

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

// The next of them; 0 if none has come for so long.
int NextSignal(const sigset_t& signals, absl::Duration wait) {
  const timespec most = absl::ToTimespec(wait);
  return std::max(sigtimedwait(&signals, nullptr, &most), 0);
}

// A second signal: nobody is waited for, nobody is told.
[[noreturn]] void StopAtOnce() {
  base::Log(base::LogLevel::kWarn, "server.stopped_at_once",
            {{"why", "a second signal; clients were cut"}});
  base::FlushLog();
  _exit(0);
}

// Each client takes two descriptors; the soft limit is often far below the hard one.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
  }
}

// Its memory holds passwords, keys and clients' data: no core, not even for a collector that does
// not ask for limits, and only root may look into the process.
void ForbidCoreDumps() {
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  static_cast<void>(setrlimit(RLIMIT_CORE, &none));
  static_cast<void>(prctl(PR_SET_DUMPABLE, 0));
}

absl::StatusOr<std::vector<io::Address>> ListenAddresses(const config::Config& config) {
  std::vector<io::Address> addresses;
  for (const config::Endpoint& endpoint : config.listen) {
    if (endpoint.IsUnixSocket()) {
      continue;
    }
    ASSIGN_OR_RETURN(const io::Address address, io::Address::Numeric(endpoint.host, endpoint.port));
    addresses.push_back(address);
  }
  return addresses;
}

// What waits for slow peers is copied into large blocks: mapped ones go back to the system with
// their last byte, whatever was allocated behind them.
void GiveBackLargeBlocks() {
  constexpr int kLarge = 32 * 1024;
  static_cast<void>(mallopt(M_MMAP_THRESHOLD, kLarge));
}

// The one line, with cause and fix, where io_uring was hoped for.
void WarnOfEpoll(std::string_view why) {
  base::Log(base::LogLevel::kWarn, "io.epoll_instead_of_io_uring",
            {{"why", why}, {"cost", "5-20 % more CPU per small query"}});
}

// What mirrors lack is kept where the operator says, or not at all.
absl::StatusOr<std::unique_ptr<mirror::GapStore>> OpenGapStore(const config::Config& config,
                                                               mirror::Shared* mirrors) {
  if (config.state_dir.empty()) {
    if (!config.mirrors.empty()) {
      base::Log(base::LogLevel::kInfo, "mirror.gap_ledger_in_memory",
                {{"what", "a restart forgets what mirrors lack; --state-dir keeps it"}});
    }
    return std::unique_ptr<mirror::GapStore>();
  }
  absl::StatusOr<std::unique_ptr<mirror::GapStore>> store =
      mirror::GapStore::Open(config.state_dir, mirrors->ledgers());
  if (!store.ok()) {
    return base::Error(store.status().code(),
                       "--state-dir: " + std::string(base::Message(store.status())));
  }
  (*store)->Start();
  return store;
}

// The spills, and the ledgers in which it stands what an earlier process has left there.
absl::StatusOr<std::unique_ptr<mirror::GapStore>> OpenMirrorFiles(const config::Config& config,
                                                                  mirror::Shared* mirrors) {
  std::unique_ptr<mirror::SpillRoot> spill;
  if (!config.spill_dir.empty() && !config.mirrors.empty()) {
    absl::StatusOr<std::unique_ptr<mirror::SpillRoot>> root =
        mirror::SpillRoot::Open(config, mirrors->ledgers());
    if (!root.ok()) {
      return base::Error(root.status().code(),
                         "--spill-dir: " + std::string(base::Message(root.status())));
    }
    spill = *std::move(root);
  }
  ASSIGN_OR_RETURN(std::unique_ptr<mirror::GapStore> gaps, OpenGapStore(config, mirrors));
  if (spill != nullptr) {
    spill->RemoveNamed();
    mirrors->SetSpill(std::move(spill));
  }
  return gaps;
}

absl::Status NoUring(std::string_view why) {
  return base::Unavailable("--io io_uring: " + std::string(why));
}

// Which twin runs, as far as that can be told before the shards have tried.
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
    return NoUring(common->uring.reason);
  }
  WarnOfEpoll(common->uring.reason);
  return absl::OkStatus();
}

// A submission may complete many times over: receives and accepts go on.
constexpr uint32_t kCompletionsPerEntry = 16;

absl::StatusOr<std::unique_ptr<io::Engine>> MakeEngine(const Common& common) {
  if (!common.use_uring) {
    ASSIGN_OR_RETURN(std::unique_ptr<io::EpollEngine> engine,
                     io::EpollEngine::Create(common.config->buffer_size));
    return std::unique_ptr<io::Engine>(std::move(engine));
  }
  io::UringOptions options;
  options.ring_entries = common.config->ring_size;
  options.completion_entries =
      std::min(io::UringRing::kCompletionEntries, kCompletionsPerEntry * common.config->ring_size);
  options.buffer_bytes = common.config->buffer_size;
  options.support = common.uring;
  absl::StatusOr<std::unique_ptr<io::UringEngine>> engine = io::UringEngine::Create(options);
  if (!engine.ok()) {
    const bool asked = common.config->io == config::IoBackend::kIoUring;
    return asked ? NoUring(base::Message(engine.status())) : engine.status();
  }
  return std::unique_ptr<io::Engine>(*std::move(engine));
}

void WarnOfTls(const backend::Setup& setup) {
  for (const std::string& warning : setup.Warnings()) {
    base::Log(base::LogLevel::kWarn, "server.tls", {{"what", warning}});
  }
  if (setup.config.tls.skip_verify) {
    base::Log(base::LogLevel::kWarn, "server.tls_skip_verify",
              {{"what", "no server's certificate is verified; anybody on the way can be one"}});
  }
}

// Where all shards wait until each of them has come, and the main thread has done its part.
struct Meeting {
  explicit Meeting(uint32_t shards) : come(shards) {}
  void Attend() {
    come.count_down();
    over.wait();
  }
  std::latch come;
  std::latch over{1};
};

// The threads of the shards, from the first to the last line of their lives.
class Process {
 public:
  Process(const config::Config& config, backend::Setup setup, Common* common, uint32_t count)
      : config_(config),
        common_(common),
        report_(common),
        epochs_of_shards_(count),
        slots_(count),
        engines_(count),
        made_(count),
        listening_(count),
        ended_(count) {
    common_->shards.resize(count, nullptr);
    common_->epochs = &epochs_;
    Publish(std::move(setup), [this](int shard, backend::Epoch epoch) {
      epochs_of_shards_[static_cast<size_t>(shard)] = std::move(epoch);
    });
  }

  // Starts every shard; all serve or none does.
  absl::Status Start();
  // Every shard gets `setup`, by a message.
  void Follow(backend::Setup setup);
  // What was published last.
  const config::Config& config() const { return latest_->config; }
  uint64_t epoch() const { return latest_.number(); }
  void Drain(absl::Duration within);
  // After Drain(): returns when every shard has ended, or false at a second signal.
  bool AwaitEnd(const sigset_t& signals) const;
  void Join();
  // Where clients can connect.
  std::string Listening() const;

 private:
  struct Slot {
    std::thread thread;
    absl::Status status;
  };
  template <typename Sink>
  void Publish(backend::Setup setup, Sink&& hand_over);
  void RunShard(uint32_t index);
  absl::StatusOr<std::unique_ptr<io::Engine>> MakeEngineLikeOthers(Slot* slot);
  void AgreeOnEngine();
  absl::Status ListenInTurn(Shard* shard);
  absl::Status OpenUnixListeners();
  absl::Status ListenAdmin(Shard* shard);
  absl::Status FirstError() const;

  const config::Config& config_;
  Common* const common_;
  Report report_;
  backend::Epochs epochs_;
  backend::Epoch latest_;
  std::vector<backend::Epoch> epochs_of_shards_;  // each is its shard's from the start
  std::vector<Slot> slots_;
  Meeting engines_;
  Meeting made_;
  std::latch listening_;
  std::latch ended_;
  std::mutex listen_mutex_;
  std::vector<io::Address> bound_;  // by the first shard that listened; the others follow it
  std::vector<std::unique_ptr<io::UnixListener>> unix_listeners_;  // shards have duplicates
  bool again_ = false;  // true exactly when the engines are made a second time, by epoll
  std::atomic<bool> failed_{false};
};

// The shards' holds, and one more.
template <typename Sink>
void Process::Publish(backend::Setup setup, Sink&& hand_over) {
  const auto count = static_cast<int>(slots_.size());
  epochs_.Publish(std::move(setup), count + 1, [&](int index, backend::Epoch epoch) {
    if (index == count) {
      latest_ = std::move(epoch);
    } else {
      hand_over(index, std::move(epoch));
    }
  });
}

void Process::Follow(backend::Setup setup) {
  const base::Limits& limits = setup.config.limits;
  common_->pools->SetBounds({.total = limits.total_connections_max,
                             .per_server = limits.server_connections_max});
  Publish(std::move(setup), [this](int shard, backend::Epoch epoch) {
    common_->shards[static_cast<size_t>(shard)]->PostEpoch(std::move(epoch));
  });
}

absl::Status Process::FirstError() const {
  for (const Slot& slot : slots_) {
    RETURN_IF_ERROR(slot.status);
  }
  return absl::OkStatus();
}

absl::Status Process::Start() {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    slots_[i].thread = std::thread([this, i] { RunShard(i); });
  }
  engines_.come.wait();
  AgreeOnEngine();
  engines_.over.count_down();
  made_.come.wait();
  if (!FirstError().ok()) {
    failed_ = true;
  }
  made_.over.count_down();
  listening_.wait();
  absl::Status status = FirstError();
  if (!status.ok()) {
    if (!failed_) {  // else no shard runs: they end by themselves, and may be gone already
      Drain(absl::ZeroDuration());
    }
    Join();
  }
  return status;
}

// The probe's ring was small: a shard's may be one too many. All shards use the same twin, since a
// socket that one of them accepted may be handed to another.
void Process::AgreeOnEngine() {
  const absl::Status status = FirstError();
  if (status.ok() || !common_->use_uring || config_.io != config::IoBackend::kAuto) {
    return;
  }
  WarnOfEpoll("not every shard could make its ring: " + std::string(base::Message(status)));
  common_->use_uring = false;
  again_ = true;
}

absl::StatusOr<std::unique_ptr<io::Engine>> Process::MakeEngineLikeOthers(Slot* slot) {
  absl::StatusOr<std::unique_ptr<io::Engine>> engine = MakeEngine(*common_);
  slot->status = engine.status();
  engines_.Attend();
  if (again_) {
    engine = base::Unavailable("");  // gives back what the first one took
    engine = MakeEngine(*common_);
  }
  return engine;
}

// One shard at a time, so that a port of 0 is chosen once.
absl::Status Process::ListenInTurn(Shard* shard) {
  const std::lock_guard<std::mutex> lock(listen_mutex_);
  std::vector<io::Address> addresses = bound_;
  if (addresses.empty()) {
    ASSIGN_OR_RETURN(addresses, ListenAddresses(config_));
  }
  std::vector<io::Address> bound;
  RETURN_IF_ERROR(shard->Listen(addresses, &bound));
  bound_ = std::move(bound);
  RETURN_IF_ERROR(OpenUnixListeners());
  for (const std::unique_ptr<io::UnixListener>& listener : unix_listeners_) {
    ASSIGN_OR_RETURN(const int descriptor, listener->Duplicate());
    RETURN_IF_ERROR(shard->ListenShared(descriptor));
  }
  return shard->index() == 0 && config_.admin.has_value() ? ListenAdmin(shard) : absl::OkStatus();
}

// By the first shard that comes here, which by then knows its engine.
absl::Status Process::OpenUnixListeners() {
  if (!unix_listeners_.empty()) {
    return absl::OkStatus();
  }
  const int flags = common_->use_uring ? 0 : SOCK_NONBLOCK;
  for (const config::Endpoint& endpoint : config_.listen) {
    if (endpoint.IsUnixSocket()) {
      ASSIGN_OR_RETURN(
          std::unique_ptr<io::UnixListener> listener,
          io::UnixListener::Open(endpoint.SocketPath(), config_.unix_socket_mode, flags));
      unix_listeners_.push_back(std::move(listener));
    }
  }
  return absl::OkStatus();
}

std::string Process::Listening() const {
  std::string text;
  for (const io::Address& address : bound_) {
    text += (text.empty() ? "" : " ") + address.ToString();
  }
  for (const std::unique_ptr<io::UnixListener>& listener : unix_listeners_) {
    text += (text.empty() ? "unix:" : " unix:") + listener->path();
  }
  return text;
}

absl::Status Process::ListenAdmin(Shard* shard) {
  ASSIGN_OR_RETURN(const io::Address address,
                   io::Address::Numeric(config_.admin->host, config_.admin->port));
  const absl::StatusOr<io::Address> bound = shard->ListenAdmin(address, &report_, &report_);
  if (!bound.ok()) {
    return base::Error(bound.status().code(),
                       "--admin: " + std::string(base::Message(bound.status())));
  }
  base::Log(base::LogLevel::kInfo, "admin.listening", {{"address", bound->ToString()}});
  return absl::OkStatus();
}

void Process::RunShard(uint32_t index) {
  Slot& slot = slots_[index];
  pthread_setname_np(pthread_self(), ("shard " + std::to_string(index)).c_str());
  std::unique_ptr<Shard> shard;
  absl::StatusOr<std::unique_ptr<io::Engine>> engine = MakeEngineLikeOthers(&slot);
  slot.status = engine.status();
  if (engine.ok()) {
    shard = std::make_unique<Shard>(common_, index, *std::move(engine),
                                    std::move(epochs_of_shards_[index]));
    common_->shards[index] = shard.get();
  }
  made_.Attend();
  if (shard != nullptr && !failed_) {
    slot.status = ListenInTurn(shard.get());
  }
  listening_.count_down();
  if (shard != nullptr && !failed_) {
    shard->Run();
  }
  ended_.arrive_and_wait();  // nobody posts to a shard that is gone
}

void Process::Drain(absl::Duration within) {
  unix_listeners_.clear();  // the files go at once, the sockets with the shards' duplicates
  for (Shard* shard : common_->shards) {
    shard->PostDrain(within);
  }
}

bool Process::AwaitEnd(const sigset_t& signals) const {
  while (!ended_.try_wait()) {
    const int signal = NextSignal(signals, absl::Milliseconds(20));
    if (signal == SIGTERM || signal == SIGINT) {
      return false;
    }
  }
  return true;
}

void Process::Join() {
  for (Slot& slot : slots_) {
    if (slot.thread.joinable()) {
      slot.thread.join();
    }
  }
}

// All of it or nothing: whatever is wrong is found before the first shard hears of it.
absl::StatusOr<backend::Setup> LoadAgain(const config::Config& now,
                                         const config::Reloader& reloader,
                                         io::Resolver* resolver, std::string_view process_secret) {
  ASSIGN_OR_RETURN(config::Config config, reloader.Load());
  RETURN_IF_ERROR(config::CheckFixed(now, config));
  absl::StatusOr<backend::Setup> setup =
      backend::MakeSetup(std::move(config), resolver, process_secret);
  return setup;
}

void Reload(const config::Reloader& reloader, io::Resolver* resolver, Common* common,
            Process* process) {
  absl::StatusOr<backend::Setup> setup =
      LoadAgain(process->config(), reloader, resolver, common->auth_secret);
  if (!setup.ok()) {
    common->reload_failures.Add();
    base::Log(base::LogLevel::kError, "server.reload_failed",
              {{"why", base::Message(setup.status())},
               {"in_force", process->epoch()},
               {"what", "nothing was changed"}});
    return;
  }
  WarnOfTls(*setup);
  process->Follow(*std::move(setup));
  base::SetLogLevel(process->config().log_level);
  common->reloads.Add();
  base::Log(base::LogLevel::kInfo, "server.reloaded",
            {{"epoch", process->epoch()}, {"config", config::Describe(process->config())}});
}

// Until SIGTERM or SIGINT, which it returns. SIGHUPs that come while one is obeyed are one.
int ObeySignals(const sigset_t& signals, const config::Reloader& reloader, io::Resolver* resolver,
                Common* common, Process* process, Watchdog* watchdog) {
  for (;;) {
    watchdog->SetTimeout(process->config().limits.watchdog_timeout);
    const bool watches = watchdog->pause() > absl::ZeroDuration();
    const int signal = NextSignal(signals, watches ? watchdog->pause() : absl::Hours(1));
    if (signal == SIGTERM || signal == SIGINT) {
      return signal;
    }
    if (signal == SIGHUP) {
      Reload(reloader, resolver, common, process);
    }
    if (watches && watchdog->Look(base::Instant::MonotonicNow()) &&
        process->config().watchdog_action == config::WatchdogAction::kAbort) {
      base::FlushLog();
      std::abort();
    }
  }
}

}  // namespace

absl::Status Run(const config::Config& config, const config::Reloader& reloader) {
  const sigset_t signals = BlockSignals();
  RaiseDescriptorLimit();
  if (!config.core_dumps) {
    ForbidCoreDumps();
  }
  GiveBackLargeBlocks();
  Common common;
  common.config = &config;
  RETURN_IF_ERROR(ChooseEngine(config, &common));
  io::Resolver resolver;
  common.auth_secret = base::SecureRandom(32);
  ASSIGN_OR_RETURN(backend::Setup setup,
                   backend::MakeSetup(config, &resolver, common.auth_secret));
  WarnOfTls(setup);
  backend::CancelRegistry cancels;
  common.cancels = &cancels;
  if (!config.capture.empty()) {
    RETURN_IF_ERROR(mirror::MakeCaptureFolder(config.capture));
  }
  mirror::Shared mirrors(config);
  common.mirrors = &mirrors;
  ASSIGN_OR_RETURN(const std::unique_ptr<mirror::GapStore> gaps, OpenMirrorFiles(config, &mirrors));
  backend::SharedPools pools({.total = config.limits.total_connections_max,
                              .per_server = config.limits.server_connections_max});
  common.pools = &pools;
  Watchdog watchdog(&common.stalled_shards);
  const uint32_t count = config::ShardCount(config.shards, config::UsableCpus());
  Process process(config, std::move(setup), &common, count);
  RETURN_IF_ERROR(process.Start());
  common.readiness.Store(admin::Readiness::kServing);
  base::Log(base::LogLevel::kInfo, "server.started",
            {{"version", PGBRAID_VERSION},
             {"listen", process.Listening()},
             {"shards", count},
             {"io", common.shards.front()->engine_name()},
             {"config", config::Describe(config)}});
  for (Shard* shard : common.shards) {
    watchdog.Watch(shard->loop());
  }
  const int signal = ObeySignals(signals, reloader, &resolver, &common, &process, &watchdog);
  common.readiness.Store(admin::Readiness::kDraining);
  base::Log(base::LogLevel::kInfo, "server.draining", {{"signal", signal}});
  process.Drain(process.config().limits.drain_timeout);
  if (!process.AwaitEnd(signals)) {
    StopAtOnce();
  }
  process.Join();
  if (gaps != nullptr) {
    gaps->Close();
  }
  base::Log(base::LogLevel::kInfo, "server.stopped");
  return absl::OkStatus();
}

}  // namespace server
