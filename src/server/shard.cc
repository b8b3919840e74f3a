#include "server/shard.h"

#include <algorithm>
#include <utility>

#include "base/crypto.h"
#include "base/log.h"
#include "base/status.h"
#include "pg/builders.h"

namespace server {
namespace {

// A fresh socket moves when another shard has this many sessions less: a few long connections
// must not pile up on one shard, but a move costs a wake-up.
constexpr uint32_t kClearlyLess = 2;

uint64_t Seed(const Common& common, uint32_t shard) {
  if (common.seed != 0) {
    return common.seed + shard;
  }
  const std::string random = base::SecureRandom(sizeof(uint64_t));
  uint64_t seed;
  __builtin_memcpy(&seed, random.data(), sizeof seed);
  return seed;
}

mirror::MirrorsTools ToolsFor(const Common& common, const backend::Epoch& epoch, io::Loop* loop,
                              backend::Deriver* deriver) {
  mirror::MirrorsTools tools;
  tools.loop = loop;
  tools.epoch = epoch;
  tools.shared = common.mirrors;
  tools.deriver = deriver;
  tools.worker = common.worker;
  return tools;
}

}  // namespace

class Shard::DrainMessage final : public io::Message {
 public:
  DrainMessage(Shard* shard, absl::Duration within) : shard_(shard), within_(within) {}
  void Deliver() override { shard_->serving_.Spawn(shard_->Drain(within_)); }

 private:
  Shard* const shard_;
  const absl::Duration within_;
};

class Shard::EpochMessage final : public io::Message {
 public:
  EpochMessage(Shard* shard, backend::Epoch epoch) : shard_(shard), epoch_(std::move(epoch)) {}
  void Deliver() override { shard_->Follow(std::move(epoch_)); }

 private:
  Shard* const shard_;
  backend::Epoch epoch_;
};

class Shard::SocketMessage final : public io::Message {
 public:
  SocketMessage(Shard* shard, int descriptor) : shard_(shard), descriptor_(descriptor) {}
  void Deliver() override { shard_->Serve(descriptor_); }

 private:
  Shard* const shard_;
  const int descriptor_;
};

class Shard::CancelMessage final : public io::Message {
 public:
  CancelMessage(Shard* shard, uint64_t session, const backend::CancelAsker& asker)
      : shard_(shard), session_(session), asker_(asker) {}
  void Deliver() override {
    const auto found = shard_->sessions_.find(session_);
    if (found != shard_->sessions_.end()) {
      found->second->OnCancel(asker_);
    } else {
      asker_.Tell();
    }
  }

 private:
  Shard* const shard_;
  const uint64_t session_;
  const backend::CancelAsker asker_;
};

// The answer to one, for the session that brought it.
class Shard::CancelDoneMessage final : public io::Message {
 public:
  CancelDoneMessage(Shard* shard, uint64_t session) : shard_(shard), session_(session) {}
  void Deliver() override {
    const auto found = shard_->sessions_.find(session_);
    if (found != shard_->sessions_.end()) {
      found->second->OnCancelDone();
    }
  }

 private:
  Shard* const shard_;
  const uint64_t session_;
};

void Shard::PostCancel(uint64_t session, const backend::CancelAsker& asker) {
  loop_.Post(std::make_unique<CancelMessage>(this, session, asker));
}

void Shard::PostCancelDone(uint64_t session) {
  loop_.Post(std::make_unique<CancelDoneMessage>(this, session));
}

void ShardMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_server_handed_off", "Fresh sockets given to a less loaded shard.", labels,
            handed_off);
}

Shard::Shard(Common* common, uint32_t index, std::unique_ptr<io::Engine> engine,
             backend::Epoch epoch)
    : common_(common),
      index_(index),
      epoch_(std::move(epoch)),
      engine_(std::move(engine)),
      loop_(engine_.get(), &epoch_->config.limits, Seed(*common, index)),
      worker_(common->worker),
      deriver_(&loop_, &worker_),
      mirrors_(ToolsFor(*common, epoch_, &loop_, &deriver_)),
      pools_(PoolsTools()),
      authenticator_(AuthTools()),
      serving_(&loop_) {
  surroundings_.loop = &loop_;
  surroundings_.epoch = epoch_;
  surroundings_.cancels = common->cancels;
  surroundings_.mirrors = &mirrors_;
  surroundings_.pools = &pools_;
  surroundings_.receiver = this;
  surroundings_.authenticator = &authenticator_;
  surroundings_.metrics = &session_metrics_;
  surroundings_.backend_metrics = &backend_metrics_;
  shard_metrics_.config_epoch.Set(static_cast<int64_t>(epoch_.number()));
}

