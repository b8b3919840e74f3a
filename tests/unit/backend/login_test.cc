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

std::string Mechanisms(std::string_view first = "SCRAM-SHA-256", std::string_view second = "") {
  return support::CString(first) + (second.empty() ? "" : support::CString(second)) +
         std::string(1, '\0');
}

class LoginDialogueTest : public testing::Test {
 protected:
  LoginDialogueTest() {
    facts_.user = "shadow";
    facts_.password = kSecret;
    tls_.server_end_point = "0123456789abcdef0123456789abcdef";
  }
  // True exactly when the login is over. Keys are derived at once.
  absl::StatusOr<bool> Hear(std::string_view frame) {
    pg::Piece piece;
    piece.type = frame[0];
    piece.first = piece.last = true;
    piece.bytes = frame;
    piece.body = frame.substr(pg::kHeaderBytes);
    piece.body_length = static_cast<uint32_t>(piece.body.size());
    answer_.clear();
    if (!dialogue_.has_value()) {
      dialogue_.emplace(&facts_, kNonce, over_tls_ ? &tls_ : nullptr);
    }
    const absl::StatusOr<LoginDialogue::Step> step = dialogue_->OnMessage(piece, &answer_);
    if (!step.ok()) {
      return step.status();
    }
    if (*step == LoginDialogue::Step::kDerive) {
      const pg::ScramChallenge& asked = dialogue_->challenge();
      ++derived_;
      const absl::Status made = dialogue_->Derived(
          pg::DeriveScramKeys(facts_.password, asked.salt, asked.iterations), &answer_);
      EXPECT_TRUE(made.ok());
    }
    return *step == LoginDialogue::Step::kOver;
  }
  void Again() { dialogue_.reset(); }
  // The server's side of SCRAM for the password that it knows.
  struct Server {
    std::string first;
    std::string final_message;
  };
  Server Scram(std::string_view password, const std::string& channel = "n,,") {
    const std::string salt = "saltsalt";
    Server server;
    server.first = "r=" + std::string(kNonce) + "server,s=" + base::Base64Encode(salt) + ",i=4096";
    const std::string message = "n=,r=" + std::string(kNonce) + "," + server.first +
                                ",c=" + base::Base64Encode(channel) + ",r=" +
                                std::string(kNonce) + "server";
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

  LoginFacts facts_;
  io::TlsFacts tls_;
  bool over_tls_ = false;
  int derived_ = 0;
  std::optional<LoginDialogue> dialogue_;
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
  Again();
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

TEST_F(LoginDialogueTest, PasswordIsAskedForAndThereIsNone) {
  facts_.password.clear();
  EXPECT_EQ(Why(Authentication(5, "salt")),
            "the server asks for a password and none is configured");
}

TEST_F(LoginDialogueTest, ASecondRequestIsRefused) {
  EXPECT_FALSE(*Hear(Authentication(5, "salt")));
  EXPECT_NE(Why(Authentication(3)).find("twice"), std::string::npos);
}

// Whatever the order of what is offered, and whatever else is.
TEST_F(LoginDialogueTest, C8_TheMechanismIsFoundInAnyOrder) {
  for (const bool plus_first : {true, false}) {
    over_tls_ = true;
    Again();
    const std::string list = plus_first ? Mechanisms("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")
                                        : Mechanisms("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS");
    EXPECT_FALSE(*Hear(Authentication(10, list)));
    EXPECT_NE(answer_.find("SCRAM-SHA-256-PLUS"), std::string::npos);
    EXPECT_NE(answer_.find("p=tls-server-end-point,,"), std::string::npos);
  }
  over_tls_ = false;
  Again();
  const absl::StatusOr<bool> heard =
      Hear(Authentication(10, Mechanisms("OAUTHBEARER", "SCRAM-SHA-256")));
  ASSERT_TRUE(heard.ok()) << heard.status();
  EXPECT_FALSE(*heard);
  EXPECT_NE(answer_.find("n,,n="), std::string::npos);
}

TEST_F(LoginDialogueTest, C8_NoMechanismOfOursIsAClearError) {
  EXPECT_NE(Why(Authentication(10, Mechanisms("OAUTHBEARER"))).find("no SASL mechanism"),
            std::string::npos);
  Again();
  EXPECT_NE(Why(Authentication(10, std::string(1, '\0'))).find("no SASL mechanism"),
            std::string::npos);
  Again();
  EXPECT_NE(Why(Authentication(10, "SCRAM-SHA-256")).find("malformed"), std::string::npos);
}

TEST_F(LoginDialogueTest, C9_TheChannelIsBound) {
  over_tls_ = true;
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms("SCRAM-SHA-256-PLUS"))));
  const Server server = Scram(kSecret, "p=tls-server-end-point,," + tls_.server_end_point);
  EXPECT_FALSE(*Hear(Authentication(11, server.first)));
  EXPECT_FALSE(*Hear(Authentication(12, server.final_message)));
  EXPECT_FALSE(*Hear(Authentication(0)));
  EXPECT_TRUE(*Hear(support::Frame('Z', "I")));
}

