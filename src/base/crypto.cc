#include "base/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sys/random.h>

#include <cerrno>
#include <climits>
#include <memory>

#include "base/check.h"
#include "base/status.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace base {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
static_assert(Seal::kOverheadBytes == kNonceBytes + kTagBytes);

constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Never null: libcrypto takes a null key for a missing one, or for the last one again, not for an
// empty one.
const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data() == nullptr ? "" : bytes.data());
}
unsigned char* Unsigned(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

int IntSize(std::string_view bytes) {
  CHECK(bytes.size() <= INT_MAX);
  return static_cast<int>(bytes.size());
}

// 0..63, or -1 for a character outside the alphabet.
int Base64Value(char c) {
  const size_t at = kBase64Alphabet.find(c);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

struct Free {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Free>;
using Digest = std::unique_ptr<EVP_MD_CTX, Free>;
using Mac = std::unique_ptr<EVP_MAC_CTX, Free>;

Cipher NewCipher() {
  Cipher cipher(EVP_CIPHER_CTX_new());
  CHECK(cipher != nullptr);
  return cipher;
}

// Digests and MACs are each thread's own and set up once: libcrypto 3 looks up an algorithm by its
// name whenever it is told which, and that takes several times as long as the digest of a short
// text.
Digest NewSha256() {
  Digest digest(EVP_MD_CTX_new());
  CHECK(digest != nullptr && EVP_DigestInit_ex2(digest.get(), EVP_sha256(), nullptr) == 1);
  return digest;
}

Mac NewHmacSha256() {
  EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  Mac mac(EVP_MAC_CTX_new(hmac));
  EVP_MAC_free(hmac);  // the context holds it
  char name[] = "SHA256";
  const OSSL_PARAM digest[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                               OSSL_PARAM_construct_end()};
  CHECK(mac != nullptr && EVP_MAC_CTX_set_params(mac.get(), digest) == 1);
  return mac;
}

}  // namespace

Sha256Digest Sha256(std::string_view bytes) {
  const thread_local Digest context = NewSha256();
  Sha256Digest digest;
  unsigned int length = 0;
  CHECK(EVP_DigestInit_ex2(context.get(), nullptr, nullptr) == 1 &&
        EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
        EVP_DigestFinal_ex(context.get(), digest.data(), &length) == 1 &&
        length == digest.size());
  return digest;
}

Sha256Digest HmacSha256(std::string_view key, std::string_view message) {
  const thread_local Mac context = NewHmacSha256();
  Sha256Digest code;
  size_t length = 0;
  CHECK(EVP_MAC_init(context.get(), Unsigned(key), key.size(), nullptr) == 1 &&
        EVP_MAC_update(context.get(), Unsigned(message), message.size()) == 1 &&
        EVP_MAC_final(context.get(), code.data(), &length, code.size()) == 1 &&
        length == code.size());
  return code;
}

Sha256Digest Pbkdf2Sha256(std::string_view password, std::string_view salt, uint32_t iterations) {
  CHECK(iterations >= 1 && iterations <= INT_MAX);
  Sha256Digest digest;
  const int done = PKCS5_PBKDF2_HMAC(password.data(), IntSize(password), Unsigned(salt),
                                     IntSize(salt), static_cast<int>(iterations), EVP_sha256(),
                                     static_cast<int>(digest.size()), digest.data());
  CHECK(done == 1);
  return digest;
}

std::string Md5Hex(std::string_view bytes) {
  unsigned char digest[16];
  unsigned int length = 0;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_md5(), nullptr) == 1);
  CHECK(length == sizeof digest);
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  text.reserve(2 * sizeof digest);
  for (const unsigned char byte : digest) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

std::string SecureRandom(size_t count) {
  std::string bytes(count, '\0');
  size_t filled = 0;
  while (filled < count) {
    const ssize_t got = getrandom(bytes.data() + filled, count - filled, 0);
    CHECK(got > 0 || (got < 0 && errno == EINTR));
    filled += got > 0 ? static_cast<size_t>(got) : 0;
  }
  return bytes;
}

bool ConstantTimeEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && (a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0);
}

std::string Base64Encode(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? kBase64Alphabet[group >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

absl::StatusOr<std::string> Base64Decode(std::string_view text) {
  if (text.size() % 4 != 0) {
    return InvalidArgument("base64: the length is not a multiple of 4");
  }
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') {
    ++padding;
  }
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  uint32_t bits = 0;
  int width = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const int value = Base64Value(c);
    if (value < 0) {
      return InvalidArgument("base64: a character outside the alphabet");
    }
    bits = bits << 6 | static_cast<uint32_t>(value);
    width += 6;
    if (width >= 8) {
      width -= 8;
      bytes += static_cast<char>(bits >> width & 0xff);
      bits &= (1u << width) - 1;
    }
  }
  if (bits != 0) {
    return InvalidArgument("base64: bits are set behind the last byte");
  }
  return bytes;
}

uint64_t Checksum(std::string_view bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

Seal::Seal(std::string_view key) : key_(key) { CHECK(key.size() == kKeyBytes); }

std::string Seal::Close(std::string_view plain, std::string_view associated) const {
  std::string sealed = SecureRandom(kNonceBytes);
  sealed.resize(plain.size() + kOverheadBytes);
  unsigned char* const text = Unsigned(sealed.data()) + kNonceBytes;
  const Cipher cipher = NewCipher();
  int length = 0;
  CHECK(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Unsigned(key_),
                           Unsigned(sealed)) == 1);
  CHECK(EVP_EncryptUpdate(cipher.get(), nullptr, &length, Unsigned(associated),
                          IntSize(associated)) == 1);
  CHECK(EVP_EncryptUpdate(cipher.get(), text, &length, Unsigned(plain), IntSize(plain)) == 1);
  CHECK(static_cast<size_t>(length) == plain.size());
  unsigned char* const tag = text + plain.size();
  CHECK(EVP_EncryptFinal_ex(cipher.get(), tag, &length) == 1 && length == 0);
  CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1);
  return sealed;
}

absl::StatusOr<std::string> Seal::Open(std::string_view sealed,
                                       std::string_view associated) const {
  if (sealed.size() < kOverheadBytes) {
    return DataLoss("a sealed message is shorter than its seal");
  }
  const std::string_view text = sealed.substr(kNonceBytes, sealed.size() - kOverheadBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string plain(text.size(), '\0');
  const Cipher cipher = NewCipher();
  int length = 0;
  CHECK(EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Unsigned(key_),
                           Unsigned(sealed)) == 1);
  CHECK(EVP_DecryptUpdate(cipher.get(), nullptr, &length, Unsigned(associated),
                          IntSize(associated)) == 1);
  CHECK(EVP_DecryptUpdate(cipher.get(), Unsigned(plain.data()), &length, Unsigned(text),
                          IntSize(text)) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1);
  unsigned char nothing[kTagBytes];
  if (EVP_DecryptFinal_ex(cipher.get(), nothing, &length) != 1) {
    return DataLoss("a sealed message was changed, or sealed by another key");
  }
  return plain;
}

}  // namespace base
