// A session between a scripted client and a scripted server.
#include "session/session.h"

#include <string>

#include "gtest/gtest.h"
#include "pg/builders.h"
#include "support/pg_messages.h"
#include "unit/session/house.h"

namespace session {
namespace {

std::string Query(std::string_view text) {
  std::string message;
  EXPECT_TRUE(pg::AppendQuery(&message, text));
  return message;
}

std::string Answer(std::string_view tag, char status) {
  std::string message = support::CommandComplete(tag);
  pg::AppendReadyForQuery(&message, status);
  return message;
}

std::string Fatal(std::string_view sqlstate, std::string_view text) {
  std::string message;
  const pg::ErrorText error{.severity = "FATAL", .sqlstate = sqlstate, .message = text};
  pg::AppendErrorResponse(&message, error);
  return message;
}

std::string Ssl() {
  std::string message;
  pg::AppendSslRequest(&message);
  return message;
}

std::string Md5Request() { return support::Frame('R', support::Be32(5) + "salt"); }

std::string Password() {
  std::string message;
  EXPECT_TRUE(pg::AppendPasswordMessage(&message, "md5x"));
  return message;
}

TEST(Session, RelaysBothWays) {
  House house;
  house.LogIn();
  house.Client().Send(Query("SELECT 1"));
  ASSERT_TRUE(house.Until(house.Server(), Query("SELECT 1")));
  house.Server().Send(Answer("SELECT 1", 'I'));
  EXPECT_TRUE(house.Until(house.Client(), Answer("SELECT 1", 'I')));
}

TEST(Session, PassesLoginThrough) {
  House house;
  house.Client().Send(StartupMessage("u"));
  ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u")));
  house.Server().Send(Md5Request());
  ASSERT_TRUE(house.Until(house.Client(), Md5Request()));
  house.Server().Forget();
  house.Client().Send(Password());
  ASSERT_TRUE(house.Until(house.Server(), Password()));
  const std::string refused = Fatal("28P01", "no");
  house.Client().Forget();
  house.Server().Send(refused);
  EXPECT_TRUE(house.Until(house.Client(), refused));
}

TEST(Session, GivesASecretOfItsOwn) {
  House house;
  house.LogIn();
  EXPECT_EQ(house.cancels().size(), 1u);
  EXPECT_FALSE(house.cancels().Find(4711, "abcd").has_value());
}

TEST(Session, A5_SslRequestIsAnsweredOnce) {
  House house;
  house.Client().Send(Ssl());
  ASSERT_TRUE(house.Until(house.Client(), "N"));
  house.Client().Send(Ssl());
  EXPECT_TRUE(house.UntilEnded(house.Client()));
  EXPECT_EQ(house.metrics().ssl_refused.value(), 1u);
}

TEST(Session, BytesBehindAnSslRequestAreRefused) {
  House house;
  house.Client().Send(Ssl() + StartupMessage("u"));
  const std::string words = "received unencrypted data after SSL request";
  EXPECT_TRUE(house.Until(house.Client(), "N" + Fatal("08P01", words)));
}

TEST(Session, A7_AQueryGluedToTheStartupWaitsForTheLogin) {
  House house;
  house.Client().Send(StartupMessage("u") + Query("SELECT 1"));
  ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u")));
  house.Settle();
  house.Server().Forget();
  std::string in;
  pg::AppendAuthenticationOk(&in);
  pg::AppendReadyForQuery(&in, 'I');
  house.Server().Send(in);
  EXPECT_TRUE(house.Until(house.Server(), Query("SELECT 1")));
}

TEST(Session, A7_OnePasswordGoesToTheServerForEachRequest) {
  House house;
  house.Client().Send(StartupMessage("u") + Password() + Password() + Password());
  ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u")));
  house.Settle();
  EXPECT_EQ(house.Server().got(), StartupMessage("u"));
  house.Server().Forget();
  house.Server().Send(Md5Request());
  ASSERT_TRUE(house.Until(house.Server(), Password()));
  house.Settle();
  EXPECT_EQ(house.Server().got(), Password());
}

TEST(Session, D1_AServerThatIsReadyBeforeItSaidWhoMayInIsRefused) {
  House house;
  house.Client().Send(StartupMessage("u"));
  ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u")));
  std::string ready;
  pg::AppendReadyForQuery(&ready, 'I');
  house.Server().Send(ready);
  EXPECT_TRUE(house.UntilEnded(house.Client()));
  EXPECT_NE(house.Client().got().find("08P01"), std::string::npos);
}

TEST(Session, A6_AQueryInsteadOfAPasswordIsFatal) {
  House house;
  house.Client().Send(StartupMessage("u") + Query("SELECT 1"));
  ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u")));
  house.Server().Send(Md5Request());
  const std::string fatal = Fatal("08P01", "expected password response, got message type 81");
  EXPECT_TRUE(house.Until(house.Client(), Md5Request() + fatal));
  EXPECT_TRUE(house.UntilEnded(house.Server()));
}

TEST(Session, I8_AHalfCloseIsPassedOn) {
  House house;
  house.LogIn();
  house.Client().Send(Query("SELECT 1"));
  house.Client().HalfClose();
  ASSERT_TRUE(house.UntilEnded(house.Server()));
  house.Server().Send(Answer("SELECT 1", 'I'));
  EXPECT_TRUE(house.Until(house.Client(), Answer("SELECT 1", 'I')));
}

TEST(Session, D11_AnAnswerNobodyAskedForEndsBothSides) {
  House house;
  house.LogIn();
  house.Server().Send(Answer("SELECT 1", 'I'));
  EXPECT_TRUE(house.UntilEnded(house.Client()));
  EXPECT_NE(house.Client().got().find("08P01"), std::string::npos);
}

TEST(Session, D11_AnAnswerThatCannotBeReadIsTold) {
  House house;
  house.LogIn();
  house.Client().Send(Query("SELECT 1"));
  ASSERT_TRUE(house.Until(house.Server(), Query("SELECT 1")));
  house.Server().Send(support::Frame('~', "boo"));
  EXPECT_TRUE(house.UntilEnded(house.Client()));
  EXPECT_NE(house.Client().got().find("08P01"), std::string::npos);
}

TEST(Session, DrainEndsAnIdleSession) {
  House house;
  house.LogIn();
  house.TheSession().Drain();
  EXPECT_TRUE(house.Until(house.Client(),
                          Fatal("57P01", "terminating connection due to administrator command")));
}

TEST(Session, DrainWaitsForTheEndOfATransaction) {
  House house;
  house.LogIn();
  house.Client().Send(Query("BEGIN"));
  ASSERT_TRUE(house.Until(house.Server(), Query("BEGIN")));
  house.Server().Send(Answer("BEGIN", 'T'));
  ASSERT_TRUE(house.Until(house.Client(), Answer("BEGIN", 'T')));
  house.TheSession().Drain();
  house.Settle();
  ASSERT_FALSE(house.Client().ended());
  house.Client().Forget();
  house.Client().Send(Query("COMMIT"));
  house.Settle();
  house.Server().Send(Answer("COMMIT", 'I'));
  EXPECT_TRUE(
      house.Until(house.Client(), Answer("COMMIT", 'I') + Fatal("57P01",
                                                                "terminating connection due to "
                                                                "administrator command")));
}

// Holds every frame of the kinds it is told to.
class Holder final : public turn::Judge {
 public:
  Holder(bool requests, bool replies) : requests_(requests), replies_(replies) {}
  turn::Ruling BeforeRequest(uint64_t owner, const pg::Piece& piece) override {
    EXPECT_EQ(owner, 1u);
    EXPECT_TRUE(turn::MayCommit(piece.type));
    ++asked;
    return requests_ ? turn::Ruling::kHold : turn::Ruling::kGoOn;
  }
  turn::Ruling BeforeReply(const turn::Reply& reply, const pg::Piece& piece) override {
    EXPECT_EQ(reply.kind == turn::ReplyKind::kReady, piece.type == 'Z');
    ++asked;
    return replies_ ? turn::Ruling::kHold : turn::Ruling::kGoOn;
  }
  int asked = 0;

