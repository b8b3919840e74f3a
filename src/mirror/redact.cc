#include "mirror/redact.h"

#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "mirror/redact_copy.h"
#include "mirror/trace.h"
#include "sql/copy_target.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

constexpr size_t kCopyFrameBytes = 64 << 10;

std::string_view Instead(const sql::Token& token) {
  switch (token.kind) {
    case sql::TokenKind::kString:
      return "''";
    case sql::TokenKind::kNumber:
      return "0";
    case sql::TokenKind::kBitString:
      return "B''";
    case sql::TokenKind::kParameter:
      return token.text;
    default:
      return "NULL";  // TRUE, FALSE
  }
}

// The ways in which the text may have been read.
std::vector<sql::LexOptions> Readings(std::string_view text, uint8_t encodings) {
  std::vector<sql::LexOptions> readings;
  const bool escapes = text.find('\\') != std::string_view::npos;
  for (uint8_t i = 0; i < sql::kEncodingCount; ++i) {
    if ((encodings >> i & 1) == 0 && !(encodings == 0 && i == 0)) {
      continue;
    }
    sql::LexOptions options;
    options.encoding = static_cast<sql::Encoding>(i);
    readings.push_back(options);
    if (escapes) {
      options.standard_conforming_strings = false;
      readings.push_back(options);
    }
  }
  return readings;
}

std::string WithoutPasswords(std::string_view text, sql::LexOptions options) {
  std::string kept;
  size_t done = 0;
  bool behind = false;  // true exactly when the token before is PASSWORD or CONNECTION
  sql::Lexer lexer(text, options);
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    if (behind && token.kind == sql::TokenKind::kString) {
      const auto start = static_cast<size_t>(token.text.data() - text.data());
      kept += text.substr(done, start - done);
      kept += "''";
      done = start + token.text.size();
    }
    behind = sql::IsWord(token, "password") || sql::IsWord(token, "connection");
  }
  return kept.append(text.substr(done));
}

// What the client's CopyData frames hold; nothing if they are cut.
std::optional<std::string> DataOf(const std::vector<base::Slice>& frames) {
  std::string wire;
  for (const base::Slice& slice : frames) {
    wire += slice.view();
  }
  std::string data;
  for (std::string_view left = wire; !left.empty();) {
    const size_t length = left.size() < 5 ? 0 : base::LoadBe32(left.data() + 1);
    if (length < 4 || left.size() - 1 < length) {
      return std::nullopt;
    }
    data += left.substr(5, length - 4);
    left.remove_prefix(1 + length);
  }
  return data;
}

std::vector<base::Slice> FramesOf(std::string_view data) {
  std::vector<base::Slice> frames;
  for (; !data.empty(); data.remove_prefix(std::min(data.size(), kCopyFrameBytes))) {
    const std::string_view part = data.substr(0, kCopyFrameBytes);
    std::string frame(1, 'd');
    base::AppendBe32(&frame, static_cast<uint32_t>(part.size() + 4));
    frames.push_back(base::Slice::CopyOf(frame.append(part)));
  }
  return frames;
}

// What stays as it was stays where it is: the steps of a statement that runs again share it.
void Replace(base::Slice* slice, std::string_view text) {
  if (slice->view() != text) {
    *slice = text.empty() ? base::Slice() : base::Slice::CopyOf(text);
  }
}

}  // namespace

// -- what is hidden -------------------------------------------------------------------------------

bool Redactor::HidesColumn(const sql::ColumnName& column) const {
  return what_.all_values ||
         std::any_of(what_.columns.begin(), what_.columns.end(),
                     [&](const sql::ColumnName& one) { return MayBeSame(one, column); });
}

// Of constants nobody knows the type.
bool Redactor::HidesConstant(const sql::Owner& owner) const {
  switch (owner.whose) {
    case sql::Owner::Whose::kNobody:
      return what_.all_values || !what_.types.empty();
    case sql::Owner::Whose::kColumn:
      return !what_.types.empty() || HidesColumn(owner.column);
    case sql::Owner::Whose::kUnknown:
      return true;
  }
  return true;
}

bool Redactor::HidesType(uint32_t type) const {
  return what_.all_values ||
         (!what_.types.empty() &&
          (type == 0 || std::find(what_.types.begin(), what_.types.end(), type) !=
                            what_.types.end()));
}

// -- texts ----------------------------------------------------------------------------------------

// One space between tokens. What is behind IS tells of no value.
std::string Redactor::WithoutConstants(std::string_view text, sql::LexOptions options) const {
  std::string kept;
  bool is = false;  // true exactly behind IS, or IS NOT
  sql::ReadOwners(text, options, [&](const sql::Token& token, const sql::Owner& owner) {
    const bool told = is && token.kind == sql::TokenKind::kIdentifier;
    is = sql::IsWord(token, "is") || (is && sql::IsWord(token, "not"));
    kept += kept.empty() ? "" : " ";
    kept += sql::IsValue(token) && !told && HidesConstant(owner) ? Instead(token) : token.text;
  });
  return kept;
}

std::string Redactor::RedactText(std::string_view text, uint8_t encodings) const {
  std::optional<std::string> kept;
  for (const sql::LexOptions& options : Readings(text, encodings)) {
    std::string one =
        what_.any() ? WithoutConstants(text, options) : WithoutPasswords(text, options);
    if (kept.has_value() && *kept != one) {
      return {};
    }
    kept = std::move(one);
  }
  return *std::move(kept);
}

