#include "config/ini_file.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "config/secret_file.h"
#include "config/text.h"

namespace config {
namespace {

constexpr size_t kDepthMax = 10;
constexpr size_t kLinesMax = 100'000;
constexpr std::string_view kInclude = "%include";

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) {
    text.remove_prefix(1);
  }
  while (!text.empty() && IsBlank(text.back())) {
    text.remove_suffix(1);
  }
  return text;
}

absl::Status Wrong(std::string_view where, std::string_view what) {
  return base::InvalidArgument(Cat({where, ": ", what}));
}

// The text up to the quote that closes, two quotes being one; npos if none does. `text` begins
// behind the quote that opens.
size_t ReadQuoted(std::string_view text, char quote, std::string* value) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == quote) {
      if (at + 1 == text.size() || text[at + 1] != quote) {
        return at + 1;
      }
      ++at;
    }
    value->push_back(text[at]);
  }
  return std::string_view::npos;
}

class IniReader {
 public:
  absl::Status ReadFile(const std::string& path, size_t depth);
  std::vector<IniLine> TakeLines() { return std::move(lines_); }

 private:
  absl::Status ReadLine(std::string_view line, const std::string& where, size_t depth);
  absl::Status ReadKey(std::string_view line, const std::string& where);

  std::string section_;
  std::vector<IniLine> lines_;
};

absl::Status IniReader::ReadFile(const std::string& path, size_t depth) {
  if (depth > kDepthMax) {
    return Wrong(path, "more than 10 files include each other");
  }
  ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(path, FilePrivacy::kAny));
  size_t number = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    ++number;
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = Trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    if (line.empty() || line.front() == ';' || line.front() == '#') {
      continue;
    }
    RETURN_IF_ERROR(ReadLine(line, Cat({path, ":", std::to_string(number)}), depth));
  }
  return absl::OkStatus();
}

absl::Status IniReader::ReadLine(std::string_view line, const std::string& where, size_t depth) {
  if (line.starts_with(kInclude) && line.size() > kInclude.size() &&
      IsBlank(line[kInclude.size()])) {
    return ReadFile(std::string(Trimmed(line.substr(kInclude.size()))), depth + 1);
  }
  if (line.front() == '[') {
    if (line.back() != ']') {
      return Wrong(where, "a section is not closed by ']'");
    }
    section_ = Trimmed(line.substr(1, line.size() - 2));
    return absl::OkStatus();
  }
  if (section_.empty()) {
    return Wrong(where, "stands before the first section");
  }
  if (lines_.size() == kLinesMax) {
    return Wrong(where, "there are more than 100000 settings");
  }
  return ReadKey(line, where);
}

absl::Status IniReader::ReadKey(std::string_view line, const std::string& where) {
  std::string key;
  if (line.front() == '"') {
    const size_t behind = ReadQuoted(line.substr(1), '"', &key);
    if (behind == std::string_view::npos) {
      return Wrong(where, "a quoted name is not closed");
    }
    line = Trimmed(line.substr(1 + behind));
  } else {
    const size_t end = std::min(line.find('='), line.size());
    key = Trimmed(line.substr(0, end));
    line = line.substr(end);
  }
  if (key.empty() || line.empty() || line.front() != '=') {
    return Wrong(where, "is not KEY = VALUE");
  }
  lines_.push_back({.section = section_,
                    .key = std::move(key),
                    .value = std::string(Trimmed(line.substr(1))),
                    .where = where});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<IniLine>> ReadIniFile(const std::string& path) {
  IniReader reader;
  RETURN_IF_ERROR(reader.ReadFile(path, 1));
  return reader.TakeLines();
}

absl::StatusOr<std::vector<IniPair>> ReadIniPairs(std::string_view text, std::string_view where) {
  std::vector<IniPair> pairs;
  for (text = Trimmed(text); !text.empty(); text = Trimmed(text)) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) {
      return Wrong(where, "has a word that is not KEY=VALUE");
    }
    IniPair pair;
    pair.key = Trimmed(text.substr(0, equals));
    text = Trimmed(text.substr(equals + 1));
    size_t end = 0;
    if (text.starts_with('\'')) {
      end = ReadQuoted(text.substr(1), '\'', &pair.value);
      if (end == std::string_view::npos) {
        return Wrong(where, "has a quoted value that is not closed");
      }
      ++end;
    } else {
      end = static_cast<size_t>(std::find_if(text.begin(), text.end(), IsBlank) - text.begin());
      pair.value = text.substr(0, end);
    }
    text.remove_prefix(end);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace config
