// Messages that only a server or a client of the tests sends, and any frame at all, as bytes.
//
// Values; any thread. They are not checked: tests also need wrong ones.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace support {

inline std::string Be16(uint16_t value) {
  std::string raw;
  base::AppendBe16(&raw, value);
  return raw;
}

inline std::string Be32(uint32_t value) {
  std::string raw;
  base::AppendBe32(&raw, value);
  return raw;
}

inline std::string CString(std::string_view text) { return std::string(text) + '\0'; }

inline std::string Frame(char type, std::string_view body) {
  return type + Be32(static_cast<uint32_t>(body.size() + 4)) + std::string(body);
}

inline std::string CommandComplete(std::string_view tag) { return Frame('C', CString(tag)); }

// Columns of type text.
inline std::string RowDescription(std::initializer_list<std::string_view> names) {
  std::string body = Be16(static_cast<uint16_t>(names.size()));
  for (const std::string_view name : names) {
    body += CString(name) + Be32(0) + Be16(0) + Be32(25) + Be16(UINT16_MAX) + Be32(UINT32_MAX) +
            Be16(0);
  }
  return Frame('T', body);
}

inline std::string Value(std::optional<std::string_view> value) {
  return value.has_value() ? Be32(static_cast<uint32_t>(value->size())) + std::string(*value)
                           : Be32(UINT32_MAX);
}

inline std::string DataRow(std::initializer_list<std::optional<std::string_view>> values) {
  std::string body = Be16(static_cast<uint16_t>(values.size()));
  for (const std::optional<std::string_view>& value : values) {
    body += Value(value);
  }
  return Frame('D', body);
}

// 'G', 'H' or 'W', text format.
inline std::string CopyResponse(char type, uint16_t columns) {
  std::string body(1, '\0');
  body += Be16(columns);
  for (uint16_t i = 0; i < columns; ++i) {
    body += Be16(0);
  }
  return Frame(type, body);
}

}  // namespace support
