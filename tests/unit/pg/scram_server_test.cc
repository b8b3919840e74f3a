// The server's side of SCRAM: the vectors of the RFCs, and what a hostile client may send.
#include "pg/scram_server.h"

#include <gtest/gtest.h>

#include "pg/password.h"

namespace pg {
namespace {

constexpr std::string_view kClientNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kWithoutProof =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kProof = ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr std::string_view kHash = "0123456789abcdef0123456789abcdef";

const ScramVerifier& Pencil() {
  static const ScramVerifier verifier = [] {
    const std::string salt = *base::Base64Decode("W22ZaJ0SNY7soEsUEjb6gQ==");
    return VerifierOf(salt, 4096, DeriveScramKeys("pencil", salt, 4096));
  }();
  return verifier;
}

std::string Final() { return std::string(kWithoutProof) + std::string(kProof); }

class ScramServerTest : public testing::Test {
 protected:
  ScramResult First(std::string_view text, std::string_view mechanism = kScramSha256,
                    std::string_view binding = "") {
    server_.emplace(kServerNonce, binding);
    return server_->First(mechanism, text, Pencil(), &answer_);
  }
  // SQLSTATE and detail (or message) of a first message that is refused.
  std::string FirstError(std::string_view text, std::string_view mechanism = kScramSha256,
                         std::string_view binding = "") {
    EXPECT_EQ(First(text, mechanism, binding), ScramResult::kBad) << text;
    EXPECT_EQ(answer_, "");
    // For good: the right message does not help any more.
    EXPECT_EQ(server_->First(kScramSha256, kFirst, Pencil(), &ignored_), ScramResult::kBad);
    First(text, mechanism, binding);
    return Refusal();
  }
  std::string FinalError(std::string_view text) {
    EXPECT_EQ(First(kFirst), ScramResult::kAnswer);
    answer_.clear();
    EXPECT_EQ(server_->Final(text, Pencil(), &answer_), ScramResult::kBad) << text;
    EXPECT_EQ(answer_, "");
    const std::string refusal = Refusal();
    EXPECT_EQ(server_->Final(Final(), Pencil(), &answer_), ScramResult::kBad);  // no second try
    return refusal;
  }
  std::string Refusal() const {
    const ScramRefusal& refusal = server_->refusal();
    const std::string_view text = refusal.detail.empty() ? refusal.message : refusal.detail;
    return std::string(refusal.sqlstate) + " " + std::string(text);
  }