TEST_F(LoginDialogueTest, C9_AStrippedOfferIsTold) {
  over_tls_ = true;
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms("SCRAM-SHA-256"))));
  EXPECT_NE(answer_.find("y,,n="), std::string::npos);  // a server that offered PLUS refuses this
  Again();
  EXPECT_TRUE(facts_.auth.SetChannelBinding("require").ok());
  EXPECT_NE(Why(Authentication(10, Mechanisms("SCRAM-SHA-256"))).find("channel_binding=require"),
            std::string::npos);
}

TEST_F(LoginDialogueTest, C9_ACertificateWithoutAHashGivesNoBinding) {
  over_tls_ = true;
  tls_.server_end_point.clear();
  EXPECT_FALSE(
      *Hear(Authentication(10, Mechanisms("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))));
  EXPECT_NE(answer_.find("n,,n="), std::string::npos);
  Again();
  EXPECT_NE(Why(Authentication(10, Mechanisms("SCRAM-SHA-256-PLUS"))), "");
  Again();
  EXPECT_TRUE(facts_.auth.SetChannelBinding("require").ok());
  EXPECT_NE(Why(Authentication(10, Mechanisms("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")))
                .find("cannot be bound"),
            std::string::npos);
}

TEST_F(LoginDialogueTest, C9_BindingIsNotUsedWhereDisabled) {
  over_tls_ = true;
  EXPECT_TRUE(facts_.auth.SetChannelBinding("disable").ok());
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"))));
  EXPECT_NE(answer_.find("n,,n="), std::string::npos);
}

TEST_F(LoginDialogueTest, C9_PlusWithoutTlsIsRefused) {
  EXPECT_NE(Why(Authentication(10, Mechanisms("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256")))
                .find("without TLS"),
            std::string::npos);
}

TEST_F(LoginDialogueTest, C10_WhatRequireAuthForbidsIsNotAnswered) {
  EXPECT_TRUE(facts_.auth.SetRequireAuth("scram-sha-256").ok());
  EXPECT_EQ(Why(Authentication(0)),
            "the server asks for no password, which the server's require_auth does not allow");
  Again();
  EXPECT_EQ(Why(Authentication(3)),
            "the server asks for password, which the server's require_auth does not allow");
  EXPECT_EQ(answer_, "");
  Again();
  EXPECT_NE(Why(Authentication(5, "salt")).find("md5"), std::string::npos);
  EXPECT_EQ(answer_, "");
  Again();
  EXPECT_TRUE(Hear(Authentication(10, Mechanisms())).ok());
}

TEST_F(LoginDialogueTest, C10_AnyMethodWithoutBindingIsRefusedWhereItIsRequired) {
  EXPECT_TRUE(facts_.auth.SetChannelBinding("require").ok());
  for (const std::string& request :
       {Authentication(0), Authentication(3), Authentication(5, "salt")}) {
    Again();
    EXPECT_NE(Why(request).find("cannot bind the channel"), std::string::npos);
    EXPECT_EQ(answer_, "");
  }
}

TEST_F(LoginDialogueTest, C10_OkInPlaceOfTheSignatureIsNotBelieved) {
  const Server server = Scram(kSecret);
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms())));
  EXPECT_FALSE(*Hear(Authentication(11, server.first)));
  EXPECT_NE(Why(Authentication(0)).find("knows the password"), std::string::npos);
}

TEST_F(LoginDialogueTest, C5_ALongNonceIsRefused) {
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms())));
  EXPECT_NE(Why(Authentication(11, "r=" + std::string(kNonce) + std::string(60'000, 'x'))), "");
  EXPECT_EQ(answer_, "");
}

TEST_F(LoginDialogueTest, C6_ManyIterationsAreRefusedBeforeAnyDerivation) {
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms())));
  EXPECT_NE(Why(Authentication(11, "r=" + std::string(kNonce) + "s,s=c2FsdA==,i=2147483648"))
                .find("more than the limit"),
            std::string::npos);
  EXPECT_EQ(derived_, 0);
}

