// Admission of clients over real sockets: by users file, rules and a server that is asked; what the
// refused are told; what is never told.
#include "session/authenticator.h"

#include <gtest/gtest.h>

#include "pg/builders.h"
#include "pg/views.h"
#include "support/pg_messages.h"
#include "unit/session/gate_rig.h"

namespace session {
namespace {

constexpr std::string_view kWrong = "28P01 password authentication failed for user \"";

std::string Verifier(std::string_view password) {
  const std::string salt = "saltsaltsaltsalt";
  return pg::FormatScramVerifier(
      pg::VerifierOf(salt, 4096, pg::DeriveScramKeys(password, salt, 4096)));
}

TEST(Authenticator, AUserOfTheFileComesInByScram) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}, {"bob", Verifier("crayon")}};
  rig.rules().users_file = "users";
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.identity()->credential.password, "pencil");
  EXPECT_EQ(rig.LogIn("bob", "crayon"), "in");
  EXPECT_TRUE(rig.identity()->credential.scram.has_value());
  EXPECT_EQ(rig.LogIn("alice", "crayon"), std::string(kWrong) + "alice\"");
  EXPECT_EQ(rig.LogIn("bob", "pencil"), std::string(kWrong) + "bob\"");
}

TEST(Authenticator, ALoginCostsNoSecondDerivation) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  }
  EXPECT_EQ(rig.deriver().derivations(), 1u);
}

TEST(Authenticator, TheServersOwnUserComesInWhereNothingElseIsConfigured) {
  GateRig rig;
  rig.service().primary.user = "app";
  rig.service().primary.password = "pencil";
  EXPECT_EQ(rig.LogIn("app", "pencil"), "in");
  EXPECT_EQ(rig.LogIn("app", "crayon"), std::string(kWrong) + "app\"");
  EXPECT_EQ(rig.LogIn("other", "pencil"), std::string(kWrong) + "other\"");
}

TEST(Authenticator, TheServersOwnUserIsNobodyBesideAUsersFile) {
  GateRig rig;
  rig.service().primary.user = "app";
  rig.service().primary.password = "pencil";
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  EXPECT_EQ(rig.LogIn("app", "pencil"), std::string(kWrong) + "app\"");
}

// Word for word, and salt for salt at each try.
TEST(Authenticator, A13_AnUnknownUserLooksLikeAWrongPassword) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  EXPECT_EQ(rig.LogIn("alice", "x"), std::string(kWrong) + "alice\"");
  const std::string known = rig.salt();
  EXPECT_EQ(rig.LogIn("mallory", "x"), std::string(kWrong) + "mallory\"");
  const std::string unknown = rig.salt();
  EXPECT_EQ(unknown.size(), known.size());
  EXPECT_NE(unknown, known);
  EXPECT_EQ(rig.iterations(), 4096u);
  EXPECT_EQ(rig.LogIn("mallory", "pencil"), std::string(kWrong) + "mallory\"");
  EXPECT_EQ(rig.salt(), unknown);
  EXPECT_EQ(rig.LogIn("alice", "x"), std::string(kWrong) + "alice\"");
  EXPECT_EQ(rig.salt(), known);
}

TEST(Authenticator, C3_AUserWithoutASecretNeverComesIn) {
  GateRig rig;
  rig.rules().users = {{"alice", ""}, {"bob", pg::Md5Secret("bob", "pencil")}};
  rig.rules().users_file = "users";
  EXPECT_EQ(rig.LogIn("alice", "pencil"), std::string(kWrong) + "alice\"");
  EXPECT_EQ(rig.LogIn("bob", "pencil"), std::string(kWrong) + "bob\"");  // md5 is no SCRAM secret
}

TEST(Authenticator, C3_Md5RunsScramForAScramSecret) {
  GateRig rig;
  rig.rules().method = config::AuthMethod::kMd5;
  rig.rules().users = {{"alice", "pencil"}, {"bob", Verifier("crayon")}};
  rig.rules().users_file = "users";
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.method(), "md5");
  EXPECT_EQ(rig.identity()->credential.password, "pencil");  // the server may ask for SCRAM
  EXPECT_EQ(rig.LogIn("bob", "crayon"), "in");
  EXPECT_EQ(rig.method(), "scram");
}