backend::PoolsTools Shard::PoolsTools() {
  backend::PoolsTools tools;
  tools.loop = &loop_;
  tools.epoch = epoch_;
  tools.shared = common_->pools;
  tools.metrics = &backend_metrics_;
  tools.deriver = &deriver_;
  tools.shard = index_;
  return tools;
}

session::AuthenticatorTools Shard::AuthTools() {
  session::AuthenticatorTools tools;
  tools.loop = &loop_;
  tools.epoch = epoch_;
  tools.deriver = &deriver_;
  tools.worker = &worker_;
  tools.metrics = &session_metrics_;
  tools.backend_metrics = &backend_metrics_;
  tools.process_secret = common_->auth_secret;
  return tools;
}

Shard::~Shard() = default;

absl::Status Shard::Listen(const std::vector<io::Address>& addresses,
                           std::vector<io::Address>* bound) {
  for (const io::Address& address : addresses) {
    ASSIGN_OR_RETURN(const io::Address actual, engine_->Listen(address, this));
    bound->push_back(actual);
  }
  return absl::OkStatus();
}

absl::StatusOr<io::Address> Shard::ListenAdmin(const io::Address& address,
                                               const admin::Source* source,
                                               admin::Orders* orders) {
  admin_ = std::make_unique<admin::Endpoint>(&loop_, source, orders);
  return admin_->Listen(address);
}

void Shard::Run() { loop_.Run(); }

// -- clients --------------------------------------------------------------------------------------

void Shard::OnAccepted(int descriptor) {
  if (Shard* other = draining_ ? nullptr : LessLoaded(); other != nullptr) {
    shard_metrics_.handed_off.Add();
    other->PostSocket(descriptor);
    return;
  }
  // Not from within the engine's round: a session may want to use the engine.
  PostSocket(descriptor);
}

void Shard::OnAcceptFailed(int error) {
  base::Log(base::LogLevel::kWarn, "server.accept_failed",
            {{"shard", index_},
             {"errno", error},
             {"hint", "raise the limit of open files (ulimit -n, LimitNOFILE=)"}});
}

Shard* Shard::LessLoaded() {
  Shard* least = this;
  for (Shard* shard : common_->shards) {
    if (shard->load() < least->load()) {
      least = shard;
    }
  }
  return least->load() + kClearlyLess <= load() ? least : nullptr;
}

void Shard::PostSocket(int descriptor) {
  load_.fetch_add(1, std::memory_order_relaxed);
  loop_.Post(std::make_unique<SocketMessage>(this, descriptor));
}

void Shard::Serve(int descriptor) {
  if (draining_) {
    // As PostgreSQL says it: libpq then tries its next host.
    serving_.Spawn(TurnAway(descriptor, "57P03", "the database system is shutting down"));
    return;
  }
  const bool full = common_->clients.load(std::memory_order_relaxed) >= limits().clients_max;
  if (full && beyond_ < limits().cancels_in_flight_max) {
    serving_.Spawn(ServeOneBeyond(descriptor));
    return;
  }
  if (full || session_metrics_.logging_in.value() >= limits().clients_unauthenticated_max) {
    session_metrics_.refused_full.Add();
    serving_.Spawn(TurnAway(descriptor, "53300", "sorry, too many clients already"));
    return;
  }
  serving_.Spawn(ServeOne(descriptor));
}

io::Task<void> Shard::ServeOne(int descriptor) {
  common_->clients.fetch_add(1, std::memory_order_relaxed);
  co_await RunSession(descriptor, false);
  common_->clients.fetch_sub(1, std::memory_order_relaxed);
  load_.fetch_sub(1, std::memory_order_relaxed);
}