TEST_F(LoginDialogueTest, C7_OddRefusalsAreTolerated) {
  for (const std::string& body :
       {std::string(), std::string(1, '\0'), std::string("M\0", 2) + '\0',
        "C" + support::CString("28P01"), "M" + support::CString(std::string(60'000, 'x'))}) {
    const absl::StatusOr<bool> heard = Hear(support::Frame('E', body));
    ASSERT_FALSE(heard.ok());
    EXPECT_LE(base::Message(heard.status()).size(), 300u);
    Again();
  }
}

TEST_F(LoginDialogueTest, C18_MethodsThatWeLackAreNamed) {
  EXPECT_NE(Why(Authentication(7)).find("GSS"), std::string::npos);
  Again();
  EXPECT_NE(Why(Authentication(9)).find("SSPI"), std::string::npos);
  Again();
  EXPECT_NE(Why(Authentication(10, Mechanisms("OAUTHBEARER", "X"))).find("but OAUTHBEARER X"),
            std::string::npos);
  Again();
  EXPECT_NE(Why(Authentication(6)).find("method 6"), std::string::npos);
  Again();
  EXPECT_LE(Why(Authentication(10, Mechanisms(std::string(60'000, 'x')))).size(), 400u);
}

TEST_F(LoginDialogueTest, KeysOfAClientsProofAreEnough) {
  facts_.password.clear();
  facts_.scram.emplace();
  facts_.scram->of = pg::ScramChallenge{"saltsalt", 4096};
  const pg::ScramKeys keys = pg::DeriveScramKeys(kSecret, "saltsalt", 4096);
  facts_.scram->keys = pg::ScramKeysOf(keys.client_key, keys.server_key);
  const Server server = Scram(kSecret);
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms())));
  EXPECT_FALSE(*Hear(Authentication(11, server.first)));
  EXPECT_EQ(derived_, 0);
  EXPECT_FALSE(*Hear(Authentication(12, server.final_message)));
  EXPECT_FALSE(*Hear(Authentication(0)));
  // A server that stores another verifier cannot be answered, and is not.
  Again();
  facts_.scram->of.iterations = 4097;
  EXPECT_FALSE(*Hear(Authentication(10, Mechanisms())));
  EXPECT_NE(Why(Authentication(11, server.first)).find("another SCRAM secret"), std::string::npos);
}

TEST_F(LoginDialogueTest, AnMd5SecretAnswersMd5) {
  facts_.password.clear();
  facts_.md5_secret = pg::Md5Secret("shadow", kSecret);
  EXPECT_FALSE(*Hear(Authentication(5, "salt")));
  EXPECT_EQ(answer_, support::Frame('p', support::CString(
                                             pg::Md5Response(facts_.md5_secret, "salt"))));
  Again();
  EXPECT_NE(Why(Authentication(10, Mechanisms())), "");
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
