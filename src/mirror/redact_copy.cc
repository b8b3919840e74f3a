#include "mirror/redact_copy.h"

#include <algorithm>

#include "base/bytes.h"

namespace mirror {
namespace {

// Copies fields to `kept`, hidden ones as `null`, and counts them.
class Rows {
 public:
  Rows(const std::vector<bool>* hidden, std::string_view null) : hidden_(*hidden), null_(null) {}

  // False: the row has more fields than there are columns.
  bool Field(std::string_view field, std::string_view separator) {
    if (place_ == hidden_.size()) {
      return false;
    }
    kept_ += hidden_[place_++] ? null_ : field;
    kept_ += separator;
    return true;
  }
  bool EndRow() {
    const bool whole = place_ == hidden_.size();
    place_ = 0;
    return whole;
  }
  void Add(std::string_view bytes) { kept_ += bytes; }
  std::string Take() { return std::move(kept_); }

 private:
  const std::vector<bool>& hidden_;
  const std::string_view null_;
  std::string kept_;
  size_t place_ = 0;
};

// The end of a line at `at`: "\n", "\r" or both.
std::string_view EndOfLine(std::string_view data, size_t at) {
  return data.substr(at, data.substr(at).starts_with("\r\n") ? 2 : 1);
}

// Where the field at `begin` ends. In text a backslash takes the next byte with it, in CSV what is
// between double quotes is of the field.
size_t EndOfField(bool csv, std::string_view data, size_t begin) {
  bool quoted = false;
  size_t at = begin;
  for (; at < data.size(); ++at) {
    const char c = data[at];
    quoted ^= csv && c == '"';
    if (!csv && c == '\\') {
      ++at;
    } else if (!quoted && (c == (csv ? ',' : '\t') || c == '\n' || c == '\r')) {
      break;
    }
  }
  return std::min(at, data.size());
}

std::optional<std::string> HideInLines(bool csv, const std::vector<bool>& hidden,
                                       std::string_view data) {
  constexpr std::string_view kEndOfData = "\\.";
  Rows rows(&hidden, csv ? "" : "\\N");
  bool row_begins = true;
  size_t at = 0;
  while (at < data.size() || !row_begins) {
    const size_t end = EndOfField(csv, data, at);
    const std::string_view field = data.substr(at, end - at);
    const bool row_ends = end == data.size() || data[end] == '\n' || data[end] == '\r';
    if (row_begins && row_ends && field == kEndOfData) {
      break;  // what is behind it, the server does not read
    }
    const std::string_view separator = end == data.size() ? std::string_view()
                                       : row_ends         ? EndOfLine(data, end)
                                                          : data.substr(end, 1);
    if (!rows.Field(field, separator) || (row_ends && !rows.EndRow())) {
      return std::nullopt;
    }
    at = end + separator.size();
    row_begins = row_ends;
  }
  return rows.Take();
}

// The signature, flags, an extension; for each row the number of fields, and each with its length.
std::optional<std::string> HideInBinary(const std::vector<bool>& hidden, std::string_view data) {
  constexpr size_t kHead = 19;
  constexpr std::string_view kTrailer("\xff\xff", 2);
  constexpr std::string_view kNull("\xff\xff\xff\xff", 4);
  if (data.size() < kHead || base::LoadBe32(data.data() + 11) != 0 ||
      base::LoadBe32(data.data() + 15) != 0) {
    return std::nullopt;
  }
  Rows rows(&hidden, kNull);
  rows.Add(data.substr(0, kHead));
  data.remove_prefix(kHead);
  while (!data.empty() && !data.starts_with(kTrailer)) {
    if (data.size() < 2 || base::LoadBe16(data.data()) != hidden.size()) {
      return std::nullopt;
    }
    rows.Add(data.substr(0, 2));
    data.remove_prefix(2);
    for (size_t i = 0; i < hidden.size(); ++i) {
      const bool null = data.starts_with(kNull);
      const size_t length = data.size() < 4 || null ? 0 : base::LoadBe32(data.data());
      if (data.size() < 4 || data.size() - 4 < length ||
          !rows.Field(data.substr(0, 4 + length), {})) {
        return std::nullopt;
      }
      data.remove_prefix(4 + length);
    }
    if (!rows.EndRow()) {
      return std::nullopt;
    }
  }
  rows.Add(data.substr(0, kTrailer.size()));
  return rows.Take();
}

bool HasHighBytes(std::string_view data) {
  return std::any_of(data.begin(), data.end(), [](char c) { return (c & 0x80) != 0; });
}

}  // namespace

std::optional<std::string> HideFields(sql::CopyTarget::Format format,
                                      const std::vector<bool>& hidden, bool ascii_safe,
                                      std::string_view data) {
  switch (format) {
    case sql::CopyTarget::Format::kBinary:
      return HideInBinary(hidden, data);
    case sql::CopyTarget::Format::kCsv:
      return HideInLines(true, hidden, data);
    case sql::CopyTarget::Format::kText:
      break;
  }
  if (!ascii_safe && HasHighBytes(data)) {
    return std::nullopt;
  }
  return HideInLines(false, hidden, data);
}

}  // namespace mirror
