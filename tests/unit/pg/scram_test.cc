#include "pg/scram.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace pg {
namespace {

constexpr std::string_view kNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

// A client with a password: the keys are derived as the server asks for them.
class PasswordClient {
 public:
  PasswordClient(std::string_view password, std::string_view nonce, ChannelBinding binding = {})
      : client_("user", nonce, std::move(binding)), password_(password) {}
  std::string First() { return client_.First(); }
  absl::StatusOr<std::string> Final(std::string_view server_first) {
    const absl::StatusOr<ScramChallenge> asked = client_.OnServerFirst(server_first);
    if (!asked.ok()) {
      return asked.status();
    }
    return client_.Final(DeriveScramKeys(password_, asked->salt, asked->iterations));
  }
  absl::Status Verify(std::string_view server_final) { return client_.Verify(server_final); }
  bool verified() const { return client_.verified(); }

 private:
  ScramClient client_;
  std::string password_;
};

// A client that has sent its first message, as in RFC 7677, section 3.
PasswordClient Started() {
  PasswordClient client("pencil", kNonce);
  EXPECT_EQ(client.First(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  return client;
}

std::string FinalError(std::string_view server_first) {
  PasswordClient client = Started();
  const absl::StatusOr<std::string> final_message = client.Final(server_first);
  EXPECT_FALSE(final_message.ok());
  EXPECT_FALSE(client.Verify(kServerFinal).ok());  // failed for good
  EXPECT_FALSE(client.verified());
  return std::string(base::Message(final_message.status()));
}

std::string VerifyError(std::string_view server_final) {
  PasswordClient client = Started();
  EXPECT_TRUE(client.Final(kServerFirst).ok());
  const absl::Status status = client.Verify(server_final);
  EXPECT_FALSE(status.ok());
  EXPECT_FALSE(client.verified());
  EXPECT_FALSE(client.Verify(kServerFinal).ok());  // no second try
  return std::string(base::Message(status));
}

TEST(Scram, TheExchangeOfRfc7677) {
  PasswordClient client = Started();
  const absl::StatusOr<std::string> final_message = client.Final(kServerFirst);
  ASSERT_TRUE(final_message.ok());
  EXPECT_EQ(*final_message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
            "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  EXPECT_FALSE(client.verified());
  EXPECT_TRUE(client.Verify(kServerFinal).ok());
  EXPECT_TRUE(client.verified());
}

// A login needs no password where the keys of it are known.
TEST(Scram, KeysAreEnough) {
  const ScramKeys derived =
      DeriveScramKeys("pencil", *base::Base64Decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  ScramClient client("user", kNonce);
  client.First();
  ASSERT_TRUE(client.OnServerFirst(kServerFirst).ok());
  const std::string last = client.Final(ScramKeysOf(derived.client_key, derived.server_key));
  EXPECT_NE(last.find("p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), std::string::npos);
  EXPECT_TRUE(client.Verify(kServerFinal).ok());
}

TEST(Scram, WhatIsSaidAboutChannelBinding) {
  PasswordClient plain("pencil", kNonce, ChannelBinding{BindingFlag::kNotOffered, ""});
  EXPECT_EQ(plain.First(), "y,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  EXPECT_TRUE(plain.Final(kServerFirst)->starts_with("c=eSws,r="));
  PasswordClient bound("pencil", kNonce, ChannelBinding{BindingFlag::kBound, "hash"});
  EXPECT_EQ(bound.First(), "p=tls-server-end-point,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  const std::string channel = base::Base64Encode("p=tls-server-end-point,,hash");
  EXPECT_TRUE(bound.Final(kServerFirst)->starts_with("c=" + channel + ",r="));
  EXPECT_EQ(ScramClient("", "N", ChannelBinding{BindingFlag::kBound, "h"}).mechanism(),
            kScramSha256Plus);
}

TEST(Scram, NamesAreEscaped) {
  EXPECT_EQ(ScramClient("a,b=c", "N").First(), "n,,n=a=2Cb=3Dc,r=N");
}

TEST(Scram, NoncesAreNewEachTime) {
  const std::string nonce = ScramClient::NewNonce();
  EXPECT_EQ(nonce.size(), 24u);
  EXPECT_NE(nonce, ScramClient::NewNonce());
}

TEST(Scram, C4_TheServersNonceMustExtendOurs) {
  const std::string_view wrong = "SCRAM: the server's nonce does not extend ours";
  const std::string_view none = "SCRAM: the server's first message has no nonce";
  EXPECT_EQ(FinalError("r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), wrong);
  EXPECT_EQ(FinalError("r=xOprNGfwEbeRWgbNEkqO123,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), wrong);
  EXPECT_EQ(FinalError("r=rOprNGfwEbeRWgbNEkqO\x01,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), wrong);
  EXPECT_EQ(FinalError("r=,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), wrong);
  EXPECT_EQ(FinalError(""), none);
  EXPECT_EQ(FinalError("m=x,r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), none);
}

TEST(Scram, C4_SaltAndExtraAttributesAreStrict) {
  const std::string start = "r=rOprNGfwEbeRWgbNEkqO1,";
  const std::string_view salt = "SCRAM: the server's salt is missing or not base64";
  EXPECT_EQ(FinalError(start + "s=,i=4096"), salt);
  EXPECT_EQ(FinalError(start + "s=W22,i=4096"), salt);
  EXPECT_EQ(FinalError(start + "s=W2*=,i=4096"), salt);
  EXPECT_EQ(FinalError(start + "i=4096"), salt);
  EXPECT_EQ(FinalError(start + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,x=1"),
            "SCRAM: the server's first message has unknown attributes");
  EXPECT_EQ(FinalError(start + "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"),
            "SCRAM: the server's iteration count is missing or no number");
}

TEST(Scram, C5_TheServersNonceHasABound) {
  const std::string tail = ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1";
  const std::string nonce = std::string(kNonce) + std::string(1024 - kNonce.size(), 'n');
  PasswordClient client = Started();
  EXPECT_TRUE(client.Final("r=" + nonce + tail).ok());
  EXPECT_EQ(FinalError("r=" + nonce + "n" + tail),
            "SCRAM: the server's nonce is longer than 1024 characters");
  EXPECT_EQ(FinalError("r=" + std::string(65'536, 'n') + tail),
            "SCRAM: the server's first message is too long");
}

TEST(Scram, C6_IterationsHaveABound) {
  const std::string start = "r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=";
  const std::string_view none = "SCRAM: the server's iteration count is missing or no number";
  EXPECT_EQ(FinalError(start + "2147483648"),
            "SCRAM: the server asks for 2147483648 iterations, more than the limit of 100000");
  for (const std::string_view bad :
       {"", "0", "-1", "04096", "4096 ", "0x10", "99999999999", "4294967296"}) {
    EXPECT_EQ(FinalError(start + std::string(bad)), none) << bad;
  }
  PasswordClient client = Started();
  EXPECT_TRUE(client.Final(start + "100000").ok());
}

TEST(Scram, C6_OneIterationTooManyIsRefused) {
  EXPECT_EQ(FinalError("r=rOprNGfwEbeRWgbNEkqO1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=100001"),
            "SCRAM: the server asks for 100001 iterations, more than the limit of 100000");
}

TEST(Scram, C10_TheServersSignatureIsRequired) {
  const std::string_view none = "SCRAM: the server's final message has no signature";
  const std::string_view wrong =
      "SCRAM: the server's signature is wrong: it does not know the password";
  EXPECT_EQ(VerifyError(""), none);
  EXPECT_EQ(VerifyError("v"), none);
  EXPECT_EQ(VerifyError("v=!"), none);
  EXPECT_EQ(VerifyError(std::string(kServerFinal) + ",x=1"), none);
  EXPECT_EQ(VerifyError("v="), wrong);
  EXPECT_EQ(VerifyError("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8="), wrong);
  EXPECT_EQ(VerifyError("v=AAAA"), wrong);
  EXPECT_EQ(VerifyError("e=invalid-proof"), "SCRAM: the server refused the login");
  EXPECT_EQ(VerifyError(std::string(65'536, 'v')), "SCRAM: the server's final message is too long");
}

TEST(Scram, MessagesAtTheWrongTimeAreRefused) {
  PasswordClient early("pencil", kNonce);
  EXPECT_FALSE(early.Final(kServerFirst).ok());
  PasswordClient skipped = Started();
  EXPECT_FALSE(skipped.Verify(kServerFinal).ok());
  PasswordClient twice = Started();
  EXPECT_TRUE(twice.Final(kServerFirst).ok());
  EXPECT_FALSE(twice.Final(kServerFirst).ok());
  EXPECT_FALSE(twice.Verify(kServerFinal).ok());
}

TEST(Scram, C15_LongAndUnicodePasswordsWork) {
  for (const size_t length : {996u, 1024u, 1025u, 65'535u}) {
    PasswordClient client(std::string(length, 'p'), kNonce);
    client.First();
    EXPECT_TRUE(client.Final(kServerFirst).ok());
  }
  PasswordClient client("\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c", kNonce);
  client.First();
  EXPECT_TRUE(client.Final(kServerFirst).ok());
}

// select 'md5' || md5(md5('secret' || 'alice') || E'\x01\x02\x03\x04')
TEST(Md5, ResponseIsSaltedTwice) {
  EXPECT_EQ(Md5Response(Md5Secret("alice", "secret"), "\x01\x02\x03\x04"),
            "md598a0412b9c31436fc53776e863350083");
}

}  // namespace
}  // namespace pg
