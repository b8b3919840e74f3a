#include "config/users_file.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "config/secret_file.h"

namespace config {
namespace {

void SkipBlanks(std::string_view* rest) {
  while (!rest->empty() && (rest->front() == ' ' || rest->front() == '\t')) {
    rest->remove_prefix(1);
  }
}

// `"text"` with "" for a quote; nothing if it is none.
std::optional<std::string> TakeQuoted(std::string_view* rest) {
  if (!rest->starts_with('"')) {
    return std::nullopt;
  }
  std::string text;
  for (size_t i = 1; i < rest->size(); ++i) {
    if ((*rest)[i] != '"') {
      text += (*rest)[i];
    } else if (i + 1 < rest->size() && (*rest)[i + 1] == '"') {
      text += '"';
      ++i;
    } else {
      rest->remove_prefix(i + 1);
      return text;
    }
  }
  return std::nullopt;
}

absl::Status ParseLine(std::string_view line, std::string_view file, size_t number, Users* users) {
  SkipBlanks(&line);
  if (line.empty() || line.front() == ';' || line.front() == '#') {
    return absl::OkStatus();
  }
  std::optional<std::string> user = TakeQuoted(&line);
  SkipBlanks(&line);
  std::optional<std::string> secret = TakeQuoted(&line);
  SkipBlanks(&line);
  if (!user.has_value() || !secret.has_value()) {
    return AtLine(file, number, "is not \"user\" \"secret\", both in double quotes");
  }
  if (!line.empty() && line.front() != ';' && line.front() != '#') {
    return AtLine(file, number, "has more than \"user\" \"secret\"");
  }
  if (user->empty()) {
    return AtLine(file, number, "names no user");
  }
  if (user->find('\0') != std::string::npos || secret->find('\0') != std::string::npos) {
    return AtLine(file, number, "holds a NUL byte");
  }
  if (!users->emplace(*std::move(user), *std::move(secret)).second) {
    return AtLine(file, number, "names a user that an earlier line names already");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Users> ParseUsers(std::string_view text, std::string_view file) {
  Users users;
  size_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    const absl::Status parsed = ParseLine(line, file, ++number, &users);
    if (!parsed.ok()) {
      return parsed;
    }
  }
  return users;
}

}  // namespace config
