#include "unit/session/gate_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "gtest/gtest.h"
#include "pg/builders.h"
#include "pg/views.h"
#include "support/epoch.h"
#include "support/pg_messages.h"

namespace session {
namespace {

constexpr int kRoundsAtMost = 4000;  // of at most 5 ms: a hung test fails, it does not hang

// Takes what has arrived; false at the end.
bool Take(int descriptor, std::string* to) {
  char buffer[4096];
  ssize_t got;
  while ((got = recv(descriptor, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
    to->append(buffer, static_cast<size_t>(got));
  }
  return got != 0 && (got > 0 || errno == EAGAIN);
}

void Put(int descriptor, std::string_view bytes) {
  ASSERT_EQ(send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

}  // namespace

// -- the client -----------------------------------------------------------------------------------

GateClient::GateClient(GateRig* rig, std::string_view user, absl::Duration within)
    : rig_(rig),
      user_(user),
      stream_(rig->loop()),
      reader_(pg::Side::kFrontend, rig->limits().frame_held_max, 512),
      event_(rig->loop()),
      scope_(rig->loop()) {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  descriptor_ = ends[0];
  stream_.Adopt(ends[1], io::Traffic::kClient);
  stream_.NotifyReadable(&event_, 1);
  claim_.user = user_;
  claim_.database = "shop";
  claim_.service = &rig->service();
  claim_.tls = rig->tls();
  scope_.Spawn(Run(within));
}

GateClient::~GateClient() {
  Hangup();
  End();
  scope_.Spawn(Close());
  while (scope_.running() > 0) {
    rig_->Turn();
  }
}

io::Task<void> GateClient::Run(absl::Duration within) {
  ClientLink link;
  link.stream = &stream_;
  link.reader = &reader_;
  link.slice = &slice_;
  link.event = &event_;
  identity_ = co_await rig_->authenticator().Admit(&claim_, &link, rig_->loop()->In(within));
  over_ = true;
}

io::Task<void> GateClient::Close() {
  stream_.NotifyReadable(nullptr, 0);
  slice_.Reset();
  co_await stream_.Close(rig_->loop()->now());
}

void GateClient::Hangup() {
  if (descriptor_ >= 0) {
    close(descriptor_);
    descriptor_ = -1;
  }
}

void GateClient::Turn() {
  rig_->Turn();
  if (descriptor_ >= 0) {
    Take(descriptor_, &got_);
  }
}

void GateClient::Send(std::string_view bytes) {
  const size_t step = rig_->slowly() ? 1 : bytes.size();
  for (size_t at = 0; at < bytes.size(); at += step) {
    Put(descriptor_, bytes.substr(at, step));
    Turn();
  }
}

std::string GateClient::NextFrame() {
  for (int i = 0; i < kRoundsAtMost; ++i) {
    const size_t length = got_.size() < 5 ? 0 : base::LoadBe32(got_.data() + 1) + 1u;
    if (length != 0 && got_.size() >= length) {
      const std::string frame = got_.substr(0, length);
      got_.erase(0, length);
      return frame;
    }
    if (over_ && got_.empty()) {
      Turn();  // what was written in the last round
      if (got_.empty()) {
        return "";
      }
    }
    Turn();
  }
  ADD_FAILURE() << "no frame came";
  return "";
}

std::string GateClient::End() {
  for (int i = 0; i < kRoundsAtMost && !over_; ++i) {
    Turn();
  }
  EXPECT_TRUE(over_);
  while (descriptor_ >= 0) {
    const std::string frame = NextFrame();
    if (frame.empty()) {
      break;
    }
    if (frame[0] == 'E') {
      const pg::ErrorView error = pg::ReadError(std::string_view(frame).substr(5));
      EXPECT_EQ(error.severity, "FATAL");
      error_ = std::string(error.sqlstate) + " " + std::string(error.message);
    }
  }
  return identity_.has_value() ? "in" : error_;
}

// -- the server -----------------------------------------------------------------------------------

GateServer::GateServer() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const io::Address any = *io::Address::Numeric("127.0.0.1", 0);
  EXPECT_EQ(bind(listener_, any.get(), any.length()), 0);
  EXPECT_EQ(listen(listener_, 16), 0);
  sockaddr_in bound{};
  socklen_t length = sizeof bound;
  getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &length);
  port = ntohs(bound.sin_port);
}

GateServer::~GateServer() {
  LoseAll();
  close(listener_);
}

void GateServer::LoseAll() {
  for (const Link& link : links_) {
    close(link.descriptor);
  }
  links_.clear();
}

void GateServer::Turn() {
  const int accepted = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (accepted >= 0) {
    Link link;
    link.descriptor = accepted;
    links_.push_back(link);
  }
  std::erase_if(links_, [this](Link& link) {
    const bool over = !TurnLink(&link);
    if (over) {
      close(link.descriptor);
    }
    return over;
  });
}

bool GateServer::TurnLink(Link* link) {
  const bool open = Take(link->descriptor, &link->bytes);
  for (;;) {
    const size_t head = link->started ? 1 : 0;
    if (link->bytes.size() < head + 4) {
      return open;
    }
    const size_t length = head + base::LoadBe32(link->bytes.data() + head);
    if (link->bytes.size() < length) {
      return open;
    }
    const std::string frame = link->bytes.substr(0, length);
    link->bytes.erase(0, length);
    const std::string reply =
        Reply(link, head == 0 ? '\0' : frame[0], std::string_view(frame).substr(head + 4));
    if (!reply.empty()) {
      Put(link->descriptor, reply);
    }
  }
}

std::string GateServer::Reply(Link* link, char type, std::string_view body) {
  std::string reply;
  switch (type) {
    case '\0':
      link->started = true;
      ++logins;
      startup = body;
      if (refuse_logins) {
        pg::AppendErrorResponse(&reply,
                                {.severity = "FATAL", .sqlstate = "28P01", .message = "no"});
        return reply;
      }
      pg::AppendAuthenticationOk(&reply);
      pg::AppendReadyForQuery(&reply, 'I');
      return reply;
    case 'P':
      query = pg::ReadParse(body)->text;
      return "";
    case 'B': {
      std::string_view parameters = pg::ReadBind(body)->parameters;
      link->user = pg::NextValue(&parameters)->bytes;
      return "";
    }
    case 'S':
      ++questions;
      return RowsFor(link->user);
    default:
      return "";
  }
}

std::string GateServer::RowsFor(const std::string& user) {
  std::string reply;
  if (fail_questions) {
    pg::AppendErrorResponse(
        &reply, {.severity = "ERROR", .sqlstate = "42501", .message = "permission denied"});
    pg::AppendReadyForQuery(&reply, 'I');
    return reply;
  }
  reply = support::Frame('1', "") + support::Frame('2', "");
  const std::string& name = answer_as.empty() ? user : answer_as;
  const auto found = users.find(name);
  if (found != users.end()) {
    reply += support::DataRow({name, found->second});
  }
  reply += support::CommandComplete("SELECT 1");
  pg::AppendReadyForQuery(&reply, 'I');
  return reply;
}

// -- the rig --------------------------------------------------------------------------------------

GateRig::GateRig() {
  config::Service service;
  service.name = "*";
  service.primary.name = "primary";
  service.primary.host = "127.0.0.1";
  service.primary.port = server_.port;
  service.primary.connect_timeout = absl::Seconds(5);
  service.primary.sslmode = config::SslMode::kDisable;  // the scripted server knows no TLS
  config_.services.push_back(service);
}

GateRig::~GateRig() {
  client_.reset();
  if (authenticator_ != nullptr) {
    io::Scope scope(&loop_);
    scope.Spawn(Close());
    while (scope.running() > 0) {
      Turn();
    }
  }
}

io::Task<void> GateRig::Close() { co_await authenticator_->Close(); }

void GateRig::AskServer() {
  rules().auth_user = "asker";
  rules().auth_password = "secret";
}

Authenticator& GateRig::authenticator() {
  if (authenticator_ == nullptr) {
    AuthenticatorTools tools;
    tools.loop = &loop_;
    tools.epoch = support::PublishOne(&epochs_, config_, &resolver_);
    tools.deriver = &deriver_;
    tools.worker = &worker_;
    tools.metrics = &metrics_;
    tools.backend_metrics = &backend_metrics_;
    tools.process_secret = "process secret";
    authenticator_ = std::make_unique<Authenticator>(tools);
  }
  return *authenticator_;
}

void GateRig::Turn() {
  loop_.RunOnce(loop_.now() + absl::Milliseconds(5));
  server_.Turn();
}

void GateRig::Begin(std::string_view user, absl::Duration within) {
  client_.reset();
  client_ = std::make_unique<GateClient>(this, user, within);
}

std::string GateRig::LogIn(std::string_view user, std::string_view password) {
  Begin(user);
  pg::ScramClient scram("", "clientnonce");
  std::string refusal;
  method_.clear();
  for (;;) {
    const std::string frame = client_->NextFrame();
    if (frame.empty()) {
      break;
    }
    if (frame[0] == 'E') {
      const pg::ErrorView error = pg::ReadError(std::string_view(frame).substr(5));
      refusal = std::string(error.sqlstate) + " " + std::string(error.message);
    } else {
      Answer(frame, user, password, &scram);
    }
  }
  const std::string end = client_->End();
  identity_ = client_->identity();
  return end == "in" ? end : refusal;
}

void GateRig::Answer(std::string_view frame, std::string_view user, std::string_view password,
                     pg::ScramClient* scram) {
  const auto request = pg::ReadAuthentication(frame.substr(5));
  ASSERT_TRUE(frame[0] == 'R' && request.has_value());
  std::string answer;
  switch (request->code) {
    case pg::AuthenticationCode::kCleartextPassword:
      method_ = "password";
      ASSERT_TRUE(pg::AppendPasswordMessage(&answer, password));
      break;
    case pg::AuthenticationCode::kMd5Password:
      method_ = "md5";
      ASSERT_TRUE(pg::AppendPasswordMessage(
          &answer, pg::Md5Response(pg::Md5Secret(user, password), request->data)));
      break;
    case pg::AuthenticationCode::kSasl:
      method_ = "scram";
      ASSERT_TRUE(pg::AppendSaslInitialResponse(&answer, pg::kScramSha256, scram->First()));
      break;
    case pg::AuthenticationCode::kSaslContinue: {
      const auto asked = scram->OnServerFirst(request->data);
      ASSERT_TRUE(asked.ok());
      salt_ = asked->salt;
      iterations_ = asked->iterations;
      const pg::ScramKeys keys = pg::DeriveScramKeys(password, asked->salt, asked->iterations);
      ASSERT_TRUE(pg::AppendSaslResponse(&answer, scram->Final(keys)));
      break;
    }
    case pg::AuthenticationCode::kSaslFinal:
      EXPECT_TRUE(scram->Verify(request->data).ok());
      return;
    default:
      FAIL() << "another request";
  }
  client_->Send(answer);
}

}  // namespace session
