// Whole shards on the simulated network, with faults drawn from a seed.
//
// In each run 1 to 3 shards stand between up to 8 clients (SimClient), a server (SimPostgres) and
// up to 2 mirrors, which also stall, refuse, die, turn away or never answer; bytes come in pieces
// of any length, late or never, and connections break, on every side. In the end: every answer
// carried the nonce that was asked for, nobody is stuck or has waited for a mirror, every session
// and every socket is gone, every ledger was kept (no mismatch), all receive memory is back
// (checked by the engines as they die), and each mirror has what it may have (mirror_check.h).
//
//   sim_test                 2,000 seeds; under a sanitizer 200, unless PGBRAID_FULL=1
//   sim_test --seeds N       seeds 1 to N
//   sim_test --seed N        one seed, with its story
#include <unistd.h>

#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "backend/epoch.h"
#include "base/check.h"
#include "io/sim_engine.h"
#include "mirror/shared.h"
#include "server/shard.h"
#include "sim/mirror_check.h"
#include "sim/sim_client.h"
#include "sim/sim_postgres.h"

// Of a sanitizer's runtime, if there is one.
extern "C" void __sanitizer_set_death_callback(void (*callback)()) __attribute__((weak));

namespace sim {
namespace {

// How to repeat the seed that runs: said by whatever fails, also by what fails in pgbraid itself.
char repeat_line[256];

void TellSeed() {
  static_cast<void>(!write(STDERR_FILENO, repeat_line, std::strlen(repeat_line)));
}

void TellSeedOfCrash() {
  struct sigaction once{};
  once.sa_handler = [](int) { TellSeed(); };
  once.sa_flags = static_cast<int>(SA_RESETHAND);  // then it dies of it
  sigaction(SIGABRT, &once, nullptr);
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(&TellSeed);
  } else {
    sigaction(SIGSEGV, &once, nullptr);
  }
}

constexpr uint64_t kStepsMax = 3'000'000;
// A turn takes less where only mirrors stall, which they do for longer.
constexpr absl::Duration kSlowest = absl::Seconds(4);
constexpr const char* kFaultNames[io::kSimFaults] = {
    "short sends", "stalls", "resets", "refused dials", "unanswered dials", "failed accepts"};

struct Totals {
  uint64_t answered = 0;
  uint64_t lost = 0;
  uint64_t deaths = 0;
  uint64_t cancels = 0;
  uint64_t handed_off = 0;
  uint64_t copied_out = 0;
  uint64_t faults[io::kSimFaults] = {};
  uint64_t mirrors = 0;
  uint64_t complete = 0;  // mirrors that have all
  MirrorCounts mirrored;
};

void Add(const MirrorCounts& counts, MirrorCounts* to) {
  to->offered += counts.offered;
  to->delivered += counts.delivered;
  to->refused += counts.refused;
  to->found_applied += counts.found_applied;
  to->reordered += counts.reordered;
  to->retries += counts.retries;
  to->reconnects += counts.reconnects;
  for (size_t i = 0; i < mirror::kCauses; ++i) {
    to->dropped[i] += counts.dropped[i];
  }
}

// A loop of the peers' own.
struct Actor {
  explicit Actor(io::SimNetwork* network, const base::Limits* limits)
      : engine(network), loop(&engine, limits, 1) {
    engine.Drive(&loop);
  }
  io::SimEngine engine;
  io::Loop loop;
};

class Simulation {
 public:
  Simulation(uint64_t seed, io::Resolver* resolver);
  // What is wrong; empty if nothing is.
  std::string Run();
  void AddTo(Totals* totals) const;

 private:
  static io::SimFaultRates Rates(base::Prng* prng);
  void MakeMirrors();
  void MakeService();
  ServerFaults MirrorFaults();
  void MakeServers();
  void MakeShards();
  void MakeClients();
  backend::Setup MakeSetup();
  void Reload();
  std::string RunToTheEnd();
  std::string Drain();
  std::string Inspect() const;
  std::string InspectMirrors() const;
  MirrorCounts CountsOf(size_t mirror) const;
  bool CountersAgree() const;

