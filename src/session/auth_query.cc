#include "session/auth_query.h"

#include <algorithm>
#include <utility>

#include "backend/dial.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "pg/body_reader.h"
#include "pg/builders.h"
#include "pg/messages.h"
#include "pg/password.h"
#include "pg/views.h"

namespace session {
namespace {

constexpr uint32_t kText = 25;      // OID of text
constexpr uint32_t kReadable = 1;   // of the connection's event
constexpr uint32_t kTurn = 1;       // of a waiter's
constexpr absl::Duration kRetryAfter = absl::Seconds(1);
// Its default until 1.24.1: a password whose time is over is a password.
constexpr std::string_view kPgBouncersQuery =
    "SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1";

// What one question is answered with, row by row.
class Rows {
 public:
  explicit Rows(std::string_view user) : user_(user) {}
  absl::Status OnRow(std::string_view body);
  std::string TakeSecret() { return std::move(secret_); }

 private:
  const std::string_view user_;
  std::string secret_;
  bool seen_ = false;
};

// The name must be the one that was asked for: what is found for another user lets nobody in.
absl::Status Rows::OnRow(std::string_view body) {
  if (std::exchange(seen_, true)) {
    secret_.clear();
    return base::Unavailable("auth_query: more than one row for one user");
  }
  pg::BodyReader reader(body);
  const uint16_t columns = reader.Be16();
  std::string_view rest = reader.rest();
  const std::optional<pg::Value> name = pg::NextValue(&rest);
  const std::optional<pg::Value> secret =
      name.has_value() && columns >= 2 ? pg::NextValue(&rest) : std::nullopt;
  if (!secret.has_value()) {
    return base::Unavailable("auth_query: a row is not made of a user and a secret");
  }
  const bool asked_for = name->bytes == user_ || HISTORICAL_BUG("c1-unknown-user-gets-the-askers");
  if (!name->null && asked_for && !secret->null) {
    secret_ = secret->bytes.substr(0, pg::kSecretMax + 1);  // too long stays too long
  }
  return absl::OkStatus();
}

// As whom it asks.
backend::LoginFacts LoginOf(const AuthQueryTools& tools) {
  const config::Authentication& authentication = tools.epoch->config.authentication;
  const config::Server& server = tools.service->primary;
  backend::LoginFacts login;
  login.user = authentication.auth_user;
  login.password = authentication.auth_password;
  const pg::Secret* const secret = tools.epoch->secrets->Find(authentication.auth_user);
  if (login.password.empty() && secret != nullptr) {
    login.Use(pg::CredentialOf(*secret));
  }
  login.database = !authentication.auth_dbname.empty() ? authentication.auth_dbname
                   : !server.dbname.empty()            ? server.dbname
                                                       : "postgres";
  login.parameters.emplace_back("application_name", "pgbraid auth_query");
  login.parameters.emplace_back("search_path", "pg_catalog");
  login.auth = server.auth;
  login.deriver = tools.deriver;
  return login;
}

}  // namespace

AuthQuery::AuthQuery(const AuthQueryTools& tools)
    : tools_(tools), login_(LoginOf(tools)), idle_(tools.loop) {}

AuthQuery::~AuthQuery() { CHECK(connection_ == nullptr && !busy_ && asking_ == 0); }

bool AuthQuery::Follow(const backend::Epoch& epoch, const config::Service* service) {
  AuthQueryTools tools = tools_;
  tools.epoch = epoch;
  tools.service = service;
  const backend::LoginFacts login = LoginOf(tools);
  const bool same = IsSameServer(server(), service->primary) &&
                    epoch->dialler->VerifiesLike(*tools_.epoch->dialler) &&
                    epoch->config.authentication.auth_query == rules().auth_query &&
                    login.user == login_.user && login.database == login_.database &&
                    base::ConstantTimeEqual(login.password, login_.password) &&
                    base::ConstantTimeEqual(login.md5_secret, login_.md5_secret);
  if (same) {
    tools_ = std::move(tools);
  }
  return same;
}

// -- what is kept ---------------------------------------------------------------------------------

const AuthQuery::Answer* AuthQuery::Kept(const std::string& user) const {
  const auto found = answers_.find(user);
  if (found == answers_.end() || found->second.stale ||
      tools_.loop->now() - found->second.since >= rules().auth_query_max_age) {
    return nullptr;
  }
  return &found->second;
}

void AuthQuery::Keep(const std::string& user, std::string secret) {
  const bool known = answers_.contains(user);
  answers_[user] = Answer{.secret = std::move(secret), .since = tools_.loop->now()};
  if (!known) {
    order_.push_back(user);
  }
  while (order_.size() > kAnswersMax) {
    answers_.erase(order_.front());
    order_.pop_front();
  }
}

void AuthQuery::Forget(std::string_view user) {
  const auto found = answers_.find(std::string(user));
  if (found != answers_.end()) {
    found->second.stale = true;  // it keeps its place in the order
  }
}

// -- turns ----------------------------------------------------------------------------------------

io::Task<bool> AuthQuery::TakeTurn(base::Deadline deadline) {
  if (!busy_) {
    busy_ = true;
    co_return true;
  }
  io::Event turn(tools_.loop);
  waiting_.push_back(&turn);
  const uint32_t bits = co_await turn.Wait(deadline);
  if ((bits & kTurn) != 0) {
    co_return true;  // busy_ was handed on
  }
  std::erase(waiting_, &turn);
  co_return false;
}

void AuthQuery::EndTurn() {
  if (waiting_.empty()) {
    busy_ = false;
    return;
  }
  waiting_.front()->Raise(kTurn);
  waiting_.pop_front();
}

io::Task<absl::StatusOr<std::string>> AuthQuery::Find(std::string user, base::Deadline deadline) {
  if (const Answer* kept = Kept(user); kept != nullptr) {
    co_return kept->secret;
  }
  ++asking_;
  const bool mine = co_await TakeTurn(deadline);
  absl::StatusOr<std::string> found = base::DeadlineExceeded("auth_query: no turn came in time");
  if (mine) {
    found = co_await FindInTurn(std::move(user));
    EndTurn();
  }
  --asking_;
  idle_.Raise(1);
  co_return found;
}

io::Task<absl::StatusOr<std::string>> AuthQuery::FindInTurn(std::string user) {
  if (const Answer* kept = Kept(user); kept != nullptr) {
    co_return kept->secret;
  }
  if (!failure_.ok() && tools_.loop->now() - failed_at_ < kRetryAfter &&
      !HISTORICAL_BUG("c14-no-pause-after-a-refusal")) {
    co_return failure_;
  }
  // Not the deadline of whoever asks: one who comes late must not make it fail for all.
  const base::Deadline until =
      tools_.loop->In(backend::ConnectTimeout(server(), tools_.loop->limits()));
  const bool reused = connection_ != nullptr;
  absl::StatusOr<std::string> found = co_await ConnectAndAsk(user, until);
  if (!found.ok() && reused) {
    // The server may have ended the connection while it was idle.
    co_await Hangup();
    found = co_await ConnectAndAsk(user, until);
  }
  const absl::Status status = found.status();
  failure_ = status;
  if (!status.ok()) {
    failed_at_ = tools_.loop->now();
    co_await Hangup();
    co_return status;
  }
  Keep(user, *found);
  co_return found;
}

// -- the connection -------------------------------------------------------------------------------

io::Task<absl::StatusOr<std::string>> AuthQuery::ConnectAndAsk(const std::string& user,
                                                               base::Deadline deadline) {
  const absl::Status connected = co_await Connect(deadline);
  CO_RETURN_IF_ERROR(connected);
  const absl::StatusOr<std::string> found = co_await Ask(user, deadline);
  co_return found;
}

// A connection that the server has ended meanwhile is replaced.
io::Task<absl::Status> AuthQuery::Connect(base::Deadline deadline) {
  if (connection_ != nullptr) {
    connection_->stream().ResumeReceive();
    if (!connection_->stream().ended() && !connection_->stream().broken()) {
      co_return absl::OkStatus();
    }
    co_await Hangup();
  }
  const backend::Epoch epoch = tools_.epoch;  // a reload may come meanwhile
  // Never traced: what it carries are secrets.
  connection_ = std::make_unique<backend::Connection>(tools_.loop, tools_.metrics, false);
  backend::Dialled dialled;
  const config::Server* const primary = &server();
  const backend::Dialler* const dialler = epoch->dialler.get();
  const absl::Status status = co_await backend::DialAndLogin(connection_.get(), dialler, primary,
                                                             &login_, deadline, &dialled);
  co_return status;
}

absl::Status AuthQuery::Send(std::string_view user) {
  std::string bytes;
  const uint32_t types[] = {kText};
  const std::optional<std::string_view> parameters[] = {user};
  pg::BindMessage bind;
  bind.parameters = parameters;
  const std::string_view query = HISTORICAL_BUG("c2-valid-until-is-ignored")
                                     ? kPgBouncersQuery
                                     : std::string_view(rules().auth_query);
  const bool fits = pg::AppendParse(&bytes, "", query, types) &&
                    pg::AppendBind(&bytes, bind) && pg::AppendExecute(&bytes, "", 2);
  if (!fits) {
    return base::Unavailable("auth_query: the query or the user's name is too long");
  }
  pg::AppendSync(&bytes);
  pg::FrameReader frames(pg::Side::kFrontend, UINT32_MAX, 64);
  frames.Feed(bytes);
  pg::Piece piece;
  while (frames.Next(&piece) == pg::ReadResult::kPiece) {
    if (connection_->machine().OnRequest(piece, 0) != turn::RequestResult::kOk) {
      return base::Unavailable("auth_query: the connection is not ready for a question");
    }
  }
  connection_->stream().WriteCopy(bytes);
  return absl::OkStatus();
}

// One question, to its ReadyForQuery.
io::Task<absl::StatusOr<std::string>> AuthQuery::Ask(std::string user, base::Deadline deadline) {
  ++asked_;
  const absl::Status sent = Send(user);
  CO_RETURN_IF_ERROR(sent);
  io::Event event(tools_.loop);
  io::Stream& stream = connection_->stream();
  stream.NotifyReadable(&event, kReadable);
  Rows rows(user);
  absl::Status status;
  bool over = false;
  while (status.ok() && !over) {
    pg::Piece piece;
    turn::Reply reply;
    const pg::ReadResult result = connection_->NextLoginPiece(&piece, &reply);
    if (result == pg::ReadResult::kMore && (stream.ended() || stream.broken())) {
      status = base::Unavailable("auth_query: the server closed the connection");
    } else if (result == pg::ReadResult::kMore) {
      const uint32_t bits = co_await event.Wait(deadline);
      if ((bits & io::Event::kTimeout) != 0) {
        status = base::DeadlineExceeded("auth_query: the server did not answer in time");
      }
    } else if (result == pg::ReadResult::kBad || !piece.whole() ||
               (piece.first && reply.kind == turn::ReplyKind::kMismatch)) {
      status = base::Unavailable("auth_query: the server's answer cannot be understood");
    } else if (piece.type == static_cast<char>(pg::BackendType::kErrorResponse)) {
      const pg::ErrorView error = pg::ReadError(piece.body);
      status = base::Unavailable("auth_query: " + std::string(error.sqlstate) + ": " +
                                 std::string(error.message.substr(0, 256)));
    } else if (piece.type == static_cast<char>(pg::BackendType::kDataRow)) {
      status = rows.OnRow(piece.body);
    } else {
      over = piece.type == static_cast<char>(pg::BackendType::kReadyForQuery);
    }
  }
  stream.NotifyReadable(nullptr, 0);
  stream.PauseReceive();  // idle: what still comes must not hold the shard's pool
  CO_RETURN_IF_ERROR(status);
  co_return rows.TakeSecret();
}

io::Task<void> AuthQuery::Hangup() {
  if (connection_ != nullptr) {
    co_await connection_->stream().Close(tools_.loop->now());
    connection_.reset();
  }
}

io::Task<void> AuthQuery::Close() {
  while (asking_ > 0) {
    co_await idle_.Wait();
  }
  co_await Hangup();
}

}  // namespace session
