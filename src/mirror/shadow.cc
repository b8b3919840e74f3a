#include "mirror/shadow.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "mirror/lane.h"
#include "mirror/mirrors.h"
#include "mirror/spill_replay.h"
#include "mirror/spill_root.h"

namespace mirror {
namespace {

// A meeting costs about Lane::Patience(); being careful costs the side by side. The more often they
// meet, the longer it pays.
absl::Duration ShortestCare() { return absl::Milliseconds(4); }
absl::Duration LongestCare() { return absl::Milliseconds(100); }
absl::Duration Carefree() { return absl::Milliseconds(500); }  // since the last care: then seldom
absl::Duration CancelTime() { return absl::Seconds(1); }
constexpr size_t kUsersToldMax = 64;
absl::Duration DialTime() { return absl::Seconds(5); }

io::Task<void> CancelOne(io::Loop* loop, backend::Epoch epoch, backend::CancelTarget target) {
  if (target.secret.empty()) {
    co_return;  // the server has given none
  }
  const base::Deadline deadline = loop->In(CancelTime());
  const absl::Status status =
      co_await backend::ForwardCancel(loop, epoch->dialler.get(), std::move(target), deadline);
  if (!status.ok()) {
    base::Log(base::LogLevel::kDebug, "mirror.cancel_failed", {{"why", base::Message(status)}});
  }
}

}  // namespace

Shadow::Shadow(Mirrors* mirrors, const config::Server& server, Shared::PerMirror* shared)
    : mirrors_(mirrors),
      server_(server),
      shared_(shared),
      generated_(config::GeneratedOf(mirrors->tools().epoch->config, server)),
      credit_(&shared->budget),
      idle_told_(shared->tally.Register()),
      order_(shared->ordered ? &shared->board : nullptr, mirrors),
      breaker_(&mirrors->tools().loop->prng()) {
  SpillRoot* const root = mirrors->tools().shared->spill();
  const uint32_t shard = shared->shards.fetch_add(1, std::memory_order_relaxed);
  if (shard == 0) {
    health_check_ = std::make_unique<HealthCheck>(this);
  }
  if (root != nullptr) {
    spill_ = std::make_unique<Spill>(this, root, shared, shard);
    spill_->Open(mirrors->tools().worker);
    if (shard == 0 && shared->replaying) {
      spill_replay_ =
          std::make_unique<SpillReplay>(this, root, shared, mirrors->tools().worker);
    }
  }
}

Shadow::~Shadow() = default;

const Clock* Shadow::clock() const { return mirrors_->tools().shared->clock(); }

bool Shadow::marks() const {
  return mirrors_->tools().epoch->config.mirror_marker &&
         shared_->marks.load(std::memory_order_relaxed);
}

bool Shadow::blocks() const { return mirrors_->tools().epoch->config.mirror_block; }

backend::LoginFacts Shadow::Login() const {
  backend::LoginFacts login;
  login.user = server_.user;
  login.password = server_.password;
  login.auth = server_.auth;
  login.deriver = mirrors_->tools().deriver;
  return login;
}

base::Deadline Shadow::DialDeadline() const {
  io::Loop* const loop = mirrors_->tools().loop;
  return loop->In(std::min(backend::ConnectTimeout(server_, loop->limits()), DialTime()));
}

void Shadow::StopMarking(std::string_view sqlstate) {
  if (shared_->marks.exchange(false, std::memory_order_relaxed)) {
    base::Log(base::LogLevel::kWarn, "mirror.no_marker",
              {{"mirror", server_.name},
               {"sqlstate", sqlstate},
               {"why", "its user may not create the schema pgbraid; what a lost connection leaves "
                       "unknown is dropped as outcome_unknown"}});
  }
}

bool Shadow::Wants(const std::string& database, bool primary_names_one, std::string* there) const {
  *there = server_.dbname.empty() ? database : server_.dbname;
  return primary_names_one || *there == database;
}

std::unique_ptr<Link> Shadow::NewLink(std::string key) {
  const MirrorsTools& tools = mirrors_->tools();
  return std::make_unique<Link>(tools.loop, mirrors_->connection_metrics(),
                                tools.epoch->config.log_protocol, std::move(key));
}

std::unique_ptr<Link> Shadow::TakeIdle(const std::string& key) {
  for (size_t i = idle_.size(); i > 0; --i) {
    std::unique_ptr<Link>& place = idle_[i - 1];
    if (place->alive() && place->key() != key) {
      continue;
    }
    std::unique_ptr<Link> link = std::move(place);
    idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(i - 1));
    if (link->alive()) {
      TellIdle();
      return link;
    }
    Discard(std::move(link));
  }
  if (!gate()->full()) {
    return nullptr;
  }
  const auto lender = std::find_if(resting_.begin(), resting_.end(), [&](const Lane* lane) {
    return lane->key() == key && lane->MayLend();
  });
  return lender == resting_.end() ? nullptr : (*lender)->Yield(false);
}

