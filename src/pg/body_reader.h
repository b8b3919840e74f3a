// BodyReader: a cursor over a message's body that never reads behind its end.
//
// A value, on the stack of whoever reads. A read that does not fit gives an empty value and makes
// failed() true for good, so that a reader may look once, at the end. All counts and lengths that
// a peer declares are compared with what is left before anything is done with them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace pg {

class BodyReader {
 public:
  explicit BodyReader(std::string_view body) : rest_(body) {}

  uint8_t Byte() {
    const std::string_view raw = Bytes(1);
    return raw.empty() ? uint8_t{0} : static_cast<uint8_t>(raw[0]);
  }
  uint16_t Be16() {
    const std::string_view raw = Bytes(2);
    return raw.empty() ? uint16_t{0} : base::LoadBe16(raw.data());
  }
  uint32_t Be32() {
    const std::string_view raw = Bytes(4);
    return raw.empty() ? 0 : base::LoadBe32(raw.data());
  }
  // Up to the next NUL, which is taken too.
  std::string_view String() {
    const size_t end = rest_.find('\0');
    if (failed_ || end == std::string_view::npos) {
      failed_ = true;
      return {};
    }
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }
  std::string_view Bytes(uint64_t count) {
    if (failed_ || count > rest_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view raw = rest_.substr(0, static_cast<size_t>(count));
    rest_.remove_prefix(static_cast<size_t>(count));
    return raw;
  }

  bool failed() const { return failed_; }
  std::string_view rest() const { return rest_; }
  // True exactly when everything was read and fitted.
  bool done() const { return !failed_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace pg
