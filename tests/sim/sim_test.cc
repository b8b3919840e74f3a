// Whole shards on the simulated network, with faults drawn from a seed.
//
// In each run 1 to 3 shards stand between up to 8 clients (SimClient) and a server (SimPostgres);
// bytes come in pieces of any length, late or never, and connections break, on every side. In the
// end: every answer carried the nonce that was asked for, nobody is stuck, every session and every
// socket is gone, every ledger was kept (no mismatch), and all receive memory is back (checked by
// the engines as they die).
//
//   sim_test                 200 seeds; 2,000 with PGBRAID_FULL=1
//   sim_test --seeds N       seeds 1 to N
//   sim_test --seed N        one seed, with its story
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "io/sim_engine.h"
#include "mirror/shared.h"
#include "server/shard.h"
#include "sim/sim_client.h"
#include "sim/sim_postgres.h"

namespace sim {
namespace {

constexpr uint64_t kStepsMax = 3'000'000;
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
};

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
  void MakeShards();
  void MakePeers();
  std::string RunToTheEnd();
  std::string Inspect() const;

  base::Prng prng_;
  io::SimNetwork network_;
  const base::Limits peer_limits_;
  config::Config config_;
  backend::CancelRegistry cancels_;
  std::unique_ptr<mirror::Shared> mirrors_;
  server::Common common_;
  server::ConfigEpochs epochs_;
  std::vector<std::unique_ptr<server::Shard>> shards_;
  std::unique_ptr<Actor> server_actor_;
  std::unique_ptr<Actor> client_actor_;
  std::unique_ptr<SimPostgres> postgres_;
  std::vector<std::unique_ptr<SimClient>> clients_;
  std::unique_ptr<io::Scope> lives_;
};

Simulation::Simulation(uint64_t seed, io::Resolver* resolver)
    : prng_(seed), network_(prng_.Next(), Rates(&prng_)) {
  config_.primary.name = "primary";
  config_.primary.host = "10.0.0.1";
  config_.primary.connect_timeout = absl::Seconds(15);
  if (prng_.OneIn(2)) {
    config_.limits.queue_high = 4096;  // back-pressure at every turn
    config_.limits.queue_low = 1024;
    config_.limits.frame_held_max = 1024;
  }
  common_.config = &config_;
  common_.resolver = resolver;
  common_.cancels = &cancels_;
  mirrors_ = std::make_unique<mirror::Shared>(config_);
  common_.mirrors = mirrors_.get();
  MakeShards();
  MakePeers();
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

void Simulation::MakeShards() {
  const io::Address address = *io::Address::Numeric("10.0.0.2", 5432);
  const int count = 1 + static_cast<int>(prng_.Below(3));
  epochs_.Publish(config_, count, [this](int index, server::ConfigEpochs::Hold hold) {
    auto engine = std::make_unique<io::SimEngine>(&network_);
    io::SimEngine* const driven = engine.get();
    shards_.push_back(std::make_unique<server::Shard>(&common_, static_cast<uint32_t>(index),
                                                      std::move(engine), std::move(hold)));
    driven->Drive(shards_.back()->loop());
    common_.shards.push_back(shards_.back().get());
  });
  for (const auto& shard : shards_) {
    std::vector<io::Address> bound;
    static_cast<void>(shard->Listen({address}, &bound));
  }
}

void Simulation::MakePeers() {
  server_actor_ = std::make_unique<Actor>(&network_, &peer_limits_);
  client_actor_ = std::make_unique<Actor>(&network_, &peer_limits_);
  postgres_ = std::make_unique<SimPostgres>(&server_actor_->loop, &prng_,
                                            prng_.OneIn(3) ? 0 : 100 + prng_.Below(2000));
  static_cast<void>(server_actor_->engine.Listen(*io::Address::Numeric("10.0.0.1", 5432),
                                                 postgres_.get()));
  lives_ = std::make_unique<io::Scope>(&client_actor_->loop);
  const uint64_t count = 1 + prng_.Below(8);
  for (uint32_t i = 0; i < count; ++i) {
    clients_.push_back(std::make_unique<SimClient>(&client_actor_->loop, &prng_, i,
                                                   *io::Address::Numeric("10.0.0.2", 5432)));
    lives_->Spawn(clients_.back()->Live(1 + static_cast<int>(prng_.Below(6))));
  }
}

std::string Simulation::RunToTheEnd() {
  if (!network_.Run([this] { return lives_->running() == 0; }, kStepsMax)) {
    return "the clients are stuck";
  }
  for (const auto& shard : shards_) {
    shard->PostDrain(absl::Seconds(5));
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
  if (!network_.Run([this] { return postgres_->serving() == 0; }, kStepsMax)) {
    return "a server connection was never closed";
  }
  return "";
}

std::string Simulation::Inspect() const {
  for (const auto& client : clients_) {
    if (!client->fault().empty()) {
      return client->fault();
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
  for (const auto& shard : shards_) {
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
  return "";
}

std::string Simulation::Run() {
  // What is stuck cannot be taken apart: its coroutines still wait.
  const std::string stuck = RunToTheEnd();
  const std::string fault = Inspect();
  if (!stuck.empty()) {
    std::printf("\nFAILED: %s; %s\nat %.6f s, %zu ends live\n", stuck.c_str(), fault.c_str(),
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
}

int Main(int argc, char** argv) {
  uint64_t first = 1;
  uint64_t last = std::getenv("PGBRAID_FULL") != nullptr ? 2000 : 200;
  if (argc == 3 && std::strcmp(argv[1], "--seed") == 0) {
    first = last = std::strtoull(argv[2], nullptr, 10);
  } else if (argc == 3 && std::strcmp(argv[1], "--seeds") == 0) {
    last = std::strtoull(argv[2], nullptr, 10);
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: %s [--seed N | --seeds N]\n", argv[0]);
    return 2;
  }
  io::Resolver resolver;
  Totals totals;
  for (uint64_t seed = first; seed <= last; ++seed) {
    std::printf("repeat with: %s --seed %" PRIu64 "\r", argv[0], seed);
    std::fflush(stdout);
    Simulation simulation(seed, &resolver);
    const std::string fault = simulation.Run();
    simulation.AddTo(&totals);
    if (!fault.empty()) {
      std::printf("\nFAILED: %s\nrepeat with: %s --seed %" PRIu64 "\n", fault.c_str(), argv[0],
                  seed);
      return 1;
    }
  }
  std::printf("\n%" PRIu64 " seeds\n", last - first + 1);
  Print(totals);
  // A simulation in which nothing happens proves nothing.
  bool happened = totals.answered > 0 && totals.cancels > 0 && totals.deaths > 0;
  for (const uint64_t fired : totals.faults) {
    happened = happened && fired > 0;
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
