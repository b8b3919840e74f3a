// The text of SCRAM's messages (RFC 5802, section 7), read the same way on both sides.
//
// Pure; any thread. Every function reads views and never behind their ends; the callers bound the
// messages before they call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/crypto.h"

namespace pg {

inline std::string_view DigestBytes(const base::Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// 32 bytes as a digest; nothing for any other length.
std::optional<base::Sha256Digest> ToDigest(std::string_view bytes);

base::Sha256Digest ExclusiveOr(const base::Sha256Digest& a, const base::Sha256Digest& b);

// Takes "<name>=<value>" up to the next comma, or to the end, off `*rest`. Nothing if it is another
// attribute, or if nothing stands behind the comma.
std::optional<std::string_view> TakeAttribute(std::string_view* rest, char name);

// "printable" of the RFC, without the comma, which ends an attribute.
bool IsPrintable(std::string_view text);

// A positive decimal number without leading zeros, at most 4294967295.
std::optional<uint32_t> ParseCount(std::string_view digits);

}  // namespace pg
