#include "base/log_format.h"

#include <algorithm>

#include "base/utf8.h"

namespace base {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kCut = "...";

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarn:
      return "warn";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kDebug:
      break;
  }
  return "debug";
}

// What a terminal or a reader of lines would act upon: C0, DEL, C1, line and paragraph
// separators, and the marks that turn the direction of text.
bool IsControl(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code <= 0x9f) || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069);
}

void AppendUnicodeEscape(uint32_t code, std::string* to) {
  *to += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) {
    *to += kHex[code >> shift & 15];
  }
}

void AppendByteEscape(char byte, std::string* to) {
  const auto value = static_cast<unsigned char>(byte);
  *to += "\\x";
  *to += kHex[value >> 4];
  *to += kHex[value & 15];
}

// Every control character is below U+10000, so four digits hold it.
void AppendControl(LogFormat format, const Character& character, std::string* to) {
  switch (character.code) {
    case '\n':
      *to += "\\n";
      return;
    case '\r':
      *to += "\\r";
      return;
    case '\t':
      *to += "\\t";
      return;
    default:
      break;
  }
  if (format == LogFormat::kLogfmt && character.code < 0x80) {
    AppendByteEscape(character.bytes[0], to);
  } else {
    AppendUnicodeEscape(character.code, to);
  }
}

void AppendEscaped(LogFormat format, std::string_view text, std::string* to) {
  std::string_view rest = text.substr(0, kLogValueBytes);
  const bool cut = rest.size() < text.size();
  while (!rest.empty()) {
    const Character character = FirstCharacter(rest);
    if (!character.valid && cut && rest.size() < 4 && FirstCharacter(text.substr(
                                                          kLogValueBytes - rest.size())).valid) {
      break;  // the cut went through a character
    }
    if (!character.valid && format == LogFormat::kLogfmt) {
      AppendByteEscape(character.bytes[0], to);
    } else if (!character.valid || IsControl(character.code)) {
      AppendControl(format, character, to);
    } else {
      if (character.code == '"' || character.code == '\\') {
        *to += '\\';
      }
      *to += character.bytes;
    }
    rest.remove_prefix(character.bytes.size());
  }
  if (cut) {
    *to += kCut;
  }
}

bool IsPlain(std::string_view value) {
  return !value.empty() && value.size() <= kLogValueBytes &&
         std::all_of(value.begin(), value.end(), [](char c) {
           return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
         });
}

void AppendQuoted(LogFormat format, std::string_view value, std::string* to) {
  *to += '"';
  AppendEscaped(format, value, to);
  *to += '"';
}

// A key that would not read back as one key has its odd characters replaced.
void AppendKey(std::string_view key, std::string* to) {
  for (const char c : key.substr(0, kLogValueBytes)) {
    *to += IsPlain(std::string_view(&c, 1)) ? c : '_';
  }
}

void AppendPair(LogFormat format, const LogField& field, std::string* to) {
  if (format == LogFormat::kLogfmt) {
    *to += to->empty() ? "" : " ";
    AppendKey(field.key(), to);
    *to += '=';
    if (IsPlain(field.value())) {
      *to += field.value();
    } else {
      AppendQuoted(format, field.value(), to);
    }
    return;
  }
  *to += to->empty() ? "{" : ",";
  AppendQuoted(format, field.key(), to);
  *to += ':';
  if (field.is_number()) {
    *to += field.value();
  } else {
    AppendQuoted(format, field.value(), to);
  }
}

}  // namespace

std::string FormatLogLine(LogFormat format, const LogLine& line) {
  std::string text;
  text.reserve(256);
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", line.time, absl::UTCTimeZone());
  AppendPair(format, LogField("time", time), &text);
  AppendPair(format, LogField("level", LevelName(line.level)), &text);
  AppendPair(format, LogField("event", line.event), &text);
  for (const LogField& field : line.fields) {
    AppendPair(format, field, &text);
  }
  if (line.left_out > 0) {
    AppendPair(format, LogField("left_out", line.left_out), &text);
  }
  if (format == LogFormat::kJson) {
    text += '}';
  }
  return text;
}

}  // namespace base
