// ByteInput: values off the front of bytes that may be damaged, and the appenders that wrote them.
// Little-endian, as in our own files; text is its length in 32 bits and its bytes.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"

namespace base {

inline void AppendByte(std::string* to, unsigned char value) {
  to->push_back(static_cast<char>(value));
}
inline void AppendLe32(std::string* to, uint32_t value) {
  char raw[sizeof value];
  StoreLe32(raw, value);
  to->append(raw, sizeof raw);
}
inline void AppendLe64(std::string* to, uint64_t value) {
  char raw[sizeof value];
  StoreLe64(raw, value);
  to->append(raw, sizeof raw);
}
inline void AppendSized(std::string* to, std::string_view bytes) {
  CHECK(bytes.size() <= std::numeric_limits<uint32_t>::max());
  AppendLe32(to, static_cast<uint32_t>(bytes.size()));
  to->append(bytes);
}

// Once something is not there, everything is empty or 0, and failed() true. Nothing is allocated:
// a length is believed as far as there are bytes.
class ByteInput {
 public:
  explicit ByteInput(std::string_view bytes) : left_(bytes) {}

  unsigned char Byte() {
    const std::string_view raw = Take(1);
    return raw.empty() ? 0 : static_cast<unsigned char>(raw[0]);
  }
  uint32_t Le32() {
    const std::string_view raw = Take(sizeof(uint32_t));
    return raw.empty() ? 0 : LoadLe32(raw.data());
  }
  uint64_t Le64() {
    const std::string_view raw = Take(sizeof(uint64_t));
    return raw.empty() ? 0 : LoadLe64(raw.data());
  }
  // Within the bytes given.
  std::string_view Sized() { return Take(Le32()); }

  void Fail() {
    failed_ = true;
    left_ = std::string_view();
  }
  bool failed() const { return failed_; }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view Take(size_t count) {
    if (count > left_.size()) {
      Fail();
      return std::string_view();
    }
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }

  std::string_view left_;
  bool failed_ = false;
};

}  // namespace base
