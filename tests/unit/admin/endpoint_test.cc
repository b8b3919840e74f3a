// The endpoint on the epoll engine and real loopback sockets: the loop turns in this thread, the
// test's own sockets never block.
#include "admin/endpoint.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "io/epoll_engine.h"
#include "unit/admin/fake_source.h"

namespace admin {
namespace {

constexpr std::string_view kLivez = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

class Client {
 public:
  // `receive_bytes`: of the kernel's buffer; 0: its choice.
  explicit Client(const io::Address& address, int receive_bytes = 0)
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_bytes > 0) {
      setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    }
    EXPECT_EQ(connect(socket_, address.get(), address.length()), 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(socket_); }

  void Send(std::string_view bytes) {
    EXPECT_EQ(send(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  void FinishSend() { shutdown(socket_, SHUT_WR); }
  // Reads what there is.
  void Receive() {
    std::array<char, 65536> buffer;
    ssize_t got = 0;
    do {
      got = recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
      received_.append(buffer.data(), got > 0 ? static_cast<size_t>(got) : 0);
    } while (got > 0);
    ended_ = ended_ || got == 0 || errno != EAGAIN;
  }
  const std::string& received() const { return received_; }
  bool ended() const { return ended_; }

 private:
  const int socket_;
  std::string received_;
  bool ended_ = false;
};

size_t Count(const std::string& text, std::string_view what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++count;
  }
  return count;
}

class EndpointTest : public testing::Test {
 protected:
  void Start() {
    endpoint_ = std::make_unique<Endpoint>(&loop_, &source_, &source_, patience_);
    const absl::StatusOr<io::Address> address = io::Address::Numeric("127.0.0.1", 0);
    const absl::StatusOr<io::Address> bound = endpoint_->Listen(*address);
    ASSERT_TRUE(bound.ok());
    address_ = *bound;
  }
  void TearDown() override { Stop(); }
  void Stop() {
    if (endpoint_ != nullptr) {
      io::Scope scope(&loop_);
      scope.Spawn(endpoint_->Stop());
      Until([&] { return scope.running() == 0; });
      endpoint_.reset();
    }
  }

  // Turns the loop until `done()`.
  template <typename Done>
  void Until(Done done) {
    const base::Instant end = base::Instant::MonotonicNow() + absl::Seconds(30);
    while (!done()) {
      ASSERT_LT(base::Instant::MonotonicNow(), end) << "nothing happened for too long";
      loop_.RunOnce(base::Instant::MonotonicNow() + absl::Milliseconds(5));
    }
  }
  void UntilAnswers(Client* client, size_t count) {
    Until([&] {
      client->Receive();
      return Count(client->received(), "HTTP/1.1 ") >= count;
    });
  }
  void UntilEnded(Client* client) {
    Until([&] {
      client->Receive();
      return client->ended();
    });
  }
  const AdminMetrics& metrics() const { return endpoint_->metrics(); }

  base::Limits limits_;
  io::EpollEngine engine_{64 * 1024};
  io::Loop loop_{&engine_, &limits_, 1};
  FakeSource source_;
  Patience patience_;
  std::unique_ptr<Endpoint> endpoint_;
  io::Address address_;
};

TEST_F(EndpointTest, AnswersAndKeepsTheConnection) {
  Start();
  Client client(address_);
  client.Send(kLivez);
  UntilAnswers(&client, 1);
  EXPECT_TRUE(client.received().ends_with("\r\n\r\nalive\n")) << client.received();
  client.Send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  Until([&] {
    client.Receive();
    return client.received().ends_with("# EOF\n");
  });
  EXPECT_FALSE(client.ended());
  EXPECT_EQ(metrics().requests.value(), 2u);
  EXPECT_EQ(metrics().connections.value(), 1);
}

TEST_F(EndpointTest, AnswersAPipelineInOrder) {
  Start();
  Client client(address_);
  std::string pipeline;
  for (int i = 0; i < 100; ++i) {
    pipeline += kLivez;
    pipeline += "HEAD /nowhere HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  client.Send(pipeline + "GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  UntilEnded(&client);
  EXPECT_EQ(Count(client.received(), "HTTP/1.1 "), 201u);
  EXPECT_EQ(Count(client.received(), "alive\nHTTP/1.1 404 "), 100u);
  EXPECT_TRUE(client.received().ends_with("\r\n\r\nready\n"));
}

TEST_F(EndpointTest, CarriesOutAnOrderOnce) {
  source_.reports.emplace_back().name = "m";
  Start();
  Client client(address_);
  client.Send("GET /v1/mirrors/m/gaps HTTP/1.1\r\nHost: a\r\n\r\n"
              "DELETE /v1/mirrors/m/gaps?table=t HTTP/1.1\r\nHost: a\r\n\r\n");
  UntilAnswers(&client, 2);
  EXPECT_TRUE(client.received().ends_with("{\"cleared\":0}\n"));
  ASSERT_EQ(source_.obeyed.size(), 1u);
  EXPECT_EQ(source_.obeyed[0].mirror, "m");
  EXPECT_EQ(source_.obeyed[0].table, "t");
}

TEST_F(EndpointTest, P6P7AnswersABadRequestAndReadsNoMore) {
  Start();
  Client client(address_);
  client.Send(std::string(kLivez) + "GET /livez HTTP/1.1\nHost: a\n\n" + std::string(kLivez));
  UntilEnded(&client);
  EXPECT_EQ(Count(client.received(), "alive"), 1u);
  EXPECT_EQ(Count(client.received(), "HTTP/1.1 400 Bad Request\r\n"), 1u);
  EXPECT_EQ(Count(client.received(), "Connection: close\r\n"), 1u);
  EXPECT_EQ(metrics().rejected.value(), 1u);
}

TEST_F(EndpointTest, P6P10RefusesABody) {
  Start();
  Client client(address_);
  client.Send("GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
  UntilEnded(&client);
  EXPECT_TRUE(client.received().starts_with("HTTP/1.1 413 ")) << client.received();
}

TEST_F(EndpointTest, P9ClosesAConnectionThatIsIdle) {
  patience_.idle = absl::Milliseconds(20);
  Start();
  Client client(address_);
  UntilEnded(&client);
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(metrics().timeouts.value(), 1u);
}

TEST_F(EndpointTest, P9ClosesAConnectionThatAsksSlowly) {
  patience_.request = absl::Milliseconds(20);
  Start();
  Client client(address_);
  client.Send("GET /livez HTTP/1.1\r\n");
  UntilEnded(&client);
  EXPECT_EQ(client.received(), "");
  EXPECT_EQ(metrics().timeouts.value(), 1u);
}

TEST_F(EndpointTest, P9CutsAReaderThatDoesNotRead) {
  patience_.answer = absl::Milliseconds(20);
  limits_.close_timeout = absl::Milliseconds(20);
  source_.help.assign(8 << 20, 'x');
  Start();
  Client client(address_, 4096);
  client.Send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  Until([&] { return metrics().timeouts.value() == 1 && metrics().connections.value() == 0; });
  EXPECT_EQ(metrics().requests.value(), 1u);
}

TEST_F(EndpointTest, P9ServesABoundedNumberOfConnections) {
  Start();
  std::vector<std::unique_ptr<Client>> clients;
  for (uint32_t i = 0; i < Endpoint::kConnectionsMax; ++i) {
    clients.push_back(std::make_unique<Client>(address_));
  }
  Until([&] { return metrics().connections.value() == Endpoint::kConnectionsMax; });
  Client refused(address_);
  UntilEnded(&refused);
  EXPECT_EQ(metrics().refused.value(), 1u);
  clients.front()->Send(kLivez);
  UntilAnswers(clients.front().get(), 1);
  clients.clear();
  Until([&] { return metrics().connections.value() == 0; });
  Client next(address_);
  next.Send(kLivez);
  UntilAnswers(&next, 1);
}

TEST_F(EndpointTest, AnswersAClientThatClosedItsSide) {
  Start();
  Client client(address_);
  client.Send(kLivez);
  client.FinishSend();
  UntilEnded(&client);
  EXPECT_TRUE(client.received().ends_with("alive\n"));
}

TEST_F(EndpointTest, StopsWithConnectionsOpen) {
  Start();
  Client idle(address_);
  Client asking(address_);
  asking.Send("GET /li");
  Until([&] { return metrics().connections.value() == 2; });
  Stop();
  UntilEnded(&idle);
  UntilEnded(&asking);
}

TEST_F(EndpointTest, SaysWhyItCannotListen) {
  const int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const io::Address any = *io::Address::Numeric("127.0.0.1", 0);
  ASSERT_EQ(bind(taken, any.get(), any.length()), 0);
  ASSERT_EQ(listen(taken, 1), 0);
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  ASSERT_EQ(getsockname(taken, reinterpret_cast<sockaddr*>(&bound), &length), 0);
  Endpoint endpoint(&loop_, &source_, &source_);
  const absl::StatusOr<io::Address> result =
      endpoint.Listen(io::Address::From(reinterpret_cast<const sockaddr*>(&bound), length));
  EXPECT_FALSE(result.ok());
  EXPECT_NE(std::string(result.status().message()).find("in use"), std::string::npos);
  close(taken);
}

}  // namespace
}  // namespace admin