 private:
  const bool requests_;
  const bool replies_;
};

TEST(Session, AJudgeHoldsARequestAndWhatIsBehindIt) {
  Holder holder(true, false);
  House house(&holder);
  house.LogIn();
  house.Client().Send(Query("COMMIT") + Query("SELECT 2"));
  house.Settle();
  ASSERT_EQ(house.Server().got(), "");
  house.TheSession().ReleaseRequest();
  ASSERT_TRUE(house.Until(house.Server(), Query("COMMIT")));
  house.Settle();
  ASSERT_EQ(house.Server().got(), Query("COMMIT"));
  house.TheSession().ReleaseRequest();
  EXPECT_TRUE(house.Until(house.Server(), Query("COMMIT") + Query("SELECT 2")));
  EXPECT_EQ(holder.asked, 2);
}

TEST(Session, AJudgeHoldsARepliesReleaseInOrder) {
  Holder holder(false, true);
  House house(&holder);
  house.LogIn();
  house.Client().Send(Query("COMMIT"));
  ASSERT_TRUE(house.Until(house.Server(), Query("COMMIT")));
  house.Server().Send(Answer("COMMIT", 'I'));
  house.Settle();
  ASSERT_EQ(house.Client().got(), "");
  house.TheSession().ReleaseReply();
  ASSERT_TRUE(house.Until(house.Client(), support::CommandComplete("COMMIT")));
  house.Settle();
  house.TheSession().ReleaseReply();
  EXPECT_TRUE(house.Until(house.Client(), Answer("COMMIT", 'I')));
}

// More than may be left free in a chunk that is still received into: it is used up.
std::string Padding() { return std::string(3000, ' '); }

// Another client's way through both pools, up to its first ReadyForQuery.
void ExpectAnotherClientGetsIn(House* house) {
  Peer& other = house->AnotherClient();
  other.Send(StartupMessage("other"));
  Peer& server = house->NextServer();
  ASSERT_TRUE(house->Until(server, StartupMessage("other")));
  std::string in;
  pg::AppendAuthenticationOk(&in);
  pg::AppendReadyForQuery(&in, 'I');
  server.Send(in);
  EXPECT_TRUE(house->Until(other, in));
}

TEST(Session, ARequestThatIsHeldLeavesTheReceivePoolToOthers) {
  Holder holder(true, false);
  House house(&holder);
  house.LogIn();
  const std::string held = Query("COMMIT" + Padding()) + Query("SELECT 2");
  house.Client().Send(held);
  house.Settle();
  ASSERT_EQ(holder.asked, 1);
  ExpectAnotherClientGetsIn(&house);
  house.TheSession().ReleaseRequest();
  house.Settle();
  house.TheSession().ReleaseRequest();
  EXPECT_TRUE(house.Until(house.Server(), held));
}

TEST(Session, AReplyThatIsHeldLeavesTheReceivePoolToOthers) {
  Holder holder(false, true);
  House house(&holder);
  house.LogIn();
  house.Client().Send(Query("COMMIT"));
  ASSERT_TRUE(house.Until(house.Server(), Query("COMMIT")));
  const std::string notice = support::Frame('N', "SNOTICE" + Padding() + std::string(2, '\0'));
  std::string held = support::CommandComplete("COMMIT") + notice;
  pg::AppendReadyForQuery(&held, 'I');
  house.Server().Send(held);
  house.Settle();
  ASSERT_EQ(holder.asked, 2);  // about the request too
  ExpectAnotherClientGetsIn(&house);
  house.TheSession().ReleaseReply();
  house.Settle();
  house.TheSession().ReleaseReply();
  EXPECT_TRUE(house.Until(house.Client(), held));
}

}  // namespace
}  // namespace session
