#include <algorithm>

#include "backend/pools.h"
#include "base/crypto.h"
#include "pg/builders.h"
#include "pg/messages.h"
#include "pg/views.h"
#include "session/authenticator.h"
#include "session/opening.h"
#include "session/session.h"

namespace session {
namespace {

constexpr std::string_view kOwnName = "application_name";
constexpr size_t kSecretBytes30 = 4;
constexpr size_t kSecretBytes32 = 32;

bool IsIdentity(std::string_view name) {
  return name == "user" || name == "database" || name == "replication";
}

// PostgreSQL's spellings of a true replication=; "database" is logical, and has a database.
bool IsPhysicalReplication(const pg::StartupPacket& packet) {
  for (const pg::Setting& setting : packet.parameters) {
    if (setting.name == "replication") {
      return setting.value == "true" || setting.value == "on" || setting.value == "yes" ||
             setting.value == "1";
    }
  }
  return false;
}

}  // namespace

// A service whose server pgbraid logs in to: the client proves itself to pgbraid, and hears of the
// server what a connection of the pool has heard.
io::Task<bool> Session::EnterPooled(Opening* opening, base::Deadline deadline) {
  const std::optional<Identity> identity = co_await Admit(opening, deadline);
  if (!identity.has_value()) {
    ended_ = true;
    co_return false;
  }
  if (opening->no_service) {
    RefuseService();
    around_->metrics->login_failures.Add();
    co_return false;
  }
  if (outdated()) {  // the login took its time
    const config::Service* const now = ServiceNow();
    if (now == nullptr) {
      co_return false;
    }
    epoch_ = around_->epoch;
    service_ = now;
  }
  user_ = identity->user;
  if (!CountIn(*service_, user_, true)) {
    Refuse("53300", "sorry, too many clients of this service or user already");
    around_->metrics->refused_full.Add();
    co_return false;
  }
  backend::LoginFacts client;
  client.user = user_;
  client.Use(identity->credential);
  const backend::LoginFacts login = LoginTo(*service_, std::move(client));
  const Borrower::Bits bits{.changed = kLeaseChanged,
                            .over = kServerOver,
                            .drained = kServerDrained,
                            .paused = kStalled,
                            .idle = kWentIdle};
  borrower_ = std::make_unique<Borrower>(around_->pools->Join(service_, login), &event_, bits,
                                         &client_, id_);
  if (!TakeSettings(*opening)) {
    co_return false;
  }
  const bool welcome = co_await Welcome(opening, deadline);
  co_return welcome;
}

// Against the limits of the service and of its user, all shards together.
bool Session::CountIn(const config::Service& service, std::string_view user, bool within_limits) {
  backend::SharedPools* const shared = around_->pools->tools().shared;
  const std::string of_user = service.name + '\0' + std::string(user);
  const config::PoolSettings& pool = service.pool;
  for (const auto& [key, max] : {std::pair(service.name, pool.max_service_clients),
                                 std::pair(of_user, pool.max_user_clients)}) {
    if (!shared->EnterClient(key, within_limits ? max : 0)) {
      return false;
    }
    counted_.push_back(key);
  }
  return true;
}

void Session::CountOut() {
  for (const std::string& key : counted_) {
    around_->pools->tools().shared->LeaveClient(key);
  }
  counted_.clear();
}

io::Task<std::optional<Identity>> Session::Admit(Opening* opening, base::Deadline deadline) {
  const pg::StartupPacket& packet = opening->packet;
  KeepRest(opening);
  Claim claim;
  claim.session = id_;
  claim.user = packet.user;
  claim.database = database_;
  claim.replication = IsPhysicalReplication(packet);
  claim.service = service_;
  claim.tls = client_.tls();
  ClientLink link;
  link.stream = &client_;
  link.reader = &reader_;
  link.slice = &client_slice_;
  link.event = &event_;
  link.stop_bits = io::Event::kStop | kDrain;
  std::optional<Identity> identity =
      co_await around_->authenticator->Admit(&claim, &link, deadline);
  co_return identity;
}

// As whom pgbraid logs in to the server: as the URL says, else as the client.
backend::LoginFacts Session::LoginTo(const config::Service& service,
                                     backend::LoginFacts client) const {
  const config::Server& primary = service.primary;
  backend::LoginFacts login = std::move(client);
  if (!primary.user.empty()) {
    login = backend::LoginFacts();
    login.user = primary.user;
    login.password = primary.password;
  }
  login.database = primary.dbname.empty() ? database_ : primary.dbname;
  login.parameters.clear();
  if (!primary.application_name.empty()) {
    login.parameters.emplace_back("application_name", primary.application_name);
  }
  login.auth = primary.auth;
  login.deriver = around_->pools->tools().deriver;
  return login;
}

// In session mode the server connection itself begins as the client does. But for the name that
// clients give themselves, which may be another one each time: no connection would be used twice.
void Session::StartAsTheClient(const Opening& opening) {
  backend::Parameters startup;
  for (const pg::Setting& setting : opening.packet.parameters) {
    if (!IsIdentity(setting.name) && !setting.name.starts_with("_pq_.") &&
        setting.name != kOwnName) {
      startup.emplace_back(setting.name, setting.value);
    }
  }
  borrower_->StartWith(std::move(startup));
  borrower_->KeepForSession(true);
}

// The settings of the StartupMessage, those in `options` too.
bool Session::TakeSettings(const Opening& opening) {
  const bool keeps = service_->pool.mode == config::PoolMode::kSession;
  if (keeps) {
    StartAsTheClient(opening);
  }
  for (const pg::Setting& setting : opening.packet.parameters) {
    if (setting.name == "replication" && setting.value != "false" && setting.value != "off" &&
        setting.value != "0" && setting.value != "no") {
      Refuse("0A000", "replication needs a service whose primary names no user");
      return false;
    }
    if (keeps && setting.name != kOwnName) {
      continue;
    }
    if (IsIdentity(setting.name) || setting.name.starts_with("_pq_.")) {
      continue;
    }
    if (setting.name != "options") {
      static_cast<void>(borrower_->SetAtStart(setting.name, setting.value));
      continue;
    }
    std::vector<pg::OptionSetting> options;
    if (const auto error = pg::ParseOptions(setting.value, &options); error.has_value()) {
      Refuse(error->sqlstate, error->message);
      return false;
    }
    for (const pg::OptionSetting& option : options) {
      static_cast<void>(borrower_->SetAtStart(option.name, option.value));
    }
  }
  return true;
}

io::Task<bool> Session::AwaitConnection(base::Deadline deadline) {
  borrower_->Ask();
  while (!borrower_->ready() && !borrower_->denied() && !ended_) {
    const base::Deadline patience = NextPatience().until;
    const uint32_t bits = co_await event_.Wait(std::min(deadline, patience));
    if ((bits & io::Event::kTimeout) != 0 && patience <= loop_->now()) {
      GiveUp(Timeout::kQueryWait);
    } else if ((bits & io::Event::kTimeout) != 0) {
      around_->metrics->login_timeouts.Add();
      Refuse("08006", "timed out waiting for a server connection");
    } else if ((bits & kDrain) != 0) {
      Refuse("57P01", "terminating connection due to administrator command");
    } else if ((bits & kServerOver) != 0) {
      Refuse("08006", "the connection to the server was closed");
    } else if (outdated() && !borrower_->has_connection()) {
      if (Follow()) {
        borrower_->Ask();
      }
    } else if (client_.ended() || client_.broken()) {
      ended_ = true;
    }
  }
  if (!ended_ && borrower_->denied()) {
    Refuse(borrower_->sqlstate(), borrower_->why());
  }
  co_return !ended_;
}

// What follows AuthenticationOk. A client whose settings are the defaults costs no connection.
io::Task<bool> Session::Welcome(Opening* opening, base::Deadline deadline) {
  const bool keeps = service_->pool.mode == config::PoolMode::kSession;
  if (keeps || !borrower_->wanted().empty() || borrower_->pool()->welcome().empty()) {
    const bool connected = co_await AwaitConnection(deadline);
    if (!connected) {
      if (borrower_->denied()) {
        // What was looked up of this user may be out of date.
        around_->authenticator->OnServerRefused(*service_, opening->packet.user);
      }
      around_->metrics->login_failures.Add();
      co_return false;
    }
  }
  const backend::Parameters& parameters =
      borrower_->has_connection() ? borrower_->connection().parameters()
                                  : borrower_->pool()->welcome();
  std::string text;
  pg::AppendAuthenticationOk(&text);
  for (const auto& [name, value] : parameters) {
    if (!pg::AppendParameterStatus(&text, name, value)) {
      continue;  // too long for a message: a server sent it, so it cannot be
    }
  }
  client_.WriteCopy(text);
  borrower_->Told(parameters);
  if (around_->mirrors->any()) {
    opening->reported = parameters;
  }
  GiveKey(opening->packet.version);
  text.clear();
  pg::AppendReadyForQuery(&text, 'I');
  client_.WriteCopy(text);
  borrower_->GiveBackUnused();
  co_return true;
}

// A key of the session, not of a server's process: which one serves it changes. In session mode it
// does not, and the client sees the process that pg_backend_pid() names.
void Session::GiveKey(uint32_t version) {
  backend::CancelTarget target;
  target.receiver = around_->receiver;
  target.session = id_;
  target.pid = pools_transactions() ? static_cast<uint32_t>(loop_->prng().Next()) & INT32_MAX
                                    : borrower_->connection().key_pid();
  target.secret.resize(version > pg::kProtocol30 ? kSecretBytes32 : kSecretBytes30);
  cancel_pid_ = target.pid;
  cancel_secret_ = around_->cancels->Add(target);
  std::string key;
  if (pg::AppendBackendKeyData(&key, cancel_pid_, cancel_secret_)) {
    client_.WriteCopy(key);
  }
}

}  // namespace session