TEST(Authenticator, ThePasswordIsAskedInClearOnTheSameMachineOnly) {
  GateRig rig;
  rig.rules().method = config::AuthMethod::kPassword;
  rig.rules().users = {{"alice", Verifier("pencil")}};
  rig.rules().users_file = "users";
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");  // a Unix socket
  EXPECT_EQ(rig.method(), "password");
  EXPECT_EQ(rig.identity()->credential.password, "pencil");
  EXPECT_EQ(rig.LogIn("alice", "crayon"), std::string(kWrong) + "alice\"");
}

TEST(Authenticator, C3_RulesDecide) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}, {"eve", "pencil"}};
  rig.rules().users_file = "users";
  rig.rules().hba = *config::Hba::Parse(
      "local shop alice scram-sha-256\nlocal all eve reject\nlocal all tim trust\n", "hba", {});
  rig.rules().hba_file = "hba";
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.LogIn("tim", ""), "in");
  EXPECT_EQ(rig.LogIn("eve", "pencil"),
            "28000 pg_hba.conf rejects connection for host \"[local]\", user \"eve\", database "
            "\"shop\", no encryption");
  EXPECT_EQ(rig.LogIn("bob", "pencil"),
            "28000 no pg_hba.conf entry for host \"[local]\", user \"bob\", database \"shop\", no "
            "encryption");
}

// Every (rule, stored secret, method), each with the right password, others, and with the stored
// text itself: what comes in is what is written here, and nothing else.
struct Row {
  std::string_view rule;  // of an HBA file; empty: no line fits
  bool asks;              // a password decides, where the secret fits the method
  std::string_view fits;  // p, m, s: a plain, an md5, a SCRAM secret
  bool anybody;           // comes in, even without a secret
};
constexpr Row kEveryRule[] = {
    {"local all all scram-sha-256", true, "ps", false},
    {"local all all md5", true, "pms", false},
    {"local all all password", true, "pms", false},
    {"local all all trust", false, "", true},
    {"local all all reject", false, "", false},
    {"hostssl all all all cert", false, "", false},  // not over a Unix socket
    {"local all bob scram-sha-256", false, "", false},
    {"local other all trust", false, "", false},
    {"", false, "", false},
};

TEST(Authenticator, C3_EveryRuleSecretAndPasswordInOneTable) {
  const std::string verifier = Verifier("pencil");
  const std::string md5 = pg::Md5Secret("alice", "pencil");
  const std::pair<char, std::string> secrets[] = {
      {'p', "pencil"}, {'m', md5}, {'s', verifier}, {'-', ""}, {'0', "not in the file"}};
  int in = 0;
  for (const Row& row : kEveryRule) {
    for (const auto& [kind, stored] : secrets) {
      for (const std::string& given :
           {std::string("pencil"), std::string("crayon"), std::string(), md5, verifier}) {
        if (!row.asks && given != "pencil") {
          continue;  // nobody hears it
        }
        GateRig rig;
        rig.rules().users_file = "users";
        rig.rules().users.emplace(kind == '0' ? "bob" : "alice", stored);
        rig.rules().hba_file = "hba";
        const absl::StatusOr<config::Hba> hba =
            config::Hba::Parse(std::string(row.rule) + "\n", "hba", {});
        ASSERT_TRUE(hba.ok()) << row.rule << ": " << hba.status();
        rig.rules().hba = *hba;
        const bool fits = row.fits.find(kind) != std::string_view::npos;
        const bool right = row.anybody || (row.asks && fits && given == "pencil");
        EXPECT_EQ(rig.LogIn("alice", given) == "in", right)
            << row.rule << ", secret " << kind << ", given " << given;
        in += right ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(in, 2 + 3 + 3 + 5);
}

TEST(Authenticator, CertificatesAreComparedByNameOrMap) {
  GateRig rig;
  rig.rules().method = config::AuthMethod::kCert;
  const std::string needed = "28000 connection requires a valid client certificate";
  EXPECT_EQ(rig.LogIn("alice", ""), needed);
  io::TlsFacts tls;
  tls.peer_common_name = "alice";
  rig.UseTls(&tls);
  EXPECT_EQ(rig.LogIn("alice", ""), needed);  // not verified
  tls.peer_verified = true;
  EXPECT_EQ(rig.LogIn("alice", ""), "in");
  EXPECT_EQ(rig.LogIn("bob", ""), "28000 certificate authentication failed for user \"bob\"");
  tls.peer_common_name.clear();
  EXPECT_EQ(rig.LogIn("", ""), "28000 certificate authentication failed for user \"\"");
}

TEST(Authenticator, A4_ASecondStartupInTheMiddleIsFatal) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}, {"postgres", "pencil"}};
  rig.rules().users_file = "users";
  rig.Begin("alice");
  rig.ReceiveRequest();
  const pg::Setting settings[] = {{"user", "postgres"}};
  std::string startup;
  ASSERT_TRUE(pg::AppendStartupMessage(&startup, pg::kProtocol30, settings));
  rig.Send(startup);
  EXPECT_EQ(rig.End().substr(0, 5), "08P01");
}

