// Stored secrets: their forms, what they let in, and the stand-ins of users who do not exist.
#include "pg/password.h"

#include <gtest/gtest.h>

namespace pg {
namespace {

constexpr std::string_view kSalt = "\x01\x02\x03\x04";
// PostgreSQL 15: CREATE ROLE … PASSWORD 'pencil' with this salt.
constexpr std::string_view kVerifier =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

TEST(Secret, C3_TheThreeForms) {
  EXPECT_EQ(ParseSecret("pencil")->kind, SecretKind::kPlain);
  EXPECT_EQ(ParseSecret(Md5Secret("alice", "pencil"))->kind, SecretKind::kMd5);
  const std::optional<Secret> scram = ParseSecret(kVerifier);
  ASSERT_EQ(scram->kind, SecretKind::kScram);
  EXPECT_EQ(scram->verifier.iterations, 4096u);
  EXPECT_EQ(FormatScramVerifier(scram->verifier), kVerifier);
}

TEST(Secret, AVerifierIsThatOfItsPassword) {
  const ScramVerifier verifier = ParseSecret(kVerifier)->verifier;
  EXPECT_TRUE(CheckScramKeys(verifier, DeriveScramKeys("pencil", verifier.salt, 4096)));
  EXPECT_FALSE(CheckScramKeys(verifier, DeriveScramKeys("pencil2", verifier.salt, 4096)));
}

TEST(Secret, NoneOrTooLongIsNoSecret) {
  EXPECT_FALSE(ParseSecret("").has_value());
  EXPECT_FALSE(ParseSecret(std::string(kSecretMax + 1, 'x')).has_value());
  EXPECT_TRUE(ParseSecret(std::string(kSecretMax, 'x')).has_value());
}

// As in PostgreSQL, what is no verifier is a password that looks odd.
TEST(Secret, C4_WhatDoesNotParseIsAPlainPassword) {
  const std::string verifier(kVerifier);
  for (const std::string& bad :
       {verifier + "A", verifier.substr(0, 60), verifier.substr(0, verifier.rfind(':')),
        "SCRAM-SHA-256$0:" + verifier.substr(19), "SCRAM-SHA-256$x:" + verifier.substr(19),
        "SCRAM-SHA-256$99999999999:" + verifier.substr(19),
        "SCRAM-SHA-256$4096:$" + verifier.substr(44), std::string("SCRAM-SHA-256$"),
        std::string("md5"), "md5" + std::string(31, 'a'), "md5" + std::string(32, 'g')}) {
    EXPECT_EQ(ParseSecret(bad)->kind, SecretKind::kPlain) << bad;
  }
}

TEST(Secret, C3_Md5AgainstEachForm) {
  const std::string hash = Md5Secret("alice", "pencil");
  const std::string right = Md5Response(hash, kSalt);
  EXPECT_TRUE(CheckMd5(*ParseSecret("pencil"), "alice", kSalt, right));
  EXPECT_TRUE(CheckMd5(*ParseSecret(hash), "alice", kSalt, right));
  std::string upper = hash;
  for (size_t i = 3; i < upper.size(); ++i) {
    upper[i] = static_cast<char>(std::toupper(upper[i]));
  }
  EXPECT_TRUE(CheckMd5(*ParseSecret(upper), "alice", kSalt, right));
  EXPECT_FALSE(CheckMd5(*ParseSecret("pencil"), "bob", kSalt, right));
  EXPECT_FALSE(CheckMd5(*ParseSecret("pencil"), "alice", "\x01\x02\x03\x05", right));
  EXPECT_FALSE(CheckMd5(*ParseSecret("pencil"), "alice", kSalt, ""));
  EXPECT_FALSE(CheckMd5(*ParseSecret("pencil"), "alice", kSalt, hash));  // a stored hash: no login
  EXPECT_FALSE(CheckMd5(*ParseSecret(kVerifier), "alice", kSalt, right));
}

TEST(Secret, C3_CleartextAgainstEachForm) {
  EXPECT_TRUE(CheckCleartext(*ParseSecret("pencil"), "alice", "pencil"));
  EXPECT_FALSE(CheckCleartext(*ParseSecret("pencil"), "alice", "pencil "));
  EXPECT_FALSE(CheckCleartext(*ParseSecret("pencil"), "alice", ""));
  const std::string hash = Md5Secret("alice", "pencil");
  EXPECT_TRUE(CheckCleartext(*ParseSecret(hash), "alice", "pencil"));
  EXPECT_FALSE(CheckCleartext(*ParseSecret(hash), "bob", "pencil"));
  EXPECT_FALSE(CheckCleartext(*ParseSecret(hash), "alice", hash));  // the hash is no password
  EXPECT_FALSE(CheckCleartext(*ParseSecret(kVerifier), "alice", "pencil"));  // it needs keys
  EXPECT_FALSE(CheckCleartext(*ParseSecret(kVerifier), "alice", kVerifier));
}

TEST(Secret, C15_LongAndUnicodePasswordsAreCompared) {
  for (const size_t length : {996u, 1024u, 1025u, 65'535u}) {
    const std::string password(length, 'p');
    EXPECT_TRUE(CheckCleartext(*ParseSecret(password), "u", password)) << length;
    EXPECT_FALSE(CheckCleartext(*ParseSecret(password), "u", password.substr(1))) << length;
  }
  const std::string unicode = "\xd0\xbf\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c";
  EXPECT_TRUE(CheckCleartext(*ParseSecret(unicode), "u", unicode));
}

TEST(Mock, A13_IsTheSameEachTimeAndLooksLikeAnotherUsers) {
  const Secret like = *ParseSecret(kVerifier);
  const Secret mock = MockSecret("process", "nobody", like);
  EXPECT_EQ(mock.kind, SecretKind::kScram);
  EXPECT_EQ(mock.verifier.iterations, like.verifier.iterations);
  EXPECT_EQ(mock.verifier.salt.size(), kScramSaltBytes);
  EXPECT_EQ(mock.verifier.salt, MockSecret("process", "nobody", like).verifier.salt);
  EXPECT_NE(mock.verifier.salt, MockSecret("process", "somebody", like).verifier.salt);
  EXPECT_NE(mock.verifier.salt, MockSecret("another", "nobody", like).verifier.salt);
}

TEST(Mock, A13_NobodyLogsInWithIt) {
  for (const std::string& form : {std::string("pencil"), Md5Secret("nobody", "pencil")}) {
    const Secret mock = MockSecret("process", "nobody", *ParseSecret(form));
    EXPECT_EQ(mock.kind, ParseSecret(form)->kind);
    EXPECT_FALSE(CheckCleartext(mock, "nobody", "pencil"));
    EXPECT_FALSE(CheckMd5(mock, "nobody", kSalt,
                          Md5Response(Md5Secret("nobody", "pencil"), kSalt)));
  }
}

}  // namespace
}  // namespace pg
