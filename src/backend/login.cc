#include "backend/login.h"

#include <algorithm>
#include <cerrno>

#include "base/bytes.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "pg/builders.h"
#include "pg/messages.h"

namespace backend {
namespace {

constexpr size_t kRefusalTextMax = 256;  // bytes of a server's message that are passed on

absl::Status Refusal(std::string_view body) {
  const pg::ErrorView error = pg::ReadError(body);
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  if (error.sqlstate.starts_with("28")) {
    code = absl::StatusCode::kPermissionDenied;
  } else if (error.sqlstate == "3D000") {
    code = absl::StatusCode::kNotFound;
  } else if (error.sqlstate.starts_with("22") || error.sqlstate.starts_with("42") ||
             error.sqlstate == "55P02") {
    code = absl::StatusCode::kInvalidArgument;  // a setting of the StartupMessage
  } else if (error.sqlstate == "53300") {
    code = absl::StatusCode::kResourceExhausted;
  }
  return base::Error(code, std::string(error.sqlstate) + ": " +
                               std::string(error.message.substr(0, kRefusalTextMax)));
}

absl::Status Malformed(std::string_view what) {
  return base::Unavailable("the server sent a malformed " + std::string(what));
}

std::string Asks(config::ServerMethod method) {
  return method == config::ServerMethod::kNone
             ? "the server asks for no password"
             : "the server asks for " + std::string(config::Name(method));
}

// The server's words, for the log: "OAUTHBEARER X".
std::string Listed(const std::vector<std::string_view>& mechanisms) {
  std::string names;
  for (const std::string_view name : mechanisms) {
    names += (names.empty() ? "" : " ") + std::string(name.substr(0, kRefusalTextMax));
    if (names.size() > kRefusalTextMax) {
      break;
    }
  }
  return names.empty() ? "none" : names.substr(0, kRefusalTextMax);
}

absl::Status TooLong() { return base::Unavailable("a login message is too long or holds a NUL"); }

// Tells the ledger of the one frame in `bytes`, and sends it.
absl::Status Answer(Connection* connection, std::string_view bytes) {
  pg::Piece piece;
  piece.type = bytes[0];
  piece.first = piece.last = true;
  piece.bytes = bytes;
  piece.body = bytes.substr(pg::kHeaderBytes);
  piece.body_length = static_cast<uint32_t>(piece.body.size());
  if (connection->machine().OnRequest(piece, 0) != turn::RequestResult::kOk) {
    return base::Unavailable("the server asked for authentication after the login");
  }
  connection->TraceRequest(piece);
  connection->stream().WriteCopy(bytes);
  return absl::OkStatus();
}

// What has arrived: kGoOn when more must come.
absl::StatusOr<LoginDialogue::Step> TakePieces(Connection* connection, LoginDialogue* dialogue) {
  for (;;) {
    pg::Piece piece;
    turn::Reply reply;
    const pg::ReadResult result = connection->NextLoginPiece(&piece, &reply);
    if (result == pg::ReadResult::kBad) {
      return base::Unavailable("the server does not speak the protocol: " + connection->fault());
    }
    if (result == pg::ReadResult::kMore) {
      return LoginDialogue::Step::kGoOn;
    }
    if (piece.first && reply.kind == turn::ReplyKind::kMismatch) {
      return base::Unavailable("the server sent a message that does not belong to a login");
    }
    if (!piece.whole()) {
      if (piece.type == static_cast<char>(pg::BackendType::kNoticeResponse)) {
        continue;
      }
      return base::Unavailable("the server sent too long a message during login");
    }
    std::string answer;
    ASSIGN_OR_RETURN(const LoginDialogue::Step step, dialogue->OnMessage(piece, &answer));
    if (step != LoginDialogue::Step::kGoOn) {
      return step;
    }
    if (!answer.empty()) {
      RETURN_IF_ERROR(Answer(connection, answer));
    }
  }
}

absl::Status SendStartup(Connection* connection, const LoginFacts& facts) {
  std::vector<pg::Setting> settings;
  settings.push_back(pg::Setting{"user", facts.user});
  settings.push_back(pg::Setting{"database", facts.database});
  for (const auto& [name, value] : facts.parameters) {
    settings.push_back(pg::Setting{name, value});
  }
  std::string startup;
  if (!pg::AppendStartupMessage(&startup, pg::kProtocol30, settings)) {
    return TooLong();
  }
  connection->stream().WriteCopy(startup);
  return absl::OkStatus();
}

// The keys that the server's challenge asks for, and the answer with them.
io::Task<absl::Status> DeriveAndAnswer(Connection* connection, LoginDialogue* dialogue,
                                       const LoginFacts* facts) {
  const pg::ScramChallenge& asked = dialogue->challenge();
  pg::ScramKeys keys;
  if (facts->deriver == nullptr) {
    keys = pg::DeriveScramKeys(facts->password, asked.salt, asked.iterations);
  } else {
    keys = co_await facts->deriver->Derive(facts->password, asked.salt, asked.iterations);
  }
  std::string answer;
  const absl::Status made = dialogue->Derived(keys, &answer);
  CO_RETURN_IF_ERROR(made);
  co_return Answer(connection, answer);
}

io::Task<absl::Status> Talk(Connection* connection, LoginDialogue* dialogue,
                            const LoginFacts* facts, io::Event* event, base::Deadline deadline) {
  for (;;) {
    const absl::StatusOr<LoginDialogue::Step> step = TakePieces(connection, dialogue);
    CO_RETURN_IF_ERROR(step.status());
    if (*step == LoginDialogue::Step::kOver) {
      co_return absl::OkStatus();
    }
    if (*step == LoginDialogue::Step::kDerive) {
      const absl::Status answered = co_await DeriveAndAnswer(connection, dialogue, facts);
      CO_RETURN_IF_ERROR(answered);
      continue;
    }
    if (connection->stream().ended() || connection->stream().broken()) {
      co_return base::Unavailable("the server closed the connection during login");
    }
    const uint32_t bits = co_await event->Wait(deadline);
    if ((bits & io::Event::kTimeout) != 0) {
      co_return base::DeadlineExceeded("the server did not finish the login in time");
    }
  }
}

}  // namespace

void LoginFacts::Use(const pg::Credential& credential) {
  password = credential.password;
  md5_secret = credential.md5_secret;
  scram = credential.scram;
}

LoginDialogue::LoginDialogue(const LoginFacts* facts, std::string_view nonce,
                             const io::TlsFacts* tls)
    : facts_(facts), nonce_(nonce), tls_(tls) {}

absl::StatusOr<LoginDialogue::Step> LoginDialogue::OnMessage(const pg::Piece& piece,
                                                             std::string* answer) {
  switch (static_cast<pg::BackendType>(piece.type)) {
    case pg::BackendType::kAuthentication:
      return OnAuthentication(piece.body, answer);
    case pg::BackendType::kErrorResponse:
      return Refusal(piece.body);
    case pg::BackendType::kReadyForQuery:
      if (!ok_) {
        return base::Unavailable("the server is ready before it authenticated anybody");
      }
      return Step::kOver;
    default:  // ParameterStatus, BackendKeyData, notices: nothing to answer
      return Step::kGoOn;
  }
}

absl::StatusOr<LoginDialogue::Step> LoginDialogue::OnAuthentication(std::string_view body,
                                                                    std::string* answer) {
  const std::optional<pg::AuthenticationView> view = pg::ReadAuthentication(body);
  if (!view.has_value()) {
    return Malformed("authentication request");
  }
  if (ok_) {
    return base::Unavailable("the server asked for authentication after AuthenticationOk");
  }
  switch (view->code) {
    case pg::AuthenticationCode::kOk:
      RETURN_IF_ERROR(OnOk());
      return Step::kGoOn;
    case pg::AuthenticationCode::kCleartextPassword:
    case pg::AuthenticationCode::kMd5Password:
    case pg::AuthenticationCode::kSasl:
      if (asked_) {
        return base::PermissionDenied(scram_.has_value()
                                          ? "the server changed the authentication method"
                                          : "the server asked for a password twice");
      }
      asked_ = true;
      RETURN_IF_ERROR(OnPasswordRequest(*view, answer));
      return Step::kGoOn;
    case pg::AuthenticationCode::kSaslContinue:
      if (!scram_.has_value()) {
        break;
      }
      return OnChallenge(view->data, answer);
    case pg::AuthenticationCode::kSaslFinal:
      if (!scram_.has_value()) {
        break;
      }
      RETURN_IF_ERROR(scram_->Verify(view->data));
      return Step::kGoOn;
    default:
      return base::PermissionDenied("the server asks for " + std::string(pg::Name(view->code)) +
                                    " (method " + std::to_string(static_cast<int>(view->code)) +
                                    "), which pgbraid does not have (it has trust, password, md5 "
                                    "and scram-sha-256)");
  }
  return base::Unavailable("the server sent " + std::string(pg::Name(view->code)) +
                           " without having asked for SASL");
}

absl::Status LoginDialogue::CheckAllowed(config::ServerMethod method) const {
  if (!facts_->auth.Allows(method)) {
    return base::PermissionDenied(
        Asks(method) + ", which the server's require_auth does not allow");
  }
  const bool required = facts_->auth.channel_binding() == config::ChannelBindingMode::kRequire &&
                        !HISTORICAL_BUG("c9-binding-is-not-required");
  if (required && method != config::ServerMethod::kScramSha256) {
    return base::PermissionDenied(
        Asks(method) + ", which cannot bind the channel, and channel_binding=require");
  }
  return absl::OkStatus();
}

absl::Status LoginDialogue::OnPasswordRequest(const pg::AuthenticationView& view,
                                              std::string* answer) {
  const absl::Status none =
      base::PermissionDenied("the server asks for a password and none is configured");
  switch (view.code) {
    case pg::AuthenticationCode::kCleartextPassword:
      RETURN_IF_ERROR(CheckAllowed(config::ServerMethod::kPassword));
      if (facts_->password.empty()) {
        return none;
      }
      return pg::AppendPasswordMessage(answer, facts_->password) ? absl::OkStatus() : TooLong();
    case pg::AuthenticationCode::kMd5Password: {
      RETURN_IF_ERROR(CheckAllowed(config::ServerMethod::kMd5));
      if (facts_->password.empty() && facts_->md5_secret.empty()) {
        return none;
      }
      const std::string secret = facts_->password.empty()
                                     ? facts_->md5_secret
                                     : pg::Md5Secret(facts_->user, facts_->password);
      const std::string response = pg::Md5Response(secret, view.data);
      return pg::AppendPasswordMessage(answer, response) ? absl::OkStatus() : TooLong();
    }
    default:
      RETURN_IF_ERROR(CheckAllowed(config::ServerMethod::kScramSha256));
      if (facts_->password.empty() && !facts_->scram.has_value()) {
        return none;
      }
      return BeginSasl(view.data, answer);
  }
}

// Whatever the order of the offer. What is offered and cannot be right is refused as libpq does.
absl::Status LoginDialogue::BeginSasl(std::string_view mechanisms, std::string* answer) {
  const std::optional<std::vector<std::string_view>> offered = pg::ReadSaslMechanisms(mechanisms);
  if (!offered.has_value()) {
    return Malformed("list of SASL mechanisms");
  }
  const auto has = [&](std::string_view name) {
    const auto found = std::find(offered->begin(), offered->end(), name);
    return HISTORICAL_BUG("c8-only-the-first-mechanism") ? found == offered->begin()
                                                         : found != offered->end();
  };
  const bool plus = has(pg::kScramSha256Plus);
  const bool plain = has(pg::kScramSha256);
  if (!plus && !plain) {
    return base::PermissionDenied(
        "the server offers no SASL mechanism that pgbraid has (it has SCRAM-SHA-256), but " +
        Listed(*offered));
  }
  ASSIGN_OR_RETURN(const pg::ChannelBinding binding, ChooseBinding(plus, plain));
  // PostgreSQL takes the user from the StartupMessage.
  scram_.emplace("", nonce_, binding);
  return pg::AppendSaslInitialResponse(answer, scram_->mechanism(), scram_->First())
             ? absl::OkStatus()
             : TooLong();
}

absl::StatusOr<pg::ChannelBinding> LoginDialogue::ChooseBinding(bool plus, bool plain) const {
  if (plus && tls_ == nullptr) {
    // Somebody between us may speak TLS with the server, and not with us.
    return base::PermissionDenied(
        "the server offers SCRAM-SHA-256-PLUS over a connection without TLS");
  }
  const config::ChannelBindingMode mode = facts_->auth.channel_binding();
  const bool able = tls_ != nullptr && !tls_->server_end_point.empty() &&
                    mode != config::ChannelBindingMode::kDisable;
  pg::ChannelBinding binding;
  if (plus && able) {
    binding.flag = pg::BindingFlag::kBound;
    binding.data = tls_->server_end_point;
    return binding;
  }
  if (mode == config::ChannelBindingMode::kRequire &&
      !HISTORICAL_BUG("c9-no-hash-so-no-binding")) {
    return base::PermissionDenied(
        able ? "the server does not offer to bind the channel, and channel_binding=require"
             : "this connection cannot be bound to its channel, and channel_binding=require");
  }
  if (!plain) {
    return base::PermissionDenied(
        "the server offers only to bind the channel, and this connection has none to bind");
  }
  binding.flag = able ? pg::BindingFlag::kNotOffered : pg::BindingFlag::kUnable;
  return binding;
}

absl::StatusOr<LoginDialogue::Step> LoginDialogue::OnChallenge(std::string_view server_first,
                                                               std::string* answer) {
  ASSIGN_OR_RETURN(challenge_, scram_->OnServerFirst(server_first));
  const std::optional<pg::Credential::Keys>& scram = facts_->scram;
  if (scram.has_value() && scram->of == challenge_) {
    RETURN_IF_ERROR(Derived(scram->keys, answer));
    return Step::kGoOn;
  }
  if (facts_->password.empty()) {
    return base::PermissionDenied(
        "the server stores another SCRAM secret of this user than the one the client was checked "
        "against; both must be the same, or a password must be configured");
  }
  return Step::kDerive;
}

absl::Status LoginDialogue::Derived(const pg::ScramKeys& keys, std::string* answer) {
  return pg::AppendSaslResponse(answer, scram_->Final(keys)) ? absl::OkStatus() : TooLong();
}

absl::Status LoginDialogue::OnOk() {
  if (!asked_ && !HISTORICAL_BUG("c10-ok-at-once")) {
    RETURN_IF_ERROR(CheckAllowed(config::ServerMethod::kNone));
  }
  if (scram_.has_value() && !scram_->verified() && !HISTORICAL_BUG("c10-no-signature")) {
    return base::PermissionDenied("the server says AuthenticationOk without having shown that it "
                                  "knows the password");
  }
  ok_ = true;
  return absl::OkStatus();
}

io::Task<absl::Status> Login(Connection* connection, const LoginFacts* facts,
                             base::Deadline deadline) {
  constexpr uint32_t kReadable = 1;
  const absl::Status sent = SendStartup(connection, *facts);
  CO_RETURN_IF_ERROR(sent);
  LoginDialogue dialogue(facts, pg::ScramClient::NewNonce(), connection->stream().tls());
  io::Event event(connection->stream().loop());
  connection->stream().NotifyReadable(&event, kReadable);
  const absl::Status result = co_await Talk(connection, &dialogue, facts, &event, deadline);
  connection->stream().NotifyReadable(nullptr, 0);
  co_return result;
}

io::Task<absl::Status> DialAndLogin(Connection* connection, const Dialler* dialler,
                                    const config::Server* server, const LoginFacts* facts,
                                    base::Deadline deadline, Dialled* dialled) {
  io::Stream& stream = connection->stream();
  absl::Status status = co_await dialler->Dial(&stream, server, deadline, dialled);
  CO_RETURN_IF_ERROR(status);
  const absl::Status in = co_await Login(connection, facts, deadline);
  const std::optional<Dialled> other =
      absl::IsPermissionDenied(in) ? dialler->OtherWay(*server, *dialled) : std::nullopt;
  if (!other.has_value()) {
    co_return in;
  }
  co_await stream.Close(stream.loop()->now());
  if (stream.error() == ECANCELED) {
    co_return in;  // aborted
  }
  connection->Renew();
  status = co_await dialler->DialAgain(&stream, &*other, deadline);
  if (!status.ok()) {
    co_return in;
  }
  *dialled = *other;
  status = co_await Login(connection, facts, deadline);
  co_return status;
}

}  // namespace backend
