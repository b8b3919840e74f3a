#include "backend/login.h"

#include <algorithm>

#include "base/bytes.h"
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
  }
  return base::Error(code, std::string(error.sqlstate) + ": " +
                               std::string(error.message.substr(0, kRefusalTextMax)));
}

absl::Status Malformed(std::string_view what) {
  return base::Unavailable("the server sent a malformed " + std::string(what));
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

// What has arrived; true exactly when the login is over.
absl::StatusOr<bool> TakePieces(Connection* connection, LoginDialogue* dialogue) {
  for (;;) {
    pg::Piece piece;
    turn::Reply reply;
    const pg::ReadResult result = connection->NextLoginPiece(&piece, &reply);
    if (result == pg::ReadResult::kBad) {
      return base::Unavailable("the server does not speak the protocol: " + connection->fault());
    }
    if (result == pg::ReadResult::kMore) {
      return false;
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
    ASSIGN_OR_RETURN(const bool over, dialogue->OnMessage(piece, &answer));
    if (over) {
      return true;
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

io::Task<absl::Status> Talk(Connection* connection, LoginDialogue* dialogue, io::Event* event,
                            base::Deadline deadline) {
  for (;;) {
    const absl::StatusOr<bool> over = TakePieces(connection, dialogue);
    CO_RETURN_IF_ERROR(over.status());
    if (*over) {
      co_return absl::OkStatus();
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

LoginDialogue::LoginDialogue(std::string_view user, std::string_view password,
                             std::string_view nonce)
    : user_(user), password_(password), nonce_(nonce) {}

absl::StatusOr<bool> LoginDialogue::OnMessage(const pg::Piece& piece, std::string* answer) {
  switch (static_cast<pg::BackendType>(piece.type)) {
    case pg::BackendType::kAuthentication:
      RETURN_IF_ERROR(OnAuthentication(piece.body, answer));
      return false;
    case pg::BackendType::kErrorResponse:
      return Refusal(piece.body);
    case pg::BackendType::kReadyForQuery:
      if (!ok_) {
        return base::Unavailable("the server is ready before it authenticated anybody");
      }
      return true;
    default:  // ParameterStatus, BackendKeyData, notices: nothing to answer
      return false;
  }
}

absl::Status LoginDialogue::OnAuthentication(std::string_view body, std::string* answer) {
  const std::optional<pg::AuthenticationView> view = pg::ReadAuthentication(body);
  if (!view.has_value()) {
    return Malformed("authentication request");
  }
  if (ok_) {
    return base::Unavailable("the server asked for authentication after AuthenticationOk");
  }
  const bool asks = view->code == pg::AuthenticationCode::kCleartextPassword ||
                    view->code == pg::AuthenticationCode::kMd5Password ||
                    view->code == pg::AuthenticationCode::kSasl;
  if (asks && password_.empty()) {
    return base::PermissionDenied("the server asks for a password and none is configured");
  }
  if (asks && scram_.has_value()) {
    return base::PermissionDenied("the server changed the authentication method");
  }
  switch (view->code) {
    case pg::AuthenticationCode::kOk:
      return OnOk();
    case pg::AuthenticationCode::kCleartextPassword:
      return pg::AppendPasswordMessage(answer, password_) ? absl::OkStatus() : TooLong();
    case pg::AuthenticationCode::kMd5Password: {
      const std::string response =
          pg::Md5Response(pg::Md5Secret(user_, password_), view->data);
      return pg::AppendPasswordMessage(answer, response) ? absl::OkStatus() : TooLong();
    }
    case pg::AuthenticationCode::kSasl:
      return BeginSasl(view->data, answer);
    case pg::AuthenticationCode::kSaslContinue: {
      if (!scram_.has_value()) {
        break;
      }
      ASSIGN_OR_RETURN(const pg::ScramChallenge asked, scram_->OnServerFirst(view->data));
      const std::string final_message =
          scram_->Final(pg::DeriveScramKeys(password_, asked.salt, asked.iterations));
      return pg::AppendSaslResponse(answer, final_message) ? absl::OkStatus() : TooLong();
    }
    case pg::AuthenticationCode::kSaslFinal:
      if (!scram_.has_value()) {
        break;
      }
      return scram_->Verify(view->data);
    default:
      return base::PermissionDenied("the server asks for " + std::string(pg::Name(view->code)) +
                                    ", a method pgbraid does not have (it has trust, password, "
                                    "md5 and scram-sha-256)");
  }
  return base::Unavailable("the server sent " + std::string(pg::Name(view->code)) +
                           " without having asked for SASL");
}

absl::Status LoginDialogue::BeginSasl(std::string_view mechanisms, std::string* answer) {
  const std::optional<std::vector<std::string_view>> offered = pg::ReadSaslMechanisms(mechanisms);
  if (!offered.has_value()) {
    return Malformed("list of SASL mechanisms");
  }
  if (std::find(offered->begin(), offered->end(), pg::kScramSha256) == offered->end()) {
    return base::PermissionDenied("the server offers no SASL mechanism that pgbraid has (it has " +
                                  std::string(pg::kScramSha256) + ")");
  }
  // PostgreSQL takes the user from the StartupMessage.
  scram_.emplace("", nonce_);
  return pg::AppendSaslInitialResponse(answer, pg::kScramSha256, scram_->First())
             ? absl::OkStatus()
             : TooLong();
}

absl::Status LoginDialogue::OnOk() {
  if (scram_.has_value() && !scram_->verified()) {
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
  LoginDialogue dialogue(facts->user, facts->password, pg::ScramClient::NewNonce());
  io::Event event(connection->stream().loop());
  connection->stream().NotifyReadable(&event, kReadable);
  const absl::Status result = co_await Talk(connection, &dialogue, &event, deadline);
  connection->stream().NotifyReadable(nullptr, 0);
  co_return result;
}

}  // namespace backend