TEST(Authenticator, A4_LikewiseBetweenTheTwoMessagesOfScram) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  rig.Begin("alice");
  rig.ReceiveRequest();
  std::string first;
  pg::ScramClient client("", "nonce");
  ASSERT_TRUE(pg::AppendSaslInitialResponse(&first, pg::kScramSha256, client.First()));
  rig.Send(first);
  rig.ReceiveRequest();
  const pg::Setting settings[] = {{"user", "postgres"}};
  std::string startup;
  ASSERT_TRUE(pg::AppendStartupMessage(&startup, pg::kProtocol30, settings));
  rig.Send(startup);
  EXPECT_EQ(rig.End().substr(0, 5), "08P01");
}

TEST(Authenticator, A6_AnythingButAnAnswerIsFatal) {
  for (const char type : {'Q', 'P', 'X', 'S', 'd', 'F', '~'}) {
    GateRig rig;
    rig.rules().users = {{"alice", "pencil"}};
    rig.rules().users_file = "users";
    rig.Begin("alice");
    rig.ReceiveRequest();
    rig.Send(support::Frame(type, type == 'Q' ? support::CString("SELECT 1") : ""));
    EXPECT_EQ(rig.End().substr(0, 5), "08P01") << type;
  }
}

TEST(Authenticator, A6_ARightPasswordInAnotherMessageIsNoAnswer) {
  GateRig rig;
  rig.rules().method = config::AuthMethod::kPassword;
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  rig.Begin("alice");
  rig.ReceiveRequest();
  rig.Send(support::Frame('Q', support::CString("pencil")));
  EXPECT_EQ(rig.End().substr(0, 5), "08P01");
}

TEST(Authenticator, A7_AnAnswerMayComeByteByByte) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  rig.SendSlowly(true);
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
}

TEST(Authenticator, A10_TheDeadlineEndsASilentLogin) {
  GateRig rig;
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  rig.Begin("alice", absl::Milliseconds(1));
  EXPECT_EQ(rig.End(), "08006 authentication timeout");
  EXPECT_EQ(rig.metrics().login_timeouts.value(), 1u);
}

TEST(Authenticator, A11_LoginsOfOneAddressAreBounded) {
  GateRig rig;
  rig.limits().logins_per_address_max = 1;
  rig.rules().users = {{"alice", "pencil"}};
  rig.rules().users_file = "users";
  rig.Begin("alice");
  rig.ReceiveRequest();
  GateClient second(&rig, "alice");
  EXPECT_EQ(second.End(), "53300 too many logins of one address are under way");
  rig.Hangup();
  EXPECT_EQ(rig.End(), "");
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
}