void Shadow::GiveBack(std::unique_ptr<Link> link) {
  if (!link->alive() || link->stained()) {
    Discard(std::move(link));
    return;
  }
  for (Lane* lane : waiting_) {
    if (lane->key() == link->key() && gate()->TakeOver(Waiter{mirrors_, lane->id()})) {
      lane->Hand(std::move(link));
      return;
    }
  }
  if (gate()->contended()) {
    Discard(std::move(link));
    return;
  }
  idle_.push_back(std::move(link));
  TellIdle();
}

void Shadow::AddResting(Lane* lane) {
  resting_.push_back(lane);
  TellIdle();
}

void Shadow::RemoveResting(const Lane* lane) {
  if (std::erase(resting_, lane) > 0) {
    TellIdle();
  }
}

void Shadow::CountConnections(int change) {
  metrics_.connections.Add(change);
  shared_->tally.Change(change, server_.name, mirrors_->tools().loop->now());
}

void Shadow::TellIdle() {
  idle_told_->Store(static_cast<int64_t>(idle_.size() + resting_.size()));
}

void Shadow::Discard(std::unique_ptr<Link> link) {
  OnClosed();
  mirrors_->tasks().Spawn(Close(std::move(link)));
}

io::Task<void> Shadow::Close(std::unique_ptr<Link> link) {
  co_await link->Close();
  link.reset();
  gate()->Leave();
}

void Shadow::Cancel(backend::CancelTarget target) {
  mirrors_->tasks().Spawn(CancelNow(std::move(target)));
}

io::Task<void> Shadow::CancelNow(backend::CancelTarget target) {
  const MirrorsTools& tools = mirrors_->tools();
  return CancelOne(tools.loop, tools.epoch, std::move(target));
}

void Shadow::LogOtherUser(const std::string& user, std::string_view sqlstate) {
  if (other_users_.size() < kUsersToldMax && other_users_.insert(user).second) {
    base::Log(base::LogLevel::kWarn, "mirror.other_user",
              {{"mirror", server_.name},
               {"user", user},
               {"login", server_.user},
               {"sqlstate", sqlstate},
               {"why", "the login may not be made this user: what depends on who runs a statement "
                       "(a schema's name, current_user, row security) is the login's"}});
  }
}

void Shadow::MakeRoom() {
  std::unique_ptr<Link> link;
  if (!idle_.empty()) {
    link = std::move(idle_.front());
    idle_.erase(idle_.begin());
  } else {
    link = mirrors_->YieldOne(this);
  }
  if (link != nullptr) {
    GiveBack(std::move(link));
  }
}

void Shadow::DiscardIdle() {
  while (!idle_.empty()) {
    std::unique_ptr<Link> link = std::move(idle_.back());
    idle_.pop_back();
    Discard(std::move(link));
  }
}

void Shadow::SetReachable(bool reachable) {
  reachable_ = reachable;
  const bool changed = reachable ? breaker_.OnSuccess()
                                 : breaker_.OnFailure(mirrors_->tools().loop->now());
  if (changed) {
    metrics_.breakers.Set(breaker_.open() ? 1 : 0);
    base::Log(breaker_.open() ? base::LogLevel::kWarn : base::LogLevel::kInfo, "mirror.breaker",
              {{"mirror", server_.name}, {"state", breaker_.open() ? "open" : "closed"}});
    mirrors_->OnBreaker(this);
  }
  if (!reachable) {
    mirrors_->OnUnreachable(this);
  }
}

// Where transactions go to the spill, its room is the one that counts.
bool Shadow::IsFull(bool waits) const {
  if (spill_ != nullptr && spill_->holds()) {
    return spill_->IsFull(waits);
  }
  return shared_->budget.LessThan(waits ? 2 : 4) && (spill_ == nullptr || spill_->IsFull(waits));
}

void Shadow::BeCareful() {
  const base::Instant now = mirrors_->tools().loop->now();
  if (now < careful_until_) {
    return;
  }
  const bool again = now < careful_until_ + Carefree();
  care_ = std::clamp(again ? care_ * 2 : ShortestCare(), ShortestCare(), LongestCare());
  careful_until_ = now + care_;
}

bool Shadow::careful() const { return mirrors_->tools().loop->now() < careful_until_; }

void Shadow::StopProbing(const Lane* lane) {
  if (breaker_.Leave(lane)) {
    mirrors_->OnBreaker(this);
  }
}

void Shadow::LogConnectFailed(const absl::Status& status) {
  const base::Instant now = mirrors_->tools().loop->now();
  if (now < next_log_) {
    return;
  }
  next_log_ = now + absl::Seconds(10);
  const std::string_view why = base::Message(status);
  base::Log(base::LogLevel::kWarn, "mirror.connect_failed",
            {{"mirror", server_.name},
             {"address", server_.Address()},
             {"why", why},
             {"message", why.find("TLS handshake") == std::string_view::npos
                             ? "Failed to acquire connection from pool"
                             : "Failed to acquire connection from pool: TLS handshake failed"}});
}

}  // namespace mirror
