#include "admin/labels.h"

namespace admin {
namespace {

bool IsKeyByte(char byte, bool first) {
  const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
  return letter || (!first && byte >= '0' && byte <= '9');
}

// Length of the key at the start of `text`; 0: there is none.
size_t KeyLength(std::string_view text) {
  size_t length = 0;
  while (length < text.size() && IsKeyByte(text[length], length == 0)) {
    ++length;
  }
  return length;
}

// Length of the quoted value at the start of `text`, quotes included; 0: there is none.
size_t ValueLength(std::string_view text) {
  if (text.empty() || text[0] != '"') {
    return 0;
  }
  size_t at = 1;
  while (at < text.size() && text[at] != '"' && text[at] != '\n') {
    if (text[at] == '\\') {
      ++at;
      if (at == text.size() || std::string_view("\\\"n").find(text[at]) == std::string_view::npos) {
        return 0;
      }
    }
    ++at;
  }
  return at < text.size() && text[at] == '"' ? at + 1 : 0;
}

}  // namespace

std::optional<std::string> WithoutShard(std::string_view labels) {
  std::string kept;
  while (!labels.empty()) {
    const size_t key = KeyLength(labels);
    if (key == 0 || key == labels.size() || labels[key] != '=') {
      return std::nullopt;
    }
    const size_t value = ValueLength(labels.substr(key + 1));
    const size_t length = key + 1 + value;
    if (value == 0 || (length < labels.size() && labels[length] != ',') ||
        length + 1 == labels.size()) {
      return std::nullopt;
    }
    if (labels.substr(0, key) != "shard") {
      kept += kept.empty() ? "" : ",";
      kept += labels.substr(0, length);
    }
    labels.remove_prefix(length < labels.size() ? length + 1 : length);
  }
  return kept;
}

}  // namespace admin