// There is no place for another client, but there are a few for those who bring cancels: what they
// want to end may be what has filled all.
io::Task<void> Shard::ServeOneBeyond(int descriptor) {
  ++beyond_;
  co_await RunSession(descriptor, true);
  --beyond_;
  load_.fetch_sub(1, std::memory_order_relaxed);
}

io::Task<void> Shard::RunSession(int descriptor, bool beyond) {
  const uint64_t id = common_->next_session.fetch_add(1, std::memory_order_relaxed);
  session::Session session(&surroundings_, id);
  sessions_.emplace(id, &session);
  co_await session.Run(descriptor, beyond);
  sessions_.erase(id);
}

// A client too many or too late: told so, as PostgreSQL would.
io::Task<void> Shard::TurnAway(int descriptor, std::string_view sqlstate,
                               std::string_view message) {
  io::Stream client(&loop_);
  client.Adopt(descriptor, io::Traffic::kClient);
  std::string error;
  const pg::ErrorText text{.severity = "FATAL", .sqlstate = sqlstate, .message = message};
  pg::AppendErrorResponse(&error, text);
  client.WriteCopy(error);
  co_await client.Close(loop_.In(limits().close_timeout));
  load_.fetch_sub(1, std::memory_order_relaxed);
}

// -- another configuration ------------------------------------------------------------------------

void Shard::PostEpoch(backend::Epoch epoch) {
  loop_.Post(std::make_unique<EpochMessage>(this, std::move(epoch)));
}

// At once for all that is new; then each session when it may. Within one message, so whatever runs
// on this shard sees either the one or the other.
void Shard::Follow(backend::Epoch epoch) {
  loop_.UseLimits(&epoch->config.limits);
  surroundings_.epoch = epoch;
  mirrors_.Follow(epoch);
  authenticator_.Follow(epoch);
  pools_.Follow(epoch);
  for (const auto& [id, session] : sessions_) {
    session->OnReload();
  }
  shard_metrics_.config_epoch.Set(static_cast<int64_t>(epoch.number()));
  epoch_ = std::move(epoch);
}

// -- the end --------------------------------------------------------------------------------------

void Shard::PostDrain(absl::Duration within) {
  loop_.Post(std::make_unique<DrainMessage>(this, within));
}

// Rooms in order: listeners, sessions, mirrors, the admin endpoint. Runs as one of the tasks it
// waits for.
io::Task<void> Shard::Drain(absl::Duration within) {
  if (draining_) {
    co_return;
  }
  draining_ = true;
  const base::Deadline deadline = loop_.In(within);
  engine_->AcceptQueued(this);
  engine_->StopListening(this);
  for (const auto& [id, session] : sessions_) {
    session->Drain();
  }
  io::Event tick(&loop_);
  co_await tick.Wait(loop_.now());  // who was accepted in the last moment is told
  while (serving_.running() > 1 && loop_.now() < deadline) {
    co_await tick.Wait(std::min(deadline, loop_.In(absl::Milliseconds(20))));
  }
  for (const auto& [id, session] : sessions_) {
    session->Stop();
  }
  while (serving_.running() > 1) {
    co_await tick.Wait(loop_.In(absl::Milliseconds(20)));
  }
  co_await pools_.Drain();
  co_await authenticator_.Close();
  co_await mirrors_.Drain(deadline);
  common_->drained.fetch_add(1, std::memory_order_relaxed);
  if (admin_ != nullptr) {
    co_await StopAdmin();
  }
  loop_.Stop();
}

// Whoever watches the drain of another shard still gets answers.
io::Task<void> Shard::StopAdmin() {
  io::Event tick(&loop_);
  while (common_->drained.load(std::memory_order_relaxed) < common_->shards.size()) {
    co_await tick.Wait(loop_.In(absl::Milliseconds(20)));
  }
  co_await admin_->Stop();
}

void Shard::Describe(base::MetricSink* sink) const {
  const std::string labels = "shard=\"" + std::to_string(index_) + "\"";
  engine_->metrics().Describe(sink, labels);
  loop_.metrics().Describe(sink, labels);
  session_metrics_.Describe(sink, labels);
  backend_metrics_.Describe(sink, labels);
  pools_.Describe(sink, labels);
  mirrors_.Describe(sink, labels);
  shard_metrics_.Describe(sink, labels);
}

}  // namespace server
