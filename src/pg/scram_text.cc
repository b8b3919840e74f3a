#include "pg/scram_text.h"

#include <algorithm>

namespace pg {

std::optional<base::Sha256Digest> ToDigest(std::string_view bytes) {
  base::Sha256Digest digest;
  if (bytes.size() != digest.size()) {
    return std::nullopt;
  }
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

base::Sha256Digest ExclusiveOr(const base::Sha256Digest& a, const base::Sha256Digest& b) {
  base::Sha256Digest result;
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = static_cast<unsigned char>(a[i] ^ b[i]);
  }
  return result;
}

std::optional<std::string_view> TakeAttribute(std::string_view* rest, char name) {
  if (rest->size() < 2 || (*rest)[0] != name || (*rest)[1] != '=') {
    return std::nullopt;
  }
  const size_t comma = std::min(rest->find(','), rest->size());
  if (comma + 1 == rest->size()) {
    return std::nullopt;
  }
  const std::string_view value = rest->substr(2, comma - 2);
  rest->remove_prefix(std::min(comma + 1, rest->size()));
  return value;
}

bool IsPrintable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return c > 0x20 && c < 0x7f && c != ','; });
}

std::optional<uint32_t> ParseCount(std::string_view digits) {
  if (digits.empty() || digits.size() > 10 || digits[0] == '0') {
    return std::nullopt;
  }
  uint64_t count = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') {
      return std::nullopt;
    }
    count = count * 10 + static_cast<uint64_t>(c - '0');
  }
  if (count > UINT32_MAX) {
    return std::nullopt;
  }
  return static_cast<uint32_t>(count);
}

}  // namespace pg