// -- parameters -----------------------------------------------------------------------------------

// The text, a zero byte, the number of types, the types.
std::string Redactor::RedactParse(std::string_view body, uint8_t encodings,
                                  std::vector<uint32_t>* types) const {
  const size_t end = body.find('\0');
  if (end == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = body.substr(end);
  for (size_t at = 3; at + 4 <= rest.size(); at += 4) {
    types->push_back(base::LoadBe32(rest.data() + at));
  }
  return RedactText(body.substr(0, end), encodings).append(rest);
}

// Takes from `*keeps` what this reading does not prove: that a parameter stands somewhere, and
// wherever it does, for a column that is kept.
void Redactor::KeepProven(std::string_view text, sql::LexOptions options,
                          std::vector<bool>* keeps) const {
  std::vector<bool> proven(keeps->size());
  sql::ReadOwners(text, options, [&](const sql::Token& token, const sql::Owner& owner) {
    const size_t place =
        token.kind == sql::TokenKind::kParameter ? sql::ParameterOf(token) : size_t{0};
    if (place == 0 || place > proven.size()) {
      return;
    }
    const bool keep = owner.whose == sql::Owner::Whose::kNobody ||
                      (owner.whose == sql::Owner::Whose::kColumn && !HidesColumn(owner.column));
    proven[place - 1] = true;
    (*keeps)[place - 1] = (*keeps)[place - 1] && keep;
  });
  for (size_t i = 0; i < proven.size(); ++i) {
    (*keeps)[i] = (*keeps)[i] && proven[i];
  }
}

// The formats, the number of values, each value's length and bytes, then the result's formats.
std::string Redactor::RedactBind(std::string_view body, const std::vector<uint32_t>& types,
                                 std::string_view text, uint8_t encodings) const {
  if (body.size() < 2) {
    return {};
  }
  const size_t formats = 2 + size_t{2} * base::LoadBe16(body.data());
  if (body.size() < formats + 2) {
    return {};
  }
  std::vector<bool> keeps(base::LoadBe16(body.data() + formats), true);
  if (!what_.columns.empty()) {
    for (const sql::LexOptions& options : Readings(text, encodings)) {
      KeepProven(text, options, &keeps);
    }
  }
  std::string kept(body.substr(0, formats + 2));
  std::string_view rest = body.substr(formats + 2);
  for (size_t i = 0; i < keeps.size(); ++i) {
    if (rest.size() < 4) {
      return {};
    }
    const uint32_t length = base::LoadBe32(rest.data());
    const size_t whole = 4 + (length == 0xffffffff ? size_t{0} : size_t{length});
    if (rest.size() < whole) {
      return {};
    }
    if (!keeps[i] || HidesType(i < types.size() ? types[i] : 0)) {
      kept.append(4, '\xff');  // NULL
    } else {
      kept.append(rest.substr(0, whole));
    }
    rest.remove_prefix(whole);
  }
  return kept.append(rest);
}

// -- COPY -----------------------------------------------------------------------------------------

std::vector<base::Slice> Redactor::RedactCopy(const Step& step, std::string_view text,
                                              uint8_t encodings) const {
  if (what_.all_values || !what_.types.empty()) {
    return {};
  }
  std::optional<sql::CopyTarget> target;
  for (const sql::LexOptions& options : Readings(text, encodings)) {
    const std::optional<sql::CopyTarget> one = sql::ReadCopyTarget(text, options);
    if (!one.has_value() || (target.has_value() && *target != *one)) {
      return {};
    }
    target = one;
  }
  if (target->columns.empty()) {
    return HidesColumn(target->table) ? std::vector<base::Slice>() : step.copy;
  }
  std::vector<bool> hidden;
  for (const std::string& column : target->columns) {
    hidden.push_back(HidesColumn({target->table.schema, target->table.table, column}));
  }
  if (std::find(hidden.begin(), hidden.end(), true) == hidden.end()) {
    return step.copy;
  }
  const std::optional<std::string> data = DataOf(step.copy);
  if (!data.has_value()) {
    return {};
  }
  const bool ascii_safe = encodings <= 1;
  const std::optional<std::string> kept = HideFields(target->format, hidden, ascii_safe, *data);
  return kept.has_value() ? FramesOf(*kept) : std::vector<base::Slice>();
}

// -- all of it ------------------------------------------------------------------------------------

void Redactor::RedactStep(Step* step, uint8_t encodings) const {
  const base::Slice whole = step->extended ? step->parse : step->text;
  const std::string_view text = whole.view().substr(0, whole.view().find('\0'));
  std::vector<uint32_t> types;
  Replace(&step->text, RedactText(step->text.view(), encodings));
  step->key = RedactText(step->key, encodings);  // it may be the text
  if (!step->parse.empty()) {
    Replace(&step->parse, RedactParse(step->parse.view(), encodings, &types));
  }
  if (!what_.any()) {
    return;
  }
  Replace(&step->bind, RedactBind(step->bind.view(), types, text, encodings));
  step->copy = RedactCopy(*step, text, encodings);
  step->returned.Reset();  // nothing proves whose those values are
}

Unit Redactor::Redact(Unit unit) const {
  Replace(&unit.prepare, RedactText(unit.prepare.view(), unit.encodings));
  unit.begin = RedactText(unit.begin, unit.encodings);
  for (Step& step : unit.steps) {
    RedactStep(&step, unit.encodings);
  }
  return unit;
}

}  // namespace mirror
