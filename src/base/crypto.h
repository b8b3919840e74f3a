// What the rooms need of libcrypto and xxhash, as values in, values out. Any thread.
//
// No other room names libcrypto. Failures of libcrypto itself (no memory, no provider) are CHECKs:
// there is nothing a caller could do.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace base {

using Sha256Digest = std::array<unsigned char, 32>;

Sha256Digest Sha256(std::string_view bytes);
Sha256Digest HmacSha256(std::string_view key, std::string_view message);
// PBKDF2-HMAC-SHA-256 with a 32-byte result (RFC 8018; SCRAM's Hi()). iterations >= 1.
Sha256Digest Pbkdf2Sha256(std::string_view password, std::string_view salt, uint32_t iterations);
// Lower-case hexadecimal MD5, 32 characters (PostgreSQL's md5 password method).
std::string Md5Hex(std::string_view bytes);

// Bytes from the operating system's generator.
std::string SecureRandom(size_t count);
// Takes time that depends on the lengths only.
bool ConstantTimeEqual(std::string_view a, std::string_view b);

std::string Base64Encode(std::string_view bytes);
// Strict (RFC 4648 section 4): padding required, no other characters.
absl::StatusOr<std::string> Base64Decode(std::string_view text);

// XXH3-64: for corruption and hash tables, not against an attacker who knows the seed.
uint64_t Checksum(std::string_view bytes, uint64_t seed = 0);

// AES-256-GCM with a random nonce in front and the tag behind. One key must not seal more than
// 2^32 messages.
class Seal {
 public:
  static constexpr size_t kKeyBytes = 32;
  static constexpr size_t kOverheadBytes = 12 + 16;
  // `key` has kKeyBytes bytes.
  explicit Seal(std::string_view key);
  std::string Close(std::string_view plain, std::string_view associated) const;
  // kDataLoss if it was not closed by this key with the same associated bytes.
  absl::StatusOr<std::string> Open(std::string_view sealed, std::string_view associated) const;

 private:
  std::string key_;
};

}  // namespace base
