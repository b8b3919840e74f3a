// KeyedHash: for tables whose keys a peer chooses (names of users, databases, statements). The key
// is random and of the process: nobody can choose names that fall into one bucket.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace base {

// Any thread.
uint64_t ProcessHashKey();
uint64_t KeyedHashOf(std::string_view bytes, uint64_t key);

struct KeyedHash {
  using is_transparent = void;
  size_t operator()(std::string_view bytes) const {
    return static_cast<size_t>(KeyedHashOf(bytes, ProcessHashKey()));
  }
};

template <typename T>
using NameTable = std::unordered_map<std::string, T, KeyedHash, std::equal_to<>>;

}  // namespace base
