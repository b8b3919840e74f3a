// pgbraid's own login: what is answered to each method, what is not believed, and a whole login
// over a socket.
#include "backend/login.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/status.h"
#include "io/epoll_engine.h"
#include "io/scope.h"
#include "pg/scram.h"
#include "support/pg_messages.h"

namespace backend {
namespace {

constexpr std::string_view kNonce = "clientnonce";
constexpr std::string_view kSecret = "pencil";

std::string Authentication(uint32_t code, std::string_view data = "") {
  return support::Frame('R', support::Be32(code) + std::string(data));
}

std::string Refused(std::string_view sqlstate, std::string_view message) {
  return support::Frame('E', support::CString("SFATAL") + support::CString("VFATAL") + "C" +
                                 support::CString(sqlstate) + "M" + support::CString(message) +
                                 std::string(1, '\0'));
}

std::string Mechanisms() {
  return support::CString("SCRAM-SHA-256-PLUS") + support::CString("SCRAM-SHA-256") +
         std::string(1, '\0');
}

class LoginDialogueTest : public testing::Test {
 protected:
  absl::StatusOr<bool> Hear(std::string_view frame) {
    pg::Piece piece;
    piece.type = frame[0];
    piece.first = piece.last = true;
    piece.bytes = frame;
    piece.body = frame.substr(pg::kHeaderBytes);
    piece.body_length = static_cast<uint32_t>(piece.body.size());
    answer_.clear();
    return dialogue_.OnMessage(piece, &answer_);
  }
  // The server's side of SCRAM for the password that it knows.
  struct Server {
    std::string first;
    std::string final_message;
  };
  Server Scram(std::string_view password) {
    const std::string salt = "saltsalt";
    Server server;
    server.first = "r=" + std::string(kNonce) + "server,s=" + base::Base64Encode(salt) + ",i=4096";
    const std::string message = "n=,r=" + std::string(kNonce) + "," + server.first +
                                ",c=biws,r=" + std::string(kNonce) + "server";
    const pg::ScramKeys keys = pg::DeriveScramKeys(password, salt, 4096);
    const base::Sha256Digest signature = pg::ScramSignature(keys.server_key, message);
    server.final_message =
        "v=" + base::Base64Encode(std::string_view(reinterpret_cast<const char*>(signature.data()),
                                                   signature.size()));
    return server;
  }
  std::string Why(std::string_view frame) {
    const absl::StatusOr<bool> heard = Hear(frame);
    EXPECT_FALSE(heard.ok());
    const std::string why = heard.ok() ? "" : std::string(base::Message(heard.status()));
    EXPECT_EQ(why.find(kSecret), std::string::npos);
    return why;
  }

  LoginDialogue dialogue_{"shadow", kSecret, kNonce};
  std::string answer_;
};

TEST_F(LoginDialogueTest, TrustNeedsNoAnswer) {
  EXPECT_FALSE(*Hear(Authentication(0)));
  EXPECT_EQ(answer_, "");
  EXPECT_FALSE(*Hear(support::Frame('S', support::CString("a") + support::CString("b"))));
  EXPECT_TRUE(*Hear(support::Frame('Z', "I")));
}

TEST_F(LoginDialogueTest, CleartextAndMd5PasswordsAreSent) {
  EXPECT_FALSE(*Hear(Authentication(3)));
  EXPECT_EQ(answer_, support::Frame('p', support::CString(kSecret)));
  EXPECT_FALSE(*Hear(Authentication(5, "salt")));
  const std::string hash = pg::Md5Secret("shadow", kSecret);
  EXPECT_EQ(answer_, support::Frame('p', support::CString(pg::Md5Response(hash, "salt"))));
}

TEST_F(LoginDialogueTest, ScramIsVerifiedBothWays) {
  const Server server = Scram(kSecret);
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms())));
  EXPECT_NE(answer_.find("SCRAM-SHA-256"), std::string::npos);
  EXPECT_FALSE(*Hear(Authentication(11, server.first)));
  EXPECT_NE(answer_.find("p="), std::string::npos);
  EXPECT_FALSE(*Hear(Authentication(12, server.final_message)));
  EXPECT_FALSE(*Hear(Authentication(0)));
  EXPECT_TRUE(*Hear(support::Frame('Z', "I")));
}

TEST_F(LoginDialogueTest, OkWithoutTheServersSignatureIsNotBelieved) {
  ASSERT_TRUE(Hear(Authentication(10, Mechanisms())).ok());
  EXPECT_NE(Why(Authentication(0)).find("knows the password"), std::string::npos);
}

TEST_F(LoginDialogueTest, ServerThatDoesNotKnowThePasswordIsRefused) {
  const Server server = Scram("another");
  ASSERT_TRUE(Hear(Authentication(10, Mechanisms())).ok());
  ASSERT_TRUE(Hear(Authentication(11, server.first)).ok());
  EXPECT_NE(Why(Authentication(12, server.final_message)).find("signature"), std::string::npos);
}

TEST_F(LoginDialogueTest, MethodCannotChangeFromScramToPlain) {
  ASSERT_TRUE(Hear(Authentication(10, Mechanisms())).ok());
  EXPECT_NE(Why(Authentication(3)).find("changed"), std::string::npos);
  EXPECT_EQ(answer_, "");
}

