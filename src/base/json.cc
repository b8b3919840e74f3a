#include "base/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <system_error>

#include "base/utf8.h"

namespace base {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBadByte = "\\ufffd";
constexpr std::string_view kSpace = " \t\r\n";

void AppendUtf8(uint32_t code, std::string* to) {
  if (code < 0x80) {
    *to += static_cast<char>(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr std::array<uint32_t, 4> kLead = {0, 0xc0, 0xe0, 0xf0};
  *to += static_cast<char>(kLead[static_cast<size_t>(more)] | code >> (6 * more));
  for (int i = more - 1; i >= 0; --i) {
    *to += static_cast<char>(0x80 | (code >> (6 * i) & 0x3f));
  }
}

}  // namespace

// -- writing --------------------------------------------------------------------------------------

void JsonWriter::Separate() {
  if (!first_) {
    text_ += ',';
  }
  first_ = false;
}

void JsonWriter::Open(char bracket) {
  Separate();
  text_ += bracket;
  first_ = true;
}

void JsonWriter::Close(char bracket) {
  text_ += bracket;
  first_ = false;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  Separate();
  Quote(key);
  text_ += ':';
  first_ = true;
  return *this;
}

void JsonWriter::String(std::string_view text) {
  Separate();
  Quote(text);
}

void JsonWriter::Unsigned(uint64_t number) {
  Separate();
  text_ += std::to_string(number);
}

void JsonWriter::Signed(int64_t number) {
  Separate();
  text_ += std::to_string(number);
}

void JsonWriter::Number(double number) {
  if (!std::isfinite(number)) {
    return Null();
  }
  Separate();
  std::array<char, 32> digits{};
  const std::to_chars_result end = std::to_chars(digits.begin(), digits.end(), number);
  text_.append(digits.data(), end.ptr);
}

void JsonWriter::Bool(bool value) {
  Separate();
  text_ += value ? "true" : "false";
}

void JsonWriter::Null() {
  Separate();
  text_ += "null";
}

void JsonWriter::Time(absl::Time time) {
  String(absl::FormatTime("%Y-%m-%d%ET%H:%M:%E3SZ", time, absl::UTCTimeZone()));
}

// Control characters are escaped, those beyond ASCII too where a terminal would act upon them.
void JsonWriter::Quote(std::string_view text) {
  text_ += '"';
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    const uint32_t code = character.code;
    if (!character.valid) {
      text_ += kBadByte;
    } else if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) {
      text_ += "\\u00";
      text_ += kHex[code >> 4];
      text_ += kHex[code & 15];
    } else {
      if (code == '"' || code == '\\') {
        text_ += '\\';
      }
      text_ += character.bytes;
    }
    text.remove_prefix(character.bytes.size());
  }
  text_ += '"';
}

// -- reading --------------------------------------------------------------------------------------

void JsonReader::SkipSpace() {
  rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpace), rest_.size()));
}

bool JsonReader::Fail() {
  wrong_ = true;
  rest_ = {};
  return false;
}

bool JsonReader::Sign(char sign) {
  SkipSpace();
  if (!rest_.starts_with(sign)) {
    return Fail();
  }
  rest_.remove_prefix(1);
  return true;
}

bool JsonReader::Take(std::string_view word) {
  SkipSpace();
  const bool is = rest_.starts_with(word);
  rest_.remove_prefix(is ? word.size() : 0);
  return is;
}

bool JsonReader::Another(char end, bool* first) {
  if (wrong_ || Take(std::string_view(&end, 1))) {
    return false;
  }
  if (*first) {
    *first = false;
    return true;
  }
  return Sign(',');
}

bool JsonReader::String(std::string* text) {
  if (!Sign('"')) {
    return false;
  }
  text->clear();
  while (!rest_.empty() && rest_[0] != '"') {
    const Character character = FirstCharacter(rest_);
    if (!character.valid || character.code < 0x20) {
      return Fail();
    }
    rest_.remove_prefix(character.bytes.size());
    if (character.code != '\\') {
      *text += character.bytes;
    } else if (!Escape(text)) {
      return Fail();
    }
  }
  return Sign('"');
}

// Behind the backslash.
bool JsonReader::Escape(std::string* text) {
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
  if (rest_.empty()) {
    return false;
  }
  const char name = rest_[0];
  rest_.remove_prefix(1);
  if (const size_t at = kNames.find(name); at != std::string_view::npos) {
    *text += kMeant[at];
    return true;
  }
  uint32_t code = 0;
  if (name != 'u' || !Hex(&code)) {
    return false;
  }
  if (code >= 0xd800 && code <= 0xdfff) {
    uint32_t low = 0;
    if (code >= 0xdc00 || !rest_.starts_with("\\u")) {
      return false;
    }
    rest_.remove_prefix(2);
    if (!Hex(&low) || low < 0xdc00 || low > 0xdfff) {
      return false;
    }
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  AppendUtf8(code, text);
  return true;
}

bool JsonReader::Hex(uint32_t* code) {
  constexpr size_t kDigits = 4;
  if (rest_.size() < kDigits) {
    return false;
  }
  const std::from_chars_result end =
      std::from_chars(rest_.data(), rest_.data() + kDigits, *code, 16);
  const bool whole = end.ptr == rest_.data() + kDigits;
  rest_.remove_prefix(kDigits);
  return whole;
}

bool JsonReader::Unsigned(uint64_t* number) {
  SkipSpace();
  const bool zeros = rest_.size() > 1 && rest_[0] == '0' && rest_[1] >= '0' && rest_[1] <= '9';
  const std::from_chars_result end =
      std::from_chars(rest_.data(), rest_.data() + rest_.size(), *number);
  if (end.ec != std::errc() || zeros) {
    return Fail();
  }
  rest_.remove_prefix(static_cast<size_t>(end.ptr - rest_.data()));
  return true;
}

bool JsonReader::Bool(bool* value) {
  *value = Take("true");
  return *value || Take("false") || Fail();
}

bool JsonReader::Time(absl::Time* time) {
  std::string text;
  std::string error;
  return String(&text) && (absl::ParseTime(absl::RFC3339_full, text, time, &error) || Fail());
}

bool JsonReader::Null() { return Take("null"); }

bool JsonReader::AtEnd() {
  SkipSpace();
  return rest_.empty() && !wrong_;
}

}  // namespace base
