#include "unit/session/house.h"

#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "gtest/gtest.h"
#include "pg/builders.h"
#include "pg/messages.h"
#include "support/epoch.h"
#include "support/pg_messages.h"

namespace session {
namespace {

constexpr int kRoundsAtMost = 2000;  // of at most 5 ms: a hung test fails, it does not hang
constexpr int kRoundsToSettle = 20;

}  // namespace

Peer::~Peer() { close(descriptor_); }

void Peer::Send(std::string_view bytes) {
  ASSERT_EQ(send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

bool Peer::Receive() {
  char buffer[4096];
  ssize_t got;
  while ((got = recv(descriptor_, buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
    got_.append(buffer, static_cast<size_t>(got));
  }
  ended_ = ended_ || got == 0 || errno != EAGAIN;
  return !ended_;
}

House::House(turn::Judge* judge, std::vector<config::NetRange> proxies) {
  config_.proxy_protocol_from = std::move(proxies);
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const io::Address any = *io::Address::Numeric("127.0.0.1", 0);
  EXPECT_EQ(bind(listener_, any.get(), any.length()), 0);
  EXPECT_EQ(listen(listener_, 16), 0);
  sockaddr_in bound{};
  socklen_t length = sizeof bound;
  getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &length);
  config_.primary.name = "primary";
  config_.primary.host = "127.0.0.1";
  config_.primary.port = ntohs(bound.sin_port);
  config_.primary.connect_timeout = absl::Seconds(5);
  config_.primary.sslmode = config::SslMode::kDisable;
  config::Service service;
  service.name = "*";
  service.primary = config_.primary;
  config_.services.push_back(service);

  loop_ = std::make_unique<io::Loop>(&engine_, &config_.limits, 1);
  serving_ = std::make_unique<io::Scope>(loop_.get());
  mirror::MirrorsTools tools;
  tools.loop = loop_.get();
  tools.epoch = support::PublishOne(&epochs_, config_, &resolver_);
  mirrors_ = std::make_unique<mirror::Mirrors>(tools);
  surroundings_.loop = loop_.get();
  surroundings_.epoch = tools.epoch;
  surroundings_.cancels = &cancels_;
  surroundings_.mirrors = mirrors_.get();
  surroundings_.metrics = &metrics_;
  surroundings_.backend_metrics = &backend_metrics_;
  surroundings_.judge = judge;
  AnotherClient();
}

House::~House() {
  clients_.clear();
  servers_.clear();
  for (int i = 0; i < kRoundsAtMost && !session_over(); ++i) {
    Turn();
  }
  EXPECT_TRUE(session_over());
  close(listener_);
}

Peer& House::AnotherClient() {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  clients_.push_back(std::make_unique<Peer>(ends[0]));
  serving_->Spawn(Serve(ends[1], clients_.size()));
  return *clients_.back();
}

io::Task<void> House::Serve(int descriptor, uint64_t id) {
  Session session(&surroundings_, id);
  if (id == 1) {
    session_ = &session;
  }
  co_await session.Run(descriptor);
  if (id == 1) {
    session_ = nullptr;
  }
}

void House::Turn() {
  loop_->RunOnce(loop_->now() + absl::Milliseconds(5));
  const int accepted = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (accepted >= 0) {
    servers_.push_back(std::make_unique<Peer>(accepted));
  }
  for (const std::unique_ptr<Peer>& client : clients_) {
    client->Receive();
  }
  for (const std::unique_ptr<Peer>& server : servers_) {
    server->Receive();
  }
}

void House::Settle() {
  for (int i = 0; i < kRoundsToSettle; ++i) {
    Turn();
  }
}

Peer& House::Server() {
  for (int i = 0; i < kRoundsAtMost && servers_.empty(); ++i) {
    Turn();
  }
  EXPECT_FALSE(servers_.empty());
  return *servers_.front();
}

Peer& House::NextServer() {
  for (int i = 0; i < kRoundsAtMost && servers_.size() < 2; ++i) {
    Turn();
  }
  EXPECT_EQ(servers_.size(), 2u);
  return *servers_.back();
}

bool House::Until(Peer& peer, std::string_view bytes) {
  for (int i = 0; i < kRoundsAtMost; ++i) {
    if (peer.got() == bytes) {
      return true;
    }
    if (peer.got().size() > bytes.size() || peer.ended()) {
      break;
    }
    Turn();
  }
  EXPECT_EQ(peer.got(), bytes);
  return peer.got() == bytes;
}

bool House::UntilEnded(Peer& peer) {
  for (int i = 0; i < kRoundsAtMost && !peer.ended(); ++i) {
    Turn();
  }
  return peer.ended();
}

std::string StartupMessage(std::string_view user) {
  std::string message;
  const pg::Setting parameters[] = {{"user", user}, {"database", "d"}};
  EXPECT_TRUE(pg::AppendStartupMessage(&message, pg::kProtocol30, parameters));
  return message;
}

void House::LogIn() {
  Client().Send(StartupMessage("u"));
  Peer& server = Server();
  ASSERT_TRUE(Until(server, StartupMessage("u")));
  std::string in;
  pg::AppendAuthenticationOk(&in);
  ASSERT_TRUE(pg::AppendBackendKeyData(&in, 4711, "abcd"));
  pg::AppendReadyForQuery(&in, 'I');
  server.Send(in);
  for (int i = 0; i < kRoundsAtMost && metrics_.logins.value() == 0; ++i) {
    Turn();
  }
  ASSERT_EQ(metrics_.logins.value(), 1u);
  Settle();
  ASSERT_EQ(Client().got().size(), in.size());
  Client().Forget();
  server.Forget();
}

}  // namespace session