TEST_F(LoginDialogueTest, OtherMethodsAreNamed) {
  EXPECT_NE(Why(Authentication(7)).find("GSS"), std::string::npos);
  EXPECT_NE(Why(Authentication(9)).find("SSPI"), std::string::npos);
  EXPECT_NE(Why(Authentication(2)).find("Kerberos"), std::string::npos);
}

TEST_F(LoginDialogueTest, ReadyBeforeAuthenticationIsAnError) {
  EXPECT_NE(Why(support::Frame('Z', "I")), "");
}

TEST_F(LoginDialogueTest, SaslContinueOutOfTurnIsAnError) {
  EXPECT_NE(Why(Authentication(11, "r=x")), "");
}

TEST_F(LoginDialogueTest, RefusalCarriesSqlstateAndMessage) {
  const absl::StatusOr<bool> heard = Hear(Refused("28P01", "password failed"));
  EXPECT_EQ(heard.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(base::Message(heard.status()), "28P01: password failed");
  EXPECT_EQ(Hear(Refused("3D000", "no")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Hear(Refused("57P03", "starting")).status().code(), absl::StatusCode::kUnavailable);
}

TEST(LoginDialogue, PasswordIsAskedForAndThereIsNone) {
  LoginDialogue dialogue("shadow", "", kNonce);
  std::string answer;
  const std::string frame = Authentication(5, "salt");
  pg::Piece piece;
  piece.type = 'R';
  piece.first = piece.last = true;
  piece.bytes = frame;
  piece.body = piece.bytes.substr(pg::kHeaderBytes);
  const absl::StatusOr<bool> heard = dialogue.OnMessage(piece, &answer);
  EXPECT_EQ(base::Message(heard.status()), "the server asks for a password and none is configured");
}

// A connection to a scripted server over a socket pair.
class LoginTest : public testing::Test {
 protected:
  LoginTest() {
    facts_.user = "shadow";
    facts_.password = kSecret;
    facts_.database = "d";
    facts_.parameters.emplace_back("TimeZone", "UTC");
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    server_ = ends[0];
    connection_.stream().Adopt(ends[1], io::Traffic::kServer);
  }
  ~LoginTest() override {
    if (server_ >= 0) {
      close(server_);
    }
    scope_.Spawn(Close());
    while (scope_.running() > 0) {
      Turn();
    }
  }
  io::Task<void> Close() { co_await connection_.stream().Close(loop_.now()); }
  io::Task<void> Run(absl::Duration within) {
    result_ = co_await Login(&connection_, &facts_, loop_.In(within));
  }
  void Begin(absl::Duration within) {
    result_ = base::Internal("still running");
    scope_.Spawn(Run(within));
  }
  void Turn() { loop_.RunOnce(engine_.Now() + absl::Milliseconds(5)); }
  void Finish() {
    while (scope_.running() > 0) {
      Turn();
    }
  }
  void Send(std::string_view bytes) {
    ASSERT_EQ(write(server_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  std::string Receive(size_t bytes) {
    std::string got;
    while (got.size() < bytes) {
      Turn();
      char buffer[512];
      const ssize_t count = recv(server_, buffer, sizeof buffer, MSG_DONTWAIT);
      got.append(buffer, count > 0 ? static_cast<size_t>(count) : 0);
    }
    return got;
  }

  base::Limits limits_;
  io::EpollEngine engine_{64 * 1024};
  io::Loop loop_{&engine_, &limits_, 1};
  BackendMetrics metrics_;
  Connection connection_{&loop_, &metrics_, false};
  io::Scope scope_{&loop_};
  LoginFacts facts_;
  absl::Status result_;
  int server_ = -1;
};

TEST_F(LoginTest, WholeLoginLeavesTheConnectionReady) {
  Begin(absl::Seconds(30));
  const std::string startup = Receive(20);
  for (const std::string_view word : {"user", "shadow", "database", "TimeZone", "UTC"}) {
    EXPECT_NE(startup.find(word), std::string::npos) << word;
  }
  Send(Authentication(3));
  EXPECT_EQ(Receive(5), support::Frame('p', support::CString(kSecret)));
  Send(Authentication(0) + support::Frame('K', support::Be32(1) + support::Be32(2)) +
       support::Frame('Z', "I"));
  Finish();
  EXPECT_TRUE(result_.ok()) << result_;
  EXPECT_FALSE(connection_.machine().starting());
}

TEST_F(LoginTest, EndOfTheStreamIsUnavailable) {
  Begin(absl::Seconds(30));
  Receive(20);
  close(server_);
  server_ = -1;
  Finish();
  EXPECT_EQ(result_.code(), absl::StatusCode::kUnavailable);
}

TEST_F(LoginTest, SilentServerMeetsTheDeadline) {
  Begin(absl::Milliseconds(1));
  Finish();
  EXPECT_EQ(result_.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(LoginTest, NonsenseIsAnError) {
  Begin(absl::Seconds(30));
  Send("HTTP/1.1 400 Bad Request\r\n\r\n");
  Finish();
  EXPECT_EQ(result_.code(), absl::StatusCode::kUnavailable);
}

TEST_F(LoginTest, RowsDuringLoginAreAnError) {
  Begin(absl::Seconds(30));
  Send(support::DataRow({"x"}));
  Finish();
  EXPECT_EQ(result_.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace backend