  std::optional<ScramServer> server_;
  std::string answer_;
  std::string ignored_;
};

TEST_F(ScramServerTest, TheExchangeOfRfc7677) {
  ASSERT_EQ(First(kFirst), ScramResult::kAnswer);
  EXPECT_EQ(answer_,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,"
            "i=4096");
  ASSERT_EQ(server_->Final(Final(), Pencil(), &answer_), ScramResult::kAnswer);
  EXPECT_EQ(answer_, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

// The key that a client shows by its proof logs in wherever the same verifier is stored.
TEST_F(ScramServerTest, TheClientsKeyIsRecovered) {
  ASSERT_EQ(First(kFirst), ScramResult::kAnswer);
  ASSERT_EQ(server_->Final(Final(), Pencil(), &answer_), ScramResult::kAnswer);
  EXPECT_EQ(server_->client_key(),
            DeriveScramKeys("pencil", Pencil().salt, Pencil().iterations).client_key);
  ScramClient client("user", kClientNonce);
  ScramServer other("other", "");
  std::string message;
  ASSERT_EQ(other.First(kScramSha256, client.First(), Pencil(), &message), ScramResult::kAnswer);
  ASSERT_TRUE(client.OnServerFirst(message).ok());
  const std::string last = client.Final(ScramKeysOf(server_->client_key(), Pencil().server_key));
  ASSERT_EQ(other.Final(last, Pencil(), &message), ScramResult::kAnswer);
  EXPECT_TRUE(client.Verify(message).ok());
}

TEST_F(ScramServerTest, PlusBindsTheChannel) {
  ScramClient client("", kClientNonce, ChannelBinding{BindingFlag::kBound, std::string(kHash)});
  ASSERT_EQ(First(client.First(), kScramSha256Plus, kHash), ScramResult::kAnswer);
  const ScramChallenge asked = *client.OnServerFirst(answer_);
  const std::string last = client.Final(DeriveScramKeys("pencil", asked.salt, asked.iterations));
  ASSERT_EQ(server_->Final(last, Pencil(), &answer_), ScramResult::kAnswer);
  EXPECT_TRUE(client.Verify(answer_).ok());
}

TEST_F(ScramServerTest, PlusFindsAnotherCertificate) {
  ScramClient client("", kClientNonce, ChannelBinding{BindingFlag::kBound, "another"});
  ASSERT_EQ(First(client.First(), kScramSha256Plus, kHash), ScramResult::kAnswer);
  const ScramChallenge asked = *client.OnServerFirst(answer_);
  const std::string last = client.Final(DeriveScramKeys("pencil", asked.salt, asked.iterations));
  EXPECT_EQ(server_->Final(last, Pencil(), &answer_), ScramResult::kBad);
  EXPECT_EQ(Refusal(), "28000 SCRAM channel binding check failed");
}

TEST_F(ScramServerTest, WrongPasswordIsWrong) {
  ASSERT_EQ(First(kFirst), ScramResult::kAnswer);
  const std::string proof = ",p=" + base::Base64Encode(std::string(32, 'x'));
  EXPECT_EQ(server_->Final(std::string(kWithoutProof) + proof, Pencil(), &ignored_),
            ScramResult::kWrong);
  EXPECT_EQ(server_->Final(Final(), Pencil(), &ignored_), ScramResult::kBad);
}

TEST_F(ScramServerTest, C4_FinalWithoutProofOrNonce) {
  const std::string shape =
      "08P01 The final message is not made of channel binding, nonce and proof.";
  EXPECT_EQ(FinalError(""), shape);
  EXPECT_EQ(FinalError(kWithoutProof), shape);
  EXPECT_EQ(FinalError("c=biws,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), shape);
  EXPECT_EQ(FinalError(kWithoutProof.substr(7)), shape);
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ",p"), shape);
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ","), shape);
  EXPECT_EQ(FinalError(","), shape);
}

TEST_F(ScramServerTest, C4_ProofIsStrict) {
  const std::string proof = "08P01 The proof is not base64 of 32 bytes.";
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ",p="), proof);
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ",p=*"), proof);
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ",p=AAAA"), proof);
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ",p=" +
                       base::Base64Encode(std::string(33, 'x'))),
            proof);
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ",p=" + std::string(3000, 'A')), proof);
}

TEST_F(ScramServerTest, C4_ExtraAttributesAreRefused) {
  const std::string shape =
      "08P01 The final message is not made of channel binding, nonce and proof.";
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + ",x=1" + std::string(kProof)), shape);
  EXPECT_EQ(FinalError(Final() + ",x=1"), shape);
  EXPECT_EQ(FinalError(Final() + std::string(kProof)), shape);
  EXPECT_EQ(FirstError("n,,n=user,r=abc,x=1"), "08P01 The first message has unknown attributes.");
  EXPECT_EQ(FirstError("n,,m=x,n=user,r=abc"),
            "0A000 client requires an unsupported SCRAM extension");
  EXPECT_EQ(FirstError("n,a=postgres,n=user,r=abc"),
            "0A000 client uses authorization identity, but it is not supported");
}

TEST_F(ScramServerTest, C4_Gs2HeaderIsStrict) {
  EXPECT_EQ(FirstError(""), "08P01 The channel-binding flag is none of n, y and p.");
  EXPECT_EQ(FirstError("x,,n=,r=abc"), "08P01 The channel-binding flag is none of n, y and p.");
  EXPECT_EQ(FirstError("n"), "08P01 The GS2 header does not end where it should.");
  EXPECT_EQ(FirstError("n,n=,r=abc"), "08P01 The GS2 header does not end where it should.");
  EXPECT_EQ(FirstError("nn,,n=,r=abc"), "08P01 The GS2 header does not end where it should.");
  EXPECT_EQ(FirstError("p=tls-unique,,n=,r=abc", kScramSha256Plus, kHash),
            "08P01 unsupported SCRAM channel-binding type");
  // Another header at the end than at the beginning.
  EXPECT_EQ(FinalError("c=eSws" + std::string(kWithoutProof.substr(6)) + std::string(kProof)),
            "08P01 unexpected SCRAM channel-binding attribute in client-final-message");
  EXPECT_EQ(FinalError("c=" + std::string(kWithoutProof.substr(6)) + std::string(kProof)),
            "08P01 unexpected SCRAM channel-binding attribute in client-final-message");
}

