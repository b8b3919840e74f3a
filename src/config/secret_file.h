// The lines of files that hold secrets or rules about who may in: users, HBA rules, user maps.
//
// Reading is on the starting thread. Errors start with the file and line, say what is wrong there,
// and never repeat what stands there: in such a file anything may be a secret. One bad line refuses
// the whole file: a rule that is left out lets somebody in or keeps somebody out. Bound:
// kSecretFileMax bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace config {

inline constexpr size_t kSecretFileMax = 16 * 1024 * 1024;

enum class FilePrivacy : uint8_t {
  kAny,
  kOwn,  // refused if it may be read or written by others than its owner and group
};
absl::StatusOr<std::string> ReadSecretFile(const std::string& path, FilePrivacy privacy);

// "file:line: what" as kInvalidArgument.
absl::Status AtLine(std::string_view file, size_t line, std::string_view what);

// A word of a rule. In quotes, a keyword is only a name.
struct Word {
  std::string text;
  bool quoted = false;
  bool Is(std::string_view keyword) const { return !quoted && text == keyword; }
};
// A field: words with commas between them.
using Field = std::vector<Word>;
// A line of rules: fields with blanks between them. `number` counts from 1; lines that end in a
// backslash go on with the next one.
struct RuleLine {
  size_t number = 0;
  std::vector<Field> fields;
};
// The lines that are not empty, read as PostgreSQL reads pg_hba.conf (manual, section 21.1):
// comments start with '#', words may stand in double quotes, "" is a quote in them.
absl::StatusOr<std::vector<RuleLine>> ReadRuleLines(std::string_view text, std::string_view file);

}  // namespace config
