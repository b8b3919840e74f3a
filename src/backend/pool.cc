#include "backend/pool.h"

#include <algorithm>
#include <utility>

#include "backend/cleaning.h"
#include "backend/dial.h"
#include "backend/pools.h"
#include "base/fault_point.h"
#include "base/log.h"
#include "base/status.h"

namespace backend {
namespace {

constexpr uint32_t kOpeningMax = 32;  // of one pool at once: a restarted server is not stormed
constexpr size_t kSqlstateLength = 5;
constexpr absl::Duration kPartingTime = absl::Seconds(5);
constexpr absl::Duration kUnused = absl::Seconds(1);
constexpr absl::Duration kCancelTurn = absl::Milliseconds(5);  // until there may be room for one
constexpr absl::Duration kRetryFirst = absl::Milliseconds(100);
// With the tick of Pools, a second until a server that can be reached again serves again.
constexpr absl::Duration kRetryLongest = absl::Milliseconds(750);
// A server that is there and says no may do so for long, and may lock accounts that fail often.
constexpr absl::Duration kRefusedLongest = absl::Seconds(5);

// Full jitter: who failed together does not come back together.
absl::Duration RetryPause(uint32_t failures, absl::Duration most_of_all, base::Prng* prng) {
  absl::Duration longest = kRetryFirst;
  for (uint32_t i = 1; i < failures && longest < most_of_all; ++i) {
    longest *= 2;
  }
  longest = std::min(longest, most_of_all);
  const auto most = static_cast<uint64_t>(absl::ToInt64Microseconds(longest));
  return absl::Microseconds(prng->Below(most) + 1);
}

}  // namespace

Pool::Pool(Pools* pools, const config::Service* service, LoginFacts login, SharedPool* shared)
    : pools_(pools),
      epoch_(pools->tools().epoch),
      service_(service),
      login_(std::move(login)),
      shared_(shared) {}

Pool::~Pool() {
  pools_->tools().shared->Forget(shared_, pools_);
  pools_->tools().shared->Drop(shared_);
}

void Pool::SetSecret(const LoginFacts& login) { login_ = login; }

// -- who waits ------------------------------------------------------------------------------------

void Pool::Ask(Waiter* waiter) {
  waiter->since = pools_->loop()->now();
  waiter->opening = false;
  const auto fits = [waiter](const Pooled* pooled) { return pooled->startup == waiter->startup; };
  for (;;) {
    const auto found = std::find_if(free_.rbegin(), free_.rend(), fits);
    if (found == free_.rend()) {
      break;
    }
    Pooled* const pooled = *found;
    free_.erase(std::next(found).base());
    pools_->metrics().free.Add(-1);
    io::Stream& stream = pooled->connection.stream();
    if (stream.has_input() || stream.ended() || stream.broken()) {
      Retire(pooled);  // it says something, or is gone: its pump will find out
      continue;
    }
    Grant(pooled, waiter);
    return;
  }
  if (closed_) {
    waiter->lessee->OnDenied("57P01", "terminating connection due to administrator command");
    return;
  }
  waiter->place = waiters_.insert(waiters_.end(), waiter);
  waiter->waiting = true;
  pools_->metrics().waiting.Add(1);
  OpenMore();
}

void Pool::Forget(Waiter* waiter) {
  if (!waiter->waiting) {
    return;
  }
  waiters_.erase(waiter->place);
  waiter->waiting = false;
  pools_->metrics().waiting.Add(-1);
  if (waiters_.empty()) {
    wanted_with_.reset();
    pools_->tools().shared->Forget(shared_, pools_);
  }
}

void Pool::Grant(Pooled* pooled, Waiter* waiter) {
  if (waiter->waiting) {
    pools_->metrics().wait_time.Record(pools_->loop()->now() - waiter->since);
    Forget(waiter);
  }
  pools_->metrics().grants.Add();
  pooled->leased = pooled->lent = true;
  waiter->lessee->OnGranted(pooled);
}

void Pool::DenyAll(std::string_view sqlstate, std::string_view message) {
  while (!waiters_.empty()) {
    Waiter* const waiter = waiters_.front();
    Forget(waiter);
    pools_->metrics().denied.Add();
    waiter->lessee->OnDenied(sqlstate, message);
  }
}

// What a client said at its start was wrong, as the server sees it: its fault alone.
void Pool::DenyStartup(const Parameters& startup, const absl::Status& status) {
  const std::string_view text = base::Message(status);
  for (auto at = waiters_.begin(); at != waiters_.end();) {
    Waiter* const waiter = *at++;
    if (waiter->startup == startup) {
      Forget(waiter);
      pools_->metrics().denied.Add();
      waiter->lessee->OnDenied(text.substr(0, kSqlstateLength),
                               text.substr(std::min(text.size(), kSqlstateLength + 2)));
    }
  }
}

void Pool::DenyOlder(base::Instant than) {
  while (!waiters_.empty() && waiters_.front()->since < than) {
    Waiter* const waiter = waiters_.front();
    Forget(waiter);
    pools_->metrics().denied.Add();
    if (full_) {
      waiter->lessee->OnDenied("53300", "the server behind pgbraid accepts no more connections");
    } else {
      waiter->lessee->OnDenied("08006", "could not connect to the server behind pgbraid");
    }
  }
}

// -- what is free ---------------------------------------------------------------------------------

bool Pool::Expired(const Pooled& pooled) const {
  const absl::Duration lifetime = service_->pool.max_conn_lifetime;
  return lifetime > absl::ZeroDuration() && pools_->loop()->now() - pooled.born > lifetime;
}

// The pool has become smaller, and this one ends for it.
bool Pool::IsSurplus(Pooled* pooled) {
  pooled->surplus = pools_->tools().shared->TakeSurplus(shared_);
  return pooled->surplus;
}

// It is to end; nobody has it.
void Pool::Retire(Pooled* pooled) {
  pooled->doomed = true;
  pooled->connection.Stop();
}

void Pool::EndLease(Pooled* pooled) {
  for (const CancelAsker& asker : std::exchange(pooled->askers, {})) {
    asker.Tell();  // what it was to end is over
  }
  pooled->connection.EndLease();
  pooled->leased = false;
  pooled->used = pools_->loop()->now();
}

void Pool::Return(Pooled* pooled) {
  CHECK(pooled->connection.machine().poolable());
  EndLease(pooled);
  Offer(pooled);
}

void Pool::ReturnDirty(Pooled* pooled) {
  const bool usable = pooled->connection.machine().poolable() && !pooled->doomed && !closed_ &&
                      !pooled->connection.over() && !service_->pool.reset_query.empty();
  if (!usable) {
    Discard(pooled);
    return;
  }
  if (HISTORICAL_BUG("f2-nothing-is-cleaned")) return Return(pooled);
  pools_->metrics().cleaned.Add();
  EndLease(pooled);
  pooled->leased = true;  // by its cleaning
  pooled->cleaning = std::make_unique<Cleaning>(this, pooled);
  static_cast<Cleaning*>(pooled->cleaning.get())->Begin();
}

void Pool::Discard(Pooled* pooled) {
  if (!pooled->connection.over()) {
    pools_->metrics().discarded.Add();
  }
  EndLease(pooled);
  Retire(pooled);
  pooled->freed.Raise(1);
}

// For whoever is first. Not while a cancel is on its way to it: that would hit a stranger.
void Pool::Offer(Pooled* pooled) {
  if (pooled->doomed || closed_ || pooled->connection.over()) {
    Retire(pooled);
    pooled->freed.Raise(1);
    return;
  }
  if (pooled->cancelling) {
    return;
  }
  if (Expired(*pooled) || IsSurplus(pooled)) {
    pools_->metrics().retired.Add();
    Retire(pooled);
    return;
  }
  // A new one serves first: where a login takes longer than others wait, nobody would be served.
  const bool owed = !pooled->lent && !waiters_.empty();
  if (!owed && Yields(waiters_.empty(), false)) {
    pools_->metrics().yielded.Add();
    Retire(pooled);
    return;
  }
  if (Waiter* const next = NextFor(*pooled); next != nullptr) {
    Grant(pooled, next);
    return;
  }
  free_.push_back(pooled);
  pools_->metrics().free.Add(1);
  OpenMore();  // for those who wait for one that began otherwise
}

// The first who waits for such a connection, but not past others for whom none is begun.
Pool::Waiter* Pool::NextFor(const Pooled& pooled) const {
  size_t before = 0;
  for (Waiter* waiter : waiters_) {
    if (waiter->startup == pooled.startup) {
      return waiter;
    }
    if (++before > dialling_.size()) {
      break;
    }
  }
  return nullptr;
}

void Pool::Cancel(Pooled* pooled, const CancelAsker& asker) {
  const bool full = pooled->askers.size() >= pools_->loop()->limits().cancels_in_flight_max;
  if (full || pooled->connection.key_secret().empty() || pooled->connection.over()) {
    if (full) {
      pools_->tools().metrics->cancels_shed.Add();
    }
    asker.Tell();
    return;
  }
  pooled->askers.push_back(asker);
  if (!pooled->cancelling) {
    pooled->cancelling = true;
    pools_->tasks().Spawn(RunCancels(pooled));
  }
}

io::Task<void> Pool::RunCancels(Pooled* pooled) {
  io::Loop* const loop = pools_->loop();
  while (!pooled->askers.empty()) {
    const std::vector<CancelAsker> askers = std::exchange(pooled->askers, {});
    // What those wanted to end that came during the last one may have ended by it.
    if (pooled->leased && pooled->connection.machine().owes() && !pooled->connection.over()) {
      const base::Deadline deadline = loop->In(loop->limits().cancel_timeout);
      const absl::Status done = co_await SendCancel(pooled, deadline);
      if (!done.ok()) {
        base::Log(base::LogLevel::kWarn, "backend.cancel_failed",
                  {{"server", service_->primary.name}, {"why", base::Message(done)}});
        pooled->doomed = true;  // it may still arrive
      }
    }
    for (const CancelAsker& asker : askers) {
      asker.Tell();
    }
  }
  pooled->cancelling = false;
  if (pooled->doomed) {
    pooled->freed.Raise(1);
  }
  if (!pooled->leased) {
    Offer(pooled);
  }
}

// Few at once, so that a server is not stormed by those who cancel. The others wait their turn; as
// many as there are pooled connections can. After an error it may still arrive.
io::Task<absl::Status> Pool::SendCancel(Pooled* pooled, base::Deadline deadline) {
  io::Loop* const loop = pools_->loop();
  CancelTarget target;
  target.server = pooled->dialled;
  target.epoch = pooled->epoch;
  target.pid = pooled->connection.key_pid();
  target.secret = pooled->connection.key_secret();
  BackendMetrics& metrics = *pools_->tools().metrics;
  io::Event turn(loop);
  while (metrics.cancels_in_flight.value() >= loop->limits().cancels_in_flight_max) {
    if (loop->now() >= deadline) {
      metrics.cancels_shed.Add();
      co_return absl::OkStatus();  // nothing is on its way
    }
    co_await turn.Wait(loop->In(kCancelTurn));
  }
  metrics.cancels_forwarded.Add();
  metrics.cancels_in_flight.Add(1);
  const Dialler* const dialler = target.epoch->dialler.get();
  absl::Status done = co_await ForwardCancel(loop, dialler, target, deadline);
  metrics.cancels_in_flight.Add(-1);
  co_return done;
}

// -- opening --------------------------------------------------------------------------------------

// The places have one lock for all shards: what is known already is not asked again.
bool Pool::TakePlace() {
  if (wanted_with_ == serving_) {
    return false;
  }
  const bool taken = pools_->tools().shared->Take(shared_, pools_, serving_, pools_->loop()->now());
  wanted_with_ = taken ? std::nullopt : std::optional<uint32_t>(serving_);
  return taken;
}

// One at first, and as long as they fail: a server that refuses a login or is away is not asked by
// everybody who waits.
uint32_t Pool::OpeningMax() const {
  return failures_ > 0 || connections_.empty() ? 1 : kOpeningMax;
}

void Pool::OpenMore() {
  while (!closed_ && dialling_.size() < std::min<size_t>(waiters_.size(), OpeningMax()) &&
         pools_->loop()->now() >= retry_) {
    if (TakePlace()) {
      Start();
      continue;
    }
    if (!free_.empty()) {  // it began otherwise than those who wait need it
      RetireFree(free_.begin());
    }
    break;
  }
}

// A place was taken for it.
void Pool::Start() {
  ++serving_;
  pools_->tasks().Spawn(Serve(NextStartup()));
}

// Of the first who waits and has none begun for it.
Parameters Pool::NextStartup() {
  for (Waiter* waiter : waiters_) {
    if (!waiter->opening) {
      waiter->opening = true;
      return waiter->startup;
    }
  }
  return waiters_.empty() ? Parameters() : waiters_.front()->startup;
}

void Pool::OnPlace() {
  wanted_with_.reset();
  if (closed_ || waiters_.empty()) {
    pools_->tools().shared->GiveBack(shared_);
    return;
  }
  Start();
  OpenMore();  // behind the others
}

bool Pool::Yields(bool idle, bool unused) {
  return pools_->tools().shared->Yield(shared_, pools_, serving_, idle, unused,
                                       pools_->loop()->now());
}

// One that was just used will be used again, unless others have less than their share.
bool Pool::YieldOne() {
  if (free_.empty()) {
    return false;
  }
  Pooled* const pooled = free_.front();
  if (!Yields(true, pools_->loop()->now() - pooled->used > kUnused)) {
    return false;
  }
  free_.erase(free_.begin());
  pools_->metrics().free.Add(-1);
  pools_->metrics().yielded.Add();
  Retire(pooled);
  return true;
}

// The life of one server connection, from its place taken to its place given back.
io::Task<void> Pool::Serve(Parameters startup) {
  const PoolsTools& tools = pools_->tools();
  Pooled pooled(this, tools.loop, tools.metrics, &pools_->statements(),
                epoch_->config.log_protocol, std::move(startup));
  pooled.epoch = epoch_;
  dialling_.push_back(&pooled);
  const absl::Status opened = co_await Open(&pooled);
  std::erase(dialling_, &pooled);
  if (opened.ok()) {
    failures_ = 0;
    pooled.epoch = closed_ ? pooled.epoch : epoch_;
    connections_.push_back(&pooled);
    pools_->metrics().opened.Add();
    pools_->metrics().connections.Add(1);
    Offer(&pooled);
    OpenMore();
    co_await pooled.connection.Pump();
    pooled.doomed = true;
    if (std::erase(free_, &pooled) > 0) {
      pools_->metrics().free.Add(-1);
    }
    while (pooled.leased || pooled.cancelling) {
      co_await pooled.freed.Wait();
    }
    std::erase(connections_, &pooled);
    pools_->metrics().connections.Add(-1);
  } else if (!closed_) {
    pools_->metrics().open_failures.Add();
    OnOpenFailed(pooled, opened);
  }
  co_await PartWith(&pooled);
  tools.shared->GiveBack(shared_, pooled.surplus);
  OpenMore();
  --serving_;
  pools_->Tend();
}

// Until the server has ended its side it counts the connection, so its place is not free. What it
// still runs for a client that is gone would take as long as it likes.
io::Task<void> Pool::PartWith(Pooled* pooled) {
  Connection& connection = pooled->connection;
  io::Loop* const loop = pools_->loop();
  const base::Deadline deadline = loop->In(closed_ ? absl::ZeroDuration() : kPartingTime);
  connection.stream().PauseReceive();  // nobody takes what comes: it must not hold the shard's pool
  const bool runs = !connection.machine().starting() && connection.machine().owes();
  if (runs && !closed_ && !connection.stream().ended() && !connection.stream().broken() &&
      !connection.key_secret().empty()) {
    const absl::Status sent = co_await SendCancel(pooled, deadline);
    static_cast<void>(sent);  // it ends with the server's patience then
  }
  co_await connection.stream().Close(deadline);
}

io::Task<absl::Status> Pool::Open(Pooled* pooled) {
  const config::Server* const server = &service_->primary;  // of pooled->epoch
  const Dialler* const dialler = pooled->epoch->dialler.get();
  io::Loop* const loop = pools_->loop();
  const base::Deadline deadline = loop->In(ConnectTimeout(*server, loop->limits()));
  LoginFacts login = login_;
  login.parameters.insert(login.parameters.end(), pooled->startup.begin(), pooled->startup.end());
  const absl::Status in = co_await DialAndLogin(&pooled->connection, dialler, server, &login,
                                                deadline, &pooled->dialled);
  CO_RETURN_IF_ERROR(in);
  pooled->born = pooled->used = loop->now();
  welcome_ = pooled->connection.parameters();
  pools_->tools().shared->KeepWelcome(shared_, welcome_);
  co_return absl::OkStatus();
}

const Parameters& Pool::welcome() {
  if (welcome_.empty()) {
    welcome_ = pools_->tools().shared->Welcome(*shared_);
  }
  return welcome_;
}

// A server that says no to the login says no to all who wait; any other failure may pass.
void Pool::OnOpenFailed(const Pooled& pooled, const absl::Status& status) {
  if (absl::IsInvalidArgument(status) && !pooled.startup.empty()) {
    DenyStartup(pooled.startup, status);
    return;
  }
  ++failures_;
  const bool refused = absl::IsPermissionDenied(status) || absl::IsNotFound(status) ||
                       absl::IsResourceExhausted(status);
  full_ = absl::IsResourceExhausted(status);
  retry_ = pools_->loop()->In(RetryPause(failures_, refused ? kRefusedLongest : kRetryLongest,
                                         &pools_->loop()->prng()));
  base::Log(base::LogLevel::kWarn, "backend.open_failed",
            {{"server", service_->primary.name},
             {"user", login_.user},
             {"database", login_.database},
             {"why", base::Message(status)}});
  if (absl::IsPermissionDenied(status)) {
    DenyAll("08006", "the server behind pgbraid refused pgbraid's login");
  } else if (absl::IsFailedPrecondition(status)) {
    DenyAll("08006", "the server behind pgbraid is pgbraid itself");
  } else if (absl::IsNotFound(status)) {
    DenyAll("3D000", "database \"" + login_.database + "\" does not exist");
  }
}

// -- time -----------------------------------------------------------------------------------------

bool Pool::Tend() {
  const base::Instant now = pools_->loop()->now();
  const config::PoolSettings& settings = service_->pool;
  if (failures_ > 0 && connections_.empty()) {
    const absl::Duration patience = ConnectTimeout(service_->primary, pools_->loop()->limits());
    DenyOlder(base::Instant(now.nanoseconds() - absl::ToInt64Nanoseconds(patience)));
  }
  const bool keeps = settings.mode != config::PoolMode::kSession && sessions_ > 0;
  const uint32_t least = keeps ? settings.min_conns : 0;
  const absl::Duration idle_max = settings.max_conn_idle_time;
  while (!free_.empty()) {
    Pooled* const oldest = free_.front();
    const bool idle = idle_max > absl::ZeroDuration() && now - oldest->used > idle_max &&
                      shared_->places.load(std::memory_order_relaxed) > least;
    if (!idle && !Expired(*oldest) && !IsSurplus(oldest)) {
      break;
    }
    RetireFree(free_.begin());
  }
  if (waiters_.empty() && pools_->tools().shared->Wanted(*shared_)) {
    YieldOne();
  }
  wanted_with_.reset();
  OpenMore();
  while (!closed_ && now >= retry_ && dialling_.size() < OpeningMax() &&
         shared_->places.load(std::memory_order_relaxed) < least &&
         pools_->tools().shared->TakeSpare(shared_)) {
    Start();
  }
  return sessions_ > 0 || !empty();
}

// -- reload ---------------------------------------------------------------------------------------

// Whether `service` of the new configuration is what this pool is for.
bool Pool::Serves(const config::Service& service) const {
  const config::Server& primary = service.primary;
  return service.name == service_->name && !service.passes_login_through &&
         (primary.user.empty() || primary.user == login_.user) &&
         (primary.dbname.empty() || primary.dbname == login_.database);
}

bool Pool::Follow(const Epoch& epoch) {
  const config::Service* const next = config::FindService(epoch->config, service_->name);
  if (next == nullptr || !Serves(*next) ||
      !IsSameServer(service_->primary, next->primary) ||
      !epoch->dialler->VerifiesLike(*epoch_->dialler)) {
    return false;
  }
  epoch_ = epoch;
  service_ = next;
  FollowUsers();
  for (Pooled* pooled : connections_) {
    pooled->epoch = epoch;
  }
  return true;
}

void Pool::Vacate() {
  closed_ = true;
  while (!free_.empty()) {
    RetireFree(free_.begin());
  }
  for (Pooled* pooled : dialling_) {
    pooled->connection.stream().Abort();
  }
}

// The password of a user that no login of a client's is needed for: those who are in stay.
void Pool::FollowUsers() {
  const pg::Secret* const secret = epoch_->secrets->Find(login_.user);
  if (!service_->primary.user.empty() || secret == nullptr) {
    return;
  }
  const pg::Credential credential = pg::CredentialOf(*secret);
  if (!credential.empty()) {  // else the keys of a client's login stay
    login_.Use(credential);
  }
}

void Pool::RetireFree(std::vector<Pooled*>::iterator at) {
  Pooled* const pooled = *at;
  free_.erase(at);
  pools_->metrics().free.Add(-1);
  pools_->metrics().retired.Add();
  Retire(pooled);
}

void Pool::Close() {
  closed_ = true;
  DenyAll("57P01", "terminating connection due to administrator command");
  pools_->metrics().free.Add(-static_cast<int64_t>(free_.size()));
  free_.clear();
  for (Pooled* pooled : connections_) {
    Retire(pooled);
  }
}

}  // namespace backend
