// Byte views and numbers in bytes: big-endian as in the PostgreSQL protocol, little-endian as in
// our own files.
//
// A view of bytes is a std::string_view; who owns the bytes is said where one is handed over.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace base {

inline uint16_t LoadBe16(const char* from) {
  uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap16(value);
}
inline uint32_t LoadBe32(const char* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap32(value);
}
inline uint64_t LoadBe64(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap64(value);
}
inline void StoreBe16(char* to, uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(to, &value, sizeof value);
}
inline void StoreBe32(char* to, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, sizeof value);
}
inline void StoreBe64(char* to, uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(to, &value, sizeof value);
}

inline void AppendBe16(std::string* to, uint16_t value) {
  char raw[sizeof value];
  StoreBe16(raw, value);
  to->append(raw, sizeof raw);
}
inline void AppendBe32(std::string* to, uint32_t value) {
  char raw[sizeof value];
  StoreBe32(raw, value);
  to->append(raw, sizeof raw);
}
inline void AppendBe64(std::string* to, uint64_t value) {
  char raw[sizeof value];
  StoreBe64(raw, value);
  to->append(raw, sizeof raw);
}

inline uint32_t LoadLe32(const char* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline uint64_t LoadLe64(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
inline void StoreLe32(char* to, uint32_t value) { std::memcpy(to, &value, sizeof value); }
inline void StoreLe64(char* to, uint64_t value) { std::memcpy(to, &value, sizeof value); }

static_assert(std::endian::native == std::endian::little, "pgbraid needs a little-endian CPU");

}  // namespace base