  base::Prng prng_;
  const bool calm_;  // neither network nor servers have faults
  io::Resolver* const resolver_;
  io::SimNetwork network_;
  const base::Limits peer_limits_;
  config::Config config_;
  backend::CancelRegistry cancels_;
  std::unique_ptr<mirror::Shared> mirrors_;
  backend::SharedPools pools_{backend::SharedPools::Bounds{}};
  server::Common common_;
  backend::Epochs epochs_;
  std::vector<std::unique_ptr<server::Shard>> shards_;
  std::unique_ptr<Actor> server_actor_;
  std::unique_ptr<Actor> client_actor_;
  std::unique_ptr<SimPostgres> postgres_;
  bool refuses_ = false;  // true exactly when it turns some logins away
  std::vector<std::unique_ptr<SimPostgres>> mirror_servers_;
  Timeline timeline_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::unique_ptr<io::Scope> lives_;
};

Simulation::Simulation(uint64_t seed, io::Resolver* resolver)
    : prng_(seed),
      calm_(prng_.OneIn(6)),
      resolver_(resolver),
      network_(prng_.Next(), calm_ ? io::SimFaultRates() : Rates(&prng_)) {
  config_.primary.name = "primary";
  config_.primary.host = "10.0.0.1";
  config_.primary.connect_timeout = absl::Seconds(15);
  config_.primary.sslmode = config::SslMode::kDisable;
  if (prng_.OneIn(2)) {
    config_.limits.queue_high = 4096;  // back-pressure at every turn
    config_.limits.queue_low = 1024;
    config_.limits.frame_held_max = 1024;
  }
  MakeMirrors();
  MakeService();
  common_.config = &config_;
  common_.seed = prng_.Next();
  common_.worker = io::Worker::Kind::kInline;
  common_.cancels = &cancels_;
  mirrors_ = std::make_unique<mirror::Shared>(config_);
  common_.mirrors = mirrors_.get();
  common_.pools = &pools_;
  MakeServers();
  MakeShards();
  MakeClients();
}

io::SimFaultRates Simulation::Rates(base::Prng* prng) {
  const auto rate = [prng](uint64_t rarest) {
    return prng->OneIn(3) ? 0 : rarest / (1 + prng->Below(20));
  };
  io::SimFaultRates rates;
  rates.short_send = rate(60);
  rates.stall = rate(1000);
  rates.reset = rate(4000);
  rates.refused_dial = rate(60);
  rates.unanswered_dial = rate(60);
  rates.failed_accept = rate(60);
  return rates;
}

// Limits are small: a run is a few minutes and a few hundred transactions long.
void Simulation::MakeMirrors() {
  const uint64_t count = prng_.Below(3);
  for (uint64_t i = 0; i < count; ++i) {
    config::Server& mirror = config_.mirrors.emplace_back();
    mirror.name = "mirror" + std::to_string(i + 1);
    mirror.host = "10.0.0." + std::to_string(3 + i);
    mirror.user = "m" + std::to_string(i);
    mirror.sslmode = config::SslMode::kDisable;
  }
  config_.mirror_order =
      prng_.OneIn(4) ? config::MirrorOrder::kSession : config::MirrorOrder::kCausal;
  config_.mirror_marker = !prng_.OneIn(4);
  base::Limits& limits = config_.limits;
  limits.mirror_retries = static_cast<uint32_t>(prng_.Below(4));
  limits.mirror_timeout = absl::Seconds(2 + static_cast<int64_t>(prng_.Below(120)));
  limits.mirror_connections_max = 1 + static_cast<uint32_t>(prng_.Below(8));
  if (prng_.OneIn(4)) {
    limits.mirror_bytes_max = 2000 + static_cast<int64_t>(prng_.Below(100'000));
    limits.mirror_transaction_max = limits.mirror_bytes_max / 2;
  }
}

void Simulation::MakeService() {
  config::Service service;
  service.name = "*";
  service.primary = config_.primary;
  service.mirrored = true;
  config_.services.push_back(service);
}

ServerFaults Simulation::MirrorFaults() {
  const auto rate = [this](uint64_t rarest) {
    return prng_.OneIn(2) ? 0 : rarest / (1 + prng_.Below(20));
  };
  ServerFaults faults;
  if (calm_) {
    return faults;
  }
  faults.death = rate(400);
  faults.stall = rate(200);
  faults.refusal = rate(100);
  faults.turn_away = rate(20);
  faults.deaf = prng_.OneIn(12);
  faults.no_marker = prng_.OneIn(4);
  return faults;
}

void Simulation::MakeShards() {
  const io::Address address = *io::Address::Numeric("10.0.0.2", 5432);
  const int count = 1 + static_cast<int>(prng_.Below(3));
  epochs_.Publish(MakeSetup(), count, [this](int index, backend::Epoch epoch) {
    auto engine = std::make_unique<io::SimEngine>(&network_);
    io::SimEngine* const driven = engine.get();
    shards_.push_back(std::make_unique<server::Shard>(&common_, static_cast<uint32_t>(index),
                                                      std::move(engine), std::move(epoch)));
    driven->Drive(shards_.back()->loop());
    common_.shards.push_back(shards_.back().get());
  });
  for (const auto& shard : shards_) {
    std::vector<io::Address> bound;
    static_cast<void>(shard->Listen({address}, &bound));
  }
}

// Before the shards: these log in to mirrors as they start.
void Simulation::MakeServers() {
  server_actor_ = std::make_unique<Actor>(&network_, &peer_limits_);
  ServerFaults faults;
  faults.death = calm_ || prng_.OneIn(3) ? 0 : 100 + prng_.Below(2000);
  faults.refusal = prng_.OneIn(2) ? 0 : 4 + prng_.Below(40);
  postgres_ = std::make_unique<SimPostgres>(&server_actor_->loop, &prng_, faults);
  static_cast<void>(server_actor_->engine.Listen(*io::Address::Numeric("10.0.0.1", 5432),
                                                 postgres_.get()));
  for (const config::Server& mirror : config_.mirrors) {
    mirror_servers_.push_back(
        std::make_unique<SimPostgres>(&server_actor_->loop, &prng_, MirrorFaults()));
    static_cast<void>(server_actor_->engine.Listen(*io::Address::Numeric(mirror.host, mirror.port),
                                                   mirror_servers_.back().get()));
  }
  refuses_ = faults.refusal != 0;
}

void Simulation::MakeClients() {
  client_actor_ = std::make_unique<Actor>(&network_, &peer_limits_);
  lives_ = std::make_unique<io::Scope>(&client_actor_->loop);
  const uint64_t count = 1 + prng_.Below(8);
  for (uint32_t i = 0; i < count; ++i) {
    clients_.push_back(std::make_unique<SimClient>(&client_actor_->loop, &prng_, &timeline_, i,
                                                   *io::Address::Numeric("10.0.0.2", 5432),
                                                   refuses_));
    lives_->Spawn(clients_.back()->Live(1 + static_cast<int>(prng_.Below(6))));
  }
}

backend::Setup Simulation::MakeSetup() {
  absl::StatusOr<backend::Setup> setup = backend::MakeSetup(config_, resolver_, "process secret");
  CHECK(setup.ok());
  return *std::move(setup);
}

// To all shards, as the main thread does it.
void Simulation::Reload() {
  config_.limits.close_timeout = absl::Seconds(1 + static_cast<int64_t>(prng_.Below(10)));
  config_.limits.login_timeout = absl::Seconds(30 + static_cast<int64_t>(prng_.Below(60)));
  epochs_.Publish(MakeSetup(), static_cast<int>(shards_.size()),
                  [this](int index, backend::Epoch epoch) {
                    shards_[static_cast<size_t>(index)]->PostEpoch(std::move(epoch));
                  });
}

std::string Simulation::RunToTheEnd() {
  bool agree = true;
  uint64_t turn = 0;
  const uint64_t reload_every = prng_.OneIn(2) ? UINT64_MAX : uint64_t{16} << prng_.Below(10);
  const auto gone = [&] {
    if (turn % reload_every == reload_every - 1) {
      Reload();
    }
    agree = agree && (++turn % 256 != 0 || CountersAgree());
    return lives_->running() == 0 || !agree;
  };
  if (!network_.Run(gone, kStepsMax)) {
    return "the clients are stuck";
  }
  return agree ? Drain() : "a mirror's counters do not agree";
}

// With no time for the mirrors, some, or all they need.
std::string Simulation::Drain() {
  constexpr int64_t kSeconds[] = {0, 5, 100'000, 100'000};
  const size_t choice = calm_ ? std::size(kSeconds) - 1 : prng_.Below(std::size(kSeconds));
  const absl::Duration within = absl::Seconds(kSeconds[choice]);
  for (const auto& shard : shards_) {
    shard->PostDrain(within);
  }
  const auto stopped = [this] {
    for (const auto& shard : shards_) {
      if (!shard->loop()->stopped()) {
        return false;
      }
    }
    return true;
  };
  if (!network_.Run(stopped, kStepsMax)) {
    return "the drain is stuck";
  }
  const auto closed = [this] {
    bool serving = postgres_->serving() != 0;
    for (const auto& mirror : mirror_servers_) {
      serving = serving || mirror->serving() != 0;
    }
    return !serving;
  };
  if (!network_.Run(closed, kStepsMax)) {
    return "a server connection was never closed";
  }
  return "";
}

MirrorCounts Simulation::CountsOf(size_t mirror) const {
  MirrorCounts counts;
  for (const auto& shard : shards_) {
    const mirror::MirrorMetrics& metrics = shard->mirrors().metrics(mirror);
    counts.offered += metrics.offered.value();
    counts.delivered += metrics.delivered.value();
    counts.refused += metrics.refused.value();
    counts.found_applied += metrics.found_applied.value();
    counts.reordered += metrics.reordered.value();
    counts.retries += metrics.retries.value();
    counts.reconnects += metrics.reconnects.value();
    counts.queued += metrics.queued_units.value();
    for (size_t i = 0; i < mirror::kCauses; ++i) {
      counts.dropped[i] += metrics.dropped[i].value();
    }
  }
  return counts;
}

bool Simulation::CountersAgree() const {
  for (size_t i = 0; i < mirror_servers_.size(); ++i) {
    if (!CountsOf(i).Agree()) {
      return false;
    }
  }
  return true;
}

std::string Simulation::InspectMirrors() const {
  for (size_t i = 0; i < mirror_servers_.size(); ++i) {
    const std::string wrong =
        CheckMirror(*postgres_, *mirror_servers_[i], timeline_, CountsOf(i), calm_,
                    config_.mirror_order == config::MirrorOrder::kCausal);
    if (!wrong.empty()) {
      return config_.mirrors[i].name + ": " + wrong;
    }
  }
  return "";
}

std::string Simulation::Inspect() const {
  for (const auto& client : clients_) {
    if (!client->fault().empty()) {
      return client->fault();
    }
    if (network_.fired(io::SimFault::kStall) == 0 && client->slowest() > kSlowest) {
      return "a client waited " + absl::FormatDuration(client->slowest());
    }
  }
  if (postgres_->wrong_cancels() > 0) {
    return "a cancel reached the server with a key that it never gave out";
  }
  if (common_.clients.load() != 0) {
    return "sessions are left: " + std::to_string(common_.clients.load());
  }
  if (cancels_.size() != 0) {
    return "cancel keys are left: " + std::to_string(cancels_.size());
  }
  if (epochs_.alive() != 1) {
    return "somebody still holds an old configuration";
  }
  for (const auto& shard : shards_) {
    if (shard->shard_metrics().config_epoch.value() != static_cast<int64_t>(epochs_.last())) {
      return "a shard missed a reload";
    }
    if (shard->backend_metrics().mismatches.value() != 0) {
      return "a ledger did not agree with its server";
    }
    if (shard->session_metrics().protocol_violations.value() != 0) {
      return "a client was accused of a protocol violation";
    }
    if (shard->loop()->metrics().streams.value() != 0) {
      return "streams are left: " + std::to_string(shard->loop()->metrics().streams.value());
    }
  }
  return InspectMirrors();
}

std::string Simulation::Run() {
  // What is stuck cannot be taken apart: its coroutines still wait.
  const std::string stuck = RunToTheEnd();
  const std::string fault = Inspect();
  if (!stuck.empty()) {
    std::printf("FAILED: %s; %s\nat %.6f s, %zu ends live\n", stuck.c_str(), fault.c_str(),
                static_cast<double>(network_.now().nanoseconds()) / 1e9, network_.live_ends());
    for (const auto& shard : shards_) {
      std::printf("shard %u: load %u, streams %" PRId64 ", rounds %" PRIu64 ", server lost %" PRIu64
                  ", timers %u, next %.6f s\n",
                  shard->index(), shard->load(), shard->loop()->metrics().streams.value(),
                  shard->engine_metrics().rounds.value(),
                  shard->session_metrics().server_lost.value(), shard->loop()->timers().armed(),
                  static_cast<double>(shard->loop()->timers().Next().nanoseconds()) / 1e9);
    }
    std::fflush(stdout);
    TellSeed();
    std::_Exit(1);
  }
  return fault;
}

void Simulation::AddTo(Totals* totals) const {
  for (const auto& client : clients_) {
    totals->answered += client->answered();
    totals->lost += client->lost();
  }
  totals->deaths += postgres_->deaths();
  totals->cancels += postgres_->cancels();
  for (const auto& shard : shards_) {
    totals->handed_off += shard->shard_metrics().handed_off.value();
    totals->copied_out += shard->engine_metrics().copied_out_bytes.value();
  }
  for (size_t i = 0; i < io::kSimFaults; ++i) {
    totals->faults[i] += network_.fired(static_cast<io::SimFault>(i));
  }
  for (size_t i = 0; i < mirror_servers_.size(); ++i) {
    Add(CountsOf(i), &totals->mirrored);
    ++totals->mirrors;
    totals->complete += mirror_servers_[i]->commits().size() == postgres_->commits().size();
  }
}

void Print(const Totals& totals) {
  std::printf("answered turns %" PRIu64 ", conversations cut short %" PRIu64
              ", server deaths %" PRIu64 ", cancels %" PRIu64 ", handed off %" PRIu64
              ", bytes copied out %" PRIu64 "\nfaults:",
              totals.answered, totals.lost, totals.deaths, totals.cancels, totals.handed_off,
              totals.copied_out);
  for (size_t i = 0; i < io::kSimFaults; ++i) {
    std::printf(" %s %" PRIu64 "%s", kFaultNames[i], totals.faults[i],
                i + 1 < io::kSimFaults ? "," : "\n");
  }
  const MirrorCounts& mirrored = totals.mirrored;
  std::printf("mirrors %" PRIu64 ", complete %" PRIu64 "; transactions offered %" PRIu64
              ", delivered %" PRIu64 ", refused %" PRIu64 ", found applied %" PRIu64
              ", reordered %" PRIu64 ", retries %" PRIu64 ", reconnects %" PRIu64 ", dropped:",
              totals.mirrors, totals.complete, mirrored.offered, mirrored.delivered,
              mirrored.refused, mirrored.found_applied, mirrored.reordered, mirrored.retries,
              mirrored.reconnects);
  for (size_t i = 1; i < mirror::kCauses; ++i) {
    const std::string name(mirror::Name(static_cast<mirror::Cause>(i)));
    std::printf(" %s %" PRIu64 "%s", name.c_str(), mirrored.dropped[i],
                i + 1 < mirror::kCauses ? "," : "\n");
  }
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;  // ten times as slow
#else
constexpr bool kSanitized = false;
#endif

int Main(int argc, char** argv) {
  uint64_t first = 1;
  uint64_t last = kSanitized && std::getenv("PGBRAID_FULL") == nullptr ? 200 : 2000;
  if (argc == 3 && std::strcmp(argv[1], "--seed") == 0) {
    first = last = std::strtoull(argv[2], nullptr, 10);
  } else if (argc == 3 && std::strcmp(argv[1], "--seeds") == 0) {
    last = std::strtoull(argv[2], nullptr, 10);
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: %s [--seed N | --seeds N]\n", argv[0]);
    return 2;
  }
  TellSeedOfCrash();
  io::Resolver resolver;
  Totals totals;
  for (uint64_t seed = first; seed <= last; ++seed) {
    std::snprintf(repeat_line, sizeof repeat_line, "repeat with: %s --seed %" PRIu64 "\n", argv[0],
                  seed);
    Simulation simulation(seed, &resolver);
    const std::string fault = simulation.Run();
    simulation.AddTo(&totals);
    if (!fault.empty()) {
      std::printf("FAILED: %s\n", fault.c_str());
      TellSeed();
      return 1;
    }
  }
  std::printf("%" PRIu64 " seeds\n", last - first + 1);
  Print(totals);
  // A simulation in which nothing happens proves nothing.
  bool happened = totals.answered > 0 && totals.cancels > 0 && totals.deaths > 0;
  for (const uint64_t fired : totals.faults) {
    happened = happened && fired > 0;
  }
  const MirrorCounts& mirrored = totals.mirrored;
  happened = happened && totals.complete > 0 && totals.complete < totals.mirrors &&
             mirrored.delivered > 0 && mirrored.refused > 0 && mirrored.retries > 0 &&
             mirrored.reconnects > 0 && mirrored.found_applied > 0 && mirrored.reordered > 0;
  for (const mirror::Cause cause :
       {mirror::Cause::kOverBudget, mirror::Cause::kTooLarge, mirror::Cause::kOutcomeUnknown,
        mirror::Cause::kTimeout, mirror::Cause::kShutdown, mirror::Cause::kRetries}) {
    happened = happened && mirrored.dropped[static_cast<size_t>(cause)] > 0;
  }
  if (last - first >= 100 && !happened) {
    std::printf("FAILED: some kind of fault never happened\n");
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace sim

int main(int argc, char** argv) { return sim::Main(argc, argv); }
