#include "mirror/redact.h"

#include <algorithm>

#include "base/bytes.h"
#include "sql/lexer.h"

namespace mirror {
namespace {

using config::CaptureRedact;

bool IsPassword(std::string_view word) {
  constexpr std::string_view kPassword = "password";
  return std::equal(word.begin(), word.end(), kPassword.begin(), kPassword.end(),
                    [](char a, char b) { return (a | 0x20) == b; });
}

std::string_view Instead(sql::TokenKind kind) {
  switch (kind) {
    case sql::TokenKind::kString:
      return "''";
    case sql::TokenKind::kNumber:
      return "0";
    case sql::TokenKind::kBitString:
      return "B''";
    default:
      return {};
  }
}

// Without constants and comments; one space between tokens.
std::string WithoutConstants(std::string_view text, sql::LexOptions options) {
  std::string kept;
  sql::Lexer lexer(text, options);
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    kept += kept.empty() ? "" : " ";
    const std::string_view instead = Instead(token.kind);
    kept += instead.empty() ? token.text : instead;
  }
  return kept;
}

std::string WithoutPasswords(std::string_view text, sql::LexOptions options) {
  std::string kept;
  size_t done = 0;
  bool behind = false;  // true exactly when the token before is PASSWORD
  sql::Lexer lexer(text, options);
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    if (behind && token.kind == sql::TokenKind::kString) {
      const auto start = static_cast<size_t>(token.text.data() - text.data());
      kept += text.substr(done, start - done);
      kept += "''";
      done = start + token.text.size();
    }
    behind = token.kind == sql::TokenKind::kIdentifier && IsPassword(token.text);
  }
  return kept.append(text.substr(done));
}

base::Slice SliceOf(std::string_view text) {
  return text.empty() ? base::Slice() : base::Slice::CopyOf(text);
}

}  // namespace

std::string Redactor::RedactText(std::string_view text) const {
  const auto redact = what_ == CaptureRedact::kNone ? WithoutPasswords : WithoutConstants;
  const sql::LexOptions standard{.standard_conforming_strings = true};
  const sql::LexOptions escaping{.standard_conforming_strings = false};
  std::string kept = redact(text, standard);
  if (text.find('\\') != std::string_view::npos && kept != redact(text, escaping)) {
    return {};
  }
  return kept;
}

bool Redactor::Hides(uint32_t type) const {
  return what_ == CaptureRedact::kAllValues ||
         (what_ == CaptureRedact::kTypes &&
          (type == 0 || std::find(types_.begin(), types_.end(), type) != types_.end()));
}

// The text, a zero byte, the number of types, the types.
std::string Redactor::RedactParse(std::string_view body, std::vector<uint32_t>* types) const {
  const size_t end = body.find('\0');
  if (end == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = body.substr(end);
  for (size_t at = 3; at + 4 <= rest.size(); at += 4) {
    types->push_back(base::LoadBe32(rest.data() + at));
  }
  return RedactText(body.substr(0, end)).append(rest);
}

// The formats, the number of values, each value's length and bytes, then the result's formats.
std::string Redactor::RedactBind(std::string_view body, const std::vector<uint32_t>& types) const {
  if (body.size() < 2) {
    return {};
  }
  const size_t formats = 2 + size_t{2} * base::LoadBe16(body.data());
  if (body.size() < formats + 2) {
    return {};
  }
  const uint16_t count = base::LoadBe16(body.data() + formats);
  std::string kept(body.substr(0, formats + 2));
  std::string_view rest = body.substr(formats + 2);
  for (uint16_t i = 0; i < count; ++i) {
    if (rest.size() < 4) {
      return {};
    }
    const uint32_t length = base::LoadBe32(rest.data());
    const size_t whole = 4 + (length == 0xffffffff ? size_t{0} : size_t{length});
    if (rest.size() < whole) {
      return {};
    }
    if (Hides(i < types.size() ? types[i] : 0)) {
      kept.append(4, '\xff');  // NULL
    } else {
      kept.append(rest.substr(0, whole));
    }
    rest.remove_prefix(whole);
  }
  return kept.append(rest);
}

void Redactor::RedactStep(Step* step) const {
  std::vector<uint32_t> types;
  step->text = SliceOf(RedactText(step->text.view()));
  step->key = RedactText(step->key);  // it may be the text
  if (!step->parse.empty()) {
    step->parse = SliceOf(RedactParse(step->parse.view(), &types));
  }
  if (what_ == CaptureRedact::kNone) {
    return;
  }
  step->bind = SliceOf(RedactBind(step->bind.view(), types));
  step->copy.clear();
}

Unit Redactor::Redact(Unit unit) const {
  unit.prepare = SliceOf(RedactText(unit.prepare.view()));
  unit.begin = RedactText(unit.begin);
  for (Step& step : unit.steps) {
    RedactStep(&step);
  }
  return unit;
}

}  // namespace mirror
