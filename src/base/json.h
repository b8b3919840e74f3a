// JSON (RFC 8259): a writer whose text is always valid, and a strict reader for what we wrote.
//
// Values on the caller's stack; any thread; no recursion, and the reader allocates only the strings
// it returns. The writer cannot fail: a byte that is not UTF-8 becomes U+FFFD. The reader says
// false at the first thing that is not as asked, and then for ever.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace base {

class JsonWriter {
 public:
  void BeginObject() { Open('{'); }
  void EndObject() { Close('}'); }
  void BeginArray() { Open('['); }
  void EndArray() { Close(']'); }
  // The next value's, within an object: Key("a").Unsigned(1).
  JsonWriter& Key(std::string_view key);
  void String(std::string_view text);
  void Unsigned(uint64_t number);
  void Signed(int64_t number);
  void Number(double number);  // null if it is not finite
  void Bool(bool value);
  void Null();
  void Time(absl::Time time);  // "2026-01-31T23:59:59.123Z": RFC 3339, UTC, milliseconds
  const std::string& text() const { return text_; }

 private:
  void Separate();
  void Open(char bracket);
  void Close(char bracket);
  void Quote(std::string_view text);

  std::string text_;
  bool first_ = true;  // true exactly when no comma stands before the next value
};

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : rest_(text) {}

  // Takes `sign` ({ } [ ] : ,), if it is next.
  bool Sign(char sign);
  bool String(std::string* text);
  bool Unsigned(uint64_t* number);
  bool Bool(bool* value);
  bool Time(absl::Time* time);  // RFC 3339
  // True if null was next; false, and nothing is wrong, if it was not.
  bool Null();
  // Between two members or elements: true if another follows a comma; false if `end` came, which it
  // takes, or if something is wrong. `*first`: of the loop; true before the first.
  bool Another(char end, bool* first);
  bool AtEnd();
  bool wrong() const { return wrong_; }

 private:
  void SkipSpace();
  bool Take(std::string_view word);
  bool Escape(std::string* text);
  bool Hex(uint32_t* code);
  bool Fail();

  std::string_view rest_;
  bool wrong_ = false;
};

}  // namespace base
