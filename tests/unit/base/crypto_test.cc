#include "base/crypto.h"

#include <gtest/gtest.h>

#include <set>

#include "base/status.h"

namespace base {
namespace {

std::string Hex(const Sha256Digest& digest) {
  std::string text;
  for (const unsigned char byte : digest) {
    constexpr char kHex[] = "0123456789abcdef";
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

std::string_view Bytes(const Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string Decoded(std::string_view text) {
  const auto bytes = Base64Decode(text);
  EXPECT_TRUE(bytes.ok()) << text;
  return bytes.value_or("");
}

TEST(Sha256Test, MatchesFips180) {
  EXPECT_EQ(Hex(Sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Hex(Sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(HmacSha256Test, MatchesRfc4231) {
  EXPECT_EQ(Hex(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(Hex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(Hex(HmacSha256(std::string(20, '\xaa'), std::string(50, '\xdd'))),
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(Hex(HmacSha256(std::string(131, '\xaa'),
                           "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(HmacSha256Test, EmptyKeyAndMessageAreAllowed) {
  EXPECT_EQ(Hex(HmacSha256(std::string_view(), std::string_view())),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Pbkdf2Sha256Test, MatchesRfc7914) {
  EXPECT_EQ(Hex(Pbkdf2Sha256("passwd", "salt", 1)),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
}

// The exchange of RFC 7677 section 3 (user "user", password "pencil").
TEST(ScramTest, ProofAndSignatureMatchRfc7677) {
  const std::string auth_message =
      "n=user,r=rOprNGfwEbeRWgbNEkqO,"
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  const Sha256Digest salted =
      Pbkdf2Sha256("pencil", Decoded("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  const Sha256Digest client_key = HmacSha256(Bytes(salted), "Client Key");
  const Sha256Digest stored_key = Sha256(Bytes(client_key));
  const Sha256Digest signature = HmacSha256(Bytes(stored_key), auth_message);
  Sha256Digest proof;
  for (size_t i = 0; i < proof.size(); ++i) {
    proof[i] = client_key[i] ^ signature[i];
  }
  EXPECT_EQ(Base64Encode(Bytes(proof)), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  const Sha256Digest server_key = HmacSha256(Bytes(salted), "Server Key");
  EXPECT_EQ(Base64Encode(Bytes(HmacSha256(Bytes(server_key), auth_message))),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST(Md5HexTest, MatchesRfc1321) {
  EXPECT_EQ(Md5Hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(Md5Hex("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(SecureRandomTest, GivesTheCountAskedForAndNeverTheSame) {
  EXPECT_EQ(SecureRandom(0), "");
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string bytes = SecureRandom(16);
    EXPECT_EQ(bytes.size(), 16u);
    EXPECT_TRUE(seen.insert(bytes).second);
  }
  EXPECT_EQ(SecureRandom(1 << 20).size(), size_t{1} << 20);
}

TEST(ConstantTimeEqualTest, ComparesBytesAndLengths) {
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_TRUE(ConstantTimeEqual(std::string_view("a\0b", 3), std::string_view("a\0b", 3)));
  EXPECT_FALSE(ConstantTimeEqual(std::string_view("a\0b", 3), std::string_view("a\0c", 3)));
  EXPECT_FALSE(ConstantTimeEqual("abc", "ab"));
  EXPECT_FALSE(ConstantTimeEqual("", "a"));
}

TEST(Base64Test, MatchesRfc4648BothWays) {
  const std::pair<const char*, const char*> kVectors[] = {
      {"", ""},           {"f", "Zg=="},         {"fo", "Zm8="},        {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfb\xef", "//vv"},
      {"\xfb\xff\xbe", "+/++"}};
  for (const auto& [bytes, text] : kVectors) {
    EXPECT_EQ(Base64Encode(bytes), text);
    EXPECT_EQ(Decoded(text), bytes);
  }
}

TEST(Base64Test, EveryLengthComesBack) {
  for (size_t length = 0; length < 100; ++length) {
    const std::string bytes = SecureRandom(length);
    EXPECT_EQ(Decoded(Base64Encode(bytes)), bytes);
  }
}

TEST(Base64Test, RefusesAllButTheOneSpelling) {
  const std::string_view kBad[] = {
      "Z",      "Zg",       "Zg=",      "Zg===",    "=",    "====",     "Zm9v=",
      "Zg==Zg==", "Z===",   "Zm=v",     "Zm9v\n",   "Zm9 ", " Zm9vYg=", "Zm9vYg=\n",
      "Zm9-",   "Zm9_",     "Zh==",     "Zm9=",     "\xff\xff\xff\xff", "Zg=Z"};
  for (const std::string_view text : kBad) {
    const auto bytes = Base64Decode(text);
    EXPECT_FALSE(bytes.ok()) << text;
  }
  EXPECT_FALSE(Base64Decode(std::string_view("Zm\0v", 4)).ok());
}

TEST(ChecksumTest, DependsOnEveryByteAndOnTheLength) {
  EXPECT_EQ(Checksum("pgbraid"), Checksum("pgbraid"));
  EXPECT_NE(Checksum("pgbraid"), Checksum("pgbraie"));
  EXPECT_NE(Checksum(std::string_view("\0", 1)), Checksum(std::string_view("\0\0", 2)));
  EXPECT_EQ(Checksum(""), 0x2d06800538d394c2u);  // XXH3-64 of nothing: files must stay readable
}

class SealTest : public ::testing::Test {
 protected:
  const std::string key_ = std::string(Seal::kKeyBytes, 'k');
  const Seal seal_{key_};
};

TEST_F(SealTest, OpensWhatItClosed) {
  for (const size_t length : {size_t{0}, size_t{1}, size_t{16}, size_t{100'000}}) {
    const std::string plain = SecureRandom(length);
    const std::string sealed = seal_.Close(plain, "segment 7");
    EXPECT_EQ(sealed.size(), length + Seal::kOverheadBytes);
    const auto opened = seal_.Open(sealed, "segment 7");
    ASSERT_TRUE(opened.ok());
    EXPECT_EQ(*opened, plain);
  }
}

TEST_F(SealTest, NeverSealsTheSameTwice) {
  EXPECT_NE(seal_.Close("same", ""), seal_.Close("same", ""));
}

TEST_F(SealTest, EveryChangedBitIsNoticed) {
  const std::string sealed = seal_.Close("the plain text", "a");
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string changed = sealed;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    const auto opened = seal_.Open(changed, "a");
    ASSERT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << bit;
  }
}

TEST_F(SealTest, EveryTruncationIsNoticed) {
  const std::string sealed = seal_.Close("text", "a");
  for (size_t length = 0; length < sealed.size(); ++length) {
    const auto opened = seal_.Open(std::string_view(sealed).substr(0, length), "a");
    ASSERT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << length;
  }
}

TEST_F(SealTest, OtherKeyOrOtherAssociatedBytesAreNoticed) {
  const std::string sealed = seal_.Close("text", "a");
  EXPECT_EQ(seal_.Open(sealed, "b").status().code(), absl::StatusCode::kDataLoss);
  const Seal other(std::string(Seal::kKeyBytes, 'o'));
  EXPECT_EQ(other.Open(sealed, "a").status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace base
