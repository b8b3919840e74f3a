#include "base/keyed_hash.h"

#include <cstring>

#include "base/crypto.h"

namespace base {

uint64_t ProcessHashKey() {
  static const uint64_t key = [] {
    uint64_t drawn = 0;
    std::memcpy(&drawn, SecureRandom(sizeof drawn).data(), sizeof drawn);
    return drawn;
  }();
  return key;
}

uint64_t KeyedHashOf(std::string_view bytes, uint64_t key) { return Checksum(bytes, key); }

}  // namespace base
