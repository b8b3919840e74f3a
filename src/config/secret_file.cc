#include "config/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/status.h"
#include "config/text.h"

namespace config {
namespace {

// A descriptor for the time of reading.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) {
      close(descriptor_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  const int descriptor_;
};

// What the open file is, not what its name is by now.
absl::Status CheckFile(int descriptor, std::string_view path, FilePrivacy privacy) {
  struct stat file {};
  if (fstat(descriptor, &file) != 0) {
    return base::ErrnoError(Cat({"cannot examine ", Quote(path)}), errno);
  }
  if (!S_ISREG(file.st_mode)) {
    return base::InvalidArgument(Cat({Quote(path), " is not a regular file"}));
  }
  if (privacy == FilePrivacy::kOwn && (file.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    return base::InvalidArgument(
        Cat({Quote(path), " holds secrets and may be read by everybody; chmod 600 it"}));
  }
  return absl::OkStatus();
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

// Reads the fields of one line.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  // Nothing: a quote does not end, or a comma stands for nothing.
  std::optional<std::vector<Field>> Read() {
    std::vector<Field> fields;
    for (;;) {
      SkipBlanks();
      if (rest_.empty() || rest_.front() == '#') {
        return fields;
      }
      Field field;
      if (!ReadField(&field)) {
        return std::nullopt;
      }
      fields.push_back(std::move(field));
    }
  }

 private:
  void SkipBlanks() {
    while (!rest_.empty() && IsBlank(rest_.front())) {
      rest_.remove_prefix(1);
    }
  }
  // Blanks may follow a comma.
  bool ReadField(Field* field) {
    for (;;) {
      Word word;
      if (!ReadWord(&word) || (word.text.empty() && !word.quoted)) {
        return false;
      }
      field->push_back(std::move(word));
      if (rest_.empty() || rest_.front() != ',') {
        return true;
      }
      rest_.remove_prefix(1);
      SkipBlanks();
    }
  }
  bool ReadWord(Word* word) {
    bool in_quotes = false;
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (!in_quotes && (IsBlank(c) || c == ',' || c == '#')) {
        break;
      }
      rest_.remove_prefix(1);
      if (c != '"') {
        word->text += c;
      } else if (in_quotes && rest_.starts_with('"')) {
        word->text += '"';
        rest_.remove_prefix(1);
      } else {
        in_quotes = !in_quotes;
        word->quoted = true;
      }
    }
    return !in_quotes;
  }

  std::string_view rest_;
};

std::string_view TakeLine(std::string_view* text) {
  const size_t end = std::min(text->find('\n'), text->size());
  const std::string_view line = text->substr(0, end);
  text->remove_prefix(std::min(text->size(), end + 1));
  return line;
}

}  // namespace

absl::StatusOr<std::string> ReadSecretFile(const std::string& path, FilePrivacy privacy) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    return base::ErrnoError(Cat({"cannot open ", Quote(path)}), errno);
  }
  RETURN_IF_ERROR(CheckFile(file.get(), path, privacy));
  std::string text;
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return base::ErrnoError(Cat({"cannot read ", Quote(path)}), errno);
    }
    if (got == 0) {
      return text;
    }
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > kSecretFileMax) {
      return base::InvalidArgument(Cat({Quote(path), " is larger than 16m"}));
    }
  }
}

absl::Status AtLine(std::string_view file, size_t line, std::string_view what) {
  return base::InvalidArgument(Cat({file, ":", std::to_string(line), ": ", what}));
}

absl::StatusOr<std::vector<RuleLine>> ReadRuleLines(std::string_view text, std::string_view file) {
  std::vector<RuleLine> lines;
  size_t number = 0;
  while (!text.empty()) {
    const size_t first = ++number;
    std::string line(TakeLine(&text));
    while (line.ends_with('\\') && !text.empty()) {
      line.pop_back();
      line += TakeLine(&text);
      ++number;
    }
    if (line.find('\0') != std::string::npos) {
      return AtLine(file, first, "holds a NUL byte");
    }
    std::optional<std::vector<Field>> fields = LineReader(line).Read();
    if (!fields.has_value()) {
      return AtLine(file, first, "a quote does not end, or a comma has nothing beside it");
    }
    if (!fields->empty()) {
      lines.push_back(RuleLine{.number = first, .fields = *std::move(fields)});
    }
  }
  return lines;
}

}  // namespace config