TEST_F(ScramServerTest, C4_NonceMustBeOursAndPrintable) {
  EXPECT_EQ(FirstError("n,,n="), "08P01 The first message has no nonce.");
  EXPECT_EQ(FirstError("n,,r=abc"), "08P01 The first message has no name.");
  EXPECT_EQ(FirstError("n,,n=,r="), "08P01 The first message has no nonce.");
  EXPECT_EQ(FirstError(std::string_view("n,,n=\0,r=a", 11)), "08P01 The message holds a NUL.");
  EXPECT_EQ(FirstError("n,,n=,r=a\x01"),
            "08P01 The nonce holds characters that cannot be printed.");
  EXPECT_EQ(FinalError("c=biws,r=rOprNGfwEbeRWgbNEkqO" + std::string(kProof)),
            "08P01 The nonce does not match.");
  EXPECT_EQ(FinalError("c=biws,r=" + std::string(kServerNonce) + std::string(kProof)),
            "08P01 The nonce does not match.");
  EXPECT_EQ(FinalError(std::string(kWithoutProof) + "0" + std::string(kProof)),
            "08P01 The nonce does not match.");
}

TEST_F(ScramServerTest, C5_NonceAndMessagesHaveBounds) {
  const size_t most = kScramNonceMax - kServerNonce.size();
  EXPECT_EQ(First("n,,n=,r=" + std::string(most, 'a')), ScramResult::kAnswer);
  answer_.clear();
  EXPECT_EQ(FirstError("n,,n=,r=" + std::string(most + 1, 'a')), "08P01 The nonce is too long.");
  EXPECT_EQ(FirstError("n,,n=" + std::string(65'536, 'a')), "08P01 The message is too long.");
  EXPECT_EQ(FinalError("c=" + std::string(65'536, 'A')), "08P01 The message is too long.");
}

TEST_F(ScramServerTest, C9_DowngradeIsFound) {
  // Who could bind thinks that we cannot, but we offered it.
  EXPECT_EQ(FirstError("y,,n=,r=abc", kScramSha256, kHash).substr(0, 5), "28000");
  // Without TLS we offered nothing, and it is right.
  EXPECT_EQ(First("y,,n=,r=abc"), ScramResult::kAnswer);
  // Who cannot bind may go without.
  EXPECT_EQ(First("n,,n=,r=abc", kScramSha256, kHash), ScramResult::kAnswer);
}

TEST_F(ScramServerTest, C9_MechanismAndFlagAgree) {
  const std::string without =
      "08P01 The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include "
      "channel binding data.";
  EXPECT_EQ(FirstError("n,,n=,r=abc", kScramSha256Plus, kHash), without);
  EXPECT_EQ(FirstError("y,,n=,r=abc", kScramSha256Plus, kHash), without);
  EXPECT_EQ(FirstError("p=tls-server-end-point,,n=,r=abc", kScramSha256, kHash),
            "08P01 The client selected SCRAM-SHA-256 without channel binding, but the SCRAM "
            "message includes channel binding data.");
  EXPECT_EQ(FirstError("n,,n=,r=abc", "SCRAM-SHA-1"),
            "08P01 client selected an invalid SASL authentication mechanism");
  EXPECT_EQ(FirstError("p=tls-server-end-point,,n=,r=abc", kScramSha256Plus),
            "08P01 client selected an invalid SASL authentication mechanism");
}

TEST_F(ScramServerTest, MessagesAtTheWrongTimeAreRefused) {
  server_.emplace(kServerNonce, "");
  EXPECT_EQ(server_->Final(Final(), Pencil(), &answer_), ScramResult::kBad);
  EXPECT_EQ(Refusal(), "08P01 The message comes at the wrong time.");
  ASSERT_EQ(First(kFirst), ScramResult::kAnswer);
  EXPECT_EQ(server_->First(kScramSha256, kFirst, Pencil(), &answer_), ScramResult::kBad);
  EXPECT_EQ(server_->Final(Final(), Pencil(), &answer_), ScramResult::kBad);
}

}  // namespace
}  // namespace pg