// -- by a server that is asked --------------------------------------------------------------------

TEST(AuthQuery, AUserOfTheServerComesIn) {
  GateRig rig;
  rig.AskServer();
  rig.server_users() = {{"alice", Verifier("pencil")}};
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_TRUE(rig.identity()->credential.scram.has_value());
  EXPECT_EQ(rig.LogIn("alice", "crayon"), std::string(kWrong) + "alice\"");
  EXPECT_EQ(rig.server_logins(), 1);  // one connection for all
}

TEST(AuthQuery, AnAnswerIsKeptForAWhile) {
  GateRig rig;
  rig.AskServer();
  rig.server_users() = {{"alice", Verifier("pencil")}};
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.server_questions(), 1);
}

TEST(AuthQuery, AnAgeOfZeroAsksEachTime) {
  GateRig rig;
  rig.AskServer();
  rig.rules().auth_query_max_age = absl::ZeroDuration();
  rig.server_users() = {{"alice", Verifier("pencil")}};
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.server_questions(), 2);
}

TEST(AuthQuery, C13_AFailedLoginAsksAnew) {
  GateRig rig;
  rig.AskServer();
  rig.server_users() = {{"alice", Verifier("pencil")}};
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  rig.server_users() = {{"alice", Verifier("crayon")}};
  EXPECT_EQ(rig.LogIn("alice", "crayon"), std::string(kWrong) + "alice\"");
  EXPECT_EQ(rig.LogIn("alice", "crayon"), "in");
  rig.server_users().clear();
  rig.authenticator().OnServerRefused(rig.service(), "alice");
  EXPECT_EQ(rig.LogIn("alice", "crayon"), std::string(kWrong) + "alice\"");
}

// What the server says of another user is nothing.
TEST(AuthQuery, C1_AnUnknownUserInheritsNothing) {
  GateRig rig;
  rig.AskServer();
  rig.server_users() = {{"asker", Verifier("pencil")}};
  EXPECT_EQ(rig.LogIn("mallory", "pencil"), std::string(kWrong) + "mallory\"");
  rig.AnswerAs("asker");
  EXPECT_EQ(rig.LogIn("carol", "pencil"), std::string(kWrong) + "carol\"");
}

TEST(AuthQuery, A3_NothingOfTheClientReachesTheLookUp) {
  GateRig rig;
  rig.AskServer();
  const std::string user = "x'; SET search_path TO evil; --";
  EXPECT_EQ(rig.LogIn(user, "pencil"), std::string(kWrong) + user + "\"");
  const std::string startup = rig.server_startup();
  EXPECT_NE(startup.find("asker"), std::string::npos);
  EXPECT_EQ(startup.find("evil"), std::string::npos);
  EXPECT_NE(startup.find("pg_catalog"), std::string::npos);
  EXPECT_EQ(rig.server_query(), std::string(config::kAuthQueryDefault));
}

TEST(AuthQuery, C14_AfterAFailureNobodyAsksForAMoment) {
  GateRig rig;
  rig.AskServer();
  rig.RefuseLogins();
  const std::string sorry = "08006 authentication is not possible at the moment";
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(rig.LogIn("alice", "pencil"), sorry);
  }
  EXPECT_EQ(rig.server_logins(), 1);
}

TEST(AuthQuery, AnErrorOfTheServerIsNotShown) {
  GateRig rig;
  rig.AskServer();
  rig.FailQuestions();
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "08006 authentication is not possible at the moment");
}

TEST(AuthQuery, AConnectionThatWasLostIsReplaced) {
  GateRig rig;
  rig.AskServer();
  rig.rules().auth_query_max_age = absl::ZeroDuration();
  rig.server_users() = {{"alice", Verifier("pencil")}};
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  rig.LoseServer();
  EXPECT_EQ(rig.LogIn("alice", "pencil"), "in");
  EXPECT_EQ(rig.server_logins(), 2);
}

}  // namespace
}  // namespace session
