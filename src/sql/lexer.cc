#include "sql/lexer.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace sql {
namespace {

enum class Class : uint8_t {
  kOther,
  kSpace,
  kLetter,
  kDigit,
  kOperator,
  kSelf,
  kQuote,
  kDoubleQuote,
  kDollar
};

constexpr std::array<Class, 256> MakeClasses() {
  std::array<Class, 256> classes{};
  for (const char c : std::string_view(" \t\n\r\f\v"))
    classes[static_cast<unsigned char>(c)] = Class::kSpace;
  for (const char c : std::string_view("~!@#^&|`?+-*/%<>="))
    classes[static_cast<unsigned char>(c)] = Class::kOperator;
  for (const char c : std::string_view("()[],;.:"))
    classes[static_cast<unsigned char>(c)] = Class::kSelf;
  for (int c = 'a'; c <= 'z'; ++c) classes[static_cast<size_t>(c)] = Class::kLetter;
  for (int c = 'A'; c <= 'Z'; ++c) classes[static_cast<size_t>(c)] = Class::kLetter;
  for (int c = 0x80; c <= 0xFF; ++c) classes[static_cast<size_t>(c)] = Class::kLetter;
  for (int c = '0'; c <= '9'; ++c) classes[static_cast<size_t>(c)] = Class::kDigit;
  classes['_'] = Class::kLetter;
  classes['\''] = Class::kQuote;
  classes['"'] = Class::kDoubleQuote;
  classes['$'] = Class::kDollar;
  return classes;
}
constexpr std::array<Class, 256> kClasses = MakeClasses();

Class ClassOf(char c) { return kClasses[static_cast<unsigned char>(c)]; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsTagCharacter(char c) { return ClassOf(c) == Class::kLetter || IsDigit(c); }
bool IsIdentifierCharacter(char c) {
  const Class kind = ClassOf(c);
  return kind == Class::kLetter || kind == Class::kDigit || kind == Class::kDollar;
}
bool IsNewline(char c) { return c == '\n' || c == '\r'; }

int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

const char* Find(const char* from, const char* end, char wanted) {
  if (from == end) return end;
  const void* found = std::memchr(from, wanted, static_cast<size_t>(end - from));
  return found != nullptr ? static_cast<const char*>(found) : end;
}

const char* SkipLine(const char* at, const char* end) {
  while (at != end && !IsNewline(*at)) ++at;
  return at;
}

// A string goes on in the next line: blanks and -- comments with at least one newline, then a
// quote. Returns that quote, or null.
const char* ContinuationQuote(const char* at, const char* end) {
  bool newline = false;
  while (at != end) {
    if (ClassOf(*at) == Class::kSpace) {
      newline = newline || IsNewline(*at);
      ++at;
    } else if (*at == '-' && end - at > 1 && at[1] == '-') {
      at = SkipLine(at, end);
    } else {
      return newline && *at == '\'' ? at : nullptr;
    }
  }
  return nullptr;
}

// Digits with single underscores between them. `digit` decides which.
template <typename IsDigitOfBase>
const char* SkipDigits(const char* at, const char* end, IsDigitOfBase digit) {
  while (at != end) {
    if (digit(*at)) {
      ++at;
    } else if (*at == '_' && end - at > 1 && digit(at[1])) {
      at += 2;
    } else {
      break;
    }
  }
  return at;
}

// The end of 0x.., 0o.. or 0b.. at `at`, or null if it is none.
const char* SkipPrefixed(const char* at, const char* end) {
  if (end - at < 3 || *at != '0') return nullptr;
  const char base = static_cast<char>(at[1] | 0x20);
  const int limit = base == 'x' ? 16 : base == 'o' ? 8 : base == 'b' ? 2 : 0;
  if (limit == 0) return nullptr;
  const auto digit = [limit](char c) { return HexValue(c) >= 0 && HexValue(c) < limit; };
  const char* after = SkipDigits(at + 2, end, digit);
  return after != at + 2 ? after : nullptr;
}

void AppendUtf8(std::string* to, uint32_t code) {
  if (code < 0x80) {
    to->push_back(static_cast<char>(code));
    return;
  }
  const int rest = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  const uint32_t lead = rest == 1 ? 0xC0 : rest == 2 ? 0xE0 : 0xF0;
  to->push_back(static_cast<char>(lead | (code >> (6 * rest))));
  for (int i = rest - 1; i >= 0; --i) {
    to->push_back(static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F)));
  }
}

bool ReadHex(std::string_view digits, uint32_t* code) {
  *code = 0;
  for (const char c : digits) {
    const int value = HexValue(c);
    if (value < 0) return false;
    *code = *code << 4 | static_cast<uint32_t>(value);
  }
  return true;
}

// One \XXXX or \+XXXXXX (or a surrogate pair of them) at the front of `text`; 0 if there is none.
size_t ReadEscape(std::string_view text, char escape, uint32_t* code) {
  if (text.empty() || text[0] != escape) return 0;
  const size_t skip = text.size() > 1 && text[1] == '+' ? 2 : 1;
  const size_t digits = skip == 2 ? 6 : 4;
  if (text.size() < skip + digits || !ReadHex(text.substr(skip, digits), code)) return 0;
  return *code <= 0x10FFFF ? skip + digits : 0;
}

std::string ResolveUnicode(std::string_view body, char escape) {
  std::string out;
  while (!body.empty()) {
    if (body.size() > 1 && body[0] == escape && body[1] == escape) {
      out.push_back(escape);
      body.remove_prefix(2);
      continue;
    }
    uint32_t code = 0;
    size_t used = ReadEscape(body, escape, &code);
    if (used == 0) {
      out.push_back(body[0]);
      body.remove_prefix(1);
      continue;
    }
    uint32_t low = 0;
    if (code >= 0xD800 && code < 0xDC00) {
      const size_t second = ReadEscape(body.substr(used), escape, &low);
      if (second != 0 && low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        used += second;
      }
    }
    AppendUtf8(&out, code);
    body.remove_prefix(used);
  }
  return out;
}

void CutToName(std::string* name) {
  constexpr size_t kNameBytesMax = 63;  // NAMEDATALEN - 1
  if (name->size() <= kNameBytesMax) return;
  size_t length = kNameBytesMax;
  while (length > 0 && (static_cast<unsigned char>((*name)[length]) & 0xC0) == 0x80) --length;
  name->resize(length);
}

struct EncodingRow {
  std::string_view name;
  Encoding encoding;
};
constexpr EncodingRow kEncodings[] = {
    {"sjis", Encoding::kSjis},         {"shiftjis", Encoding::kSjis},
    {"mskanji", Encoding::kSjis},      {"win932", Encoding::kSjis},
    {"windows932", Encoding::kSjis},   {"shiftjis2004", Encoding::kSjis},
    {"big5", Encoding::kTwoBytes},     {"win950", Encoding::kTwoBytes},
    {"windows950", Encoding::kTwoBytes}, {"gbk", Encoding::kTwoBytes},
    {"win936", Encoding::kTwoBytes},   {"windows936", Encoding::kTwoBytes},
    {"uhc", Encoding::kTwoBytes},      {"win949", Encoding::kTwoBytes},
    {"windows949", Encoding::kTwoBytes}, {"johab", Encoding::kJohab},
    {"gb18030", Encoding::kGb18030},
};

}  // namespace

enum class Lexer::Quote : uint8_t {
  kBits,    // no doubled quotes, no escapes
  kPlain,   // '' is a quote
  kEscape,  // and so is \'
};

Encoding EncodingOf(std::string_view name) {
  std::string plain;  // as PostgreSQL compares them: letters and digits only
  for (const char c : name) {
    if (ClassOf(c) == Class::kDigit || (c >= 'a' && c <= 'z')) plain.push_back(c);
    if (c >= 'A' && c <= 'Z') plain.push_back(static_cast<char>(c | 0x20));
  }
  for (const EncodingRow& row : kEncodings) {
    if (row.name == plain) return row.encoding;
  }
  return Encoding::kAsciiSafe;
}

Lexer::Lexer(std::string_view text, LexOptions options)
    : at_(text.data()),
      end_(text.data() + text.size()),
      signs_end_(text.data()),
      options_(options) {}

Token Lexer::Next() {
  const bool closed = SkipGap();
  const char* start = at_;
  if (at_ == end_) return Make(start, TokenKind::kEnd, closed);
  switch (ClassOf(*at_)) {
    case Class::kLetter:
      return Word(start);
    case Class::kDigit:
      return Number(start);
    case Class::kOperator:
      return Operator(start);
    case Class::kSelf:
      return Punctuation(start);
    case Class::kQuote:
      return String(start, start,
                    options_.standard_conforming_strings ? Quote::kPlain : Quote::kEscape,
                    TokenKind::kString);
    case Class::kDoubleQuote:
      return QuotedIdentifier(start, start);
    case Class::kDollar:
      return Dollar(start);
    case Class::kSpace:
    case Class::kOther:
      break;
  }
  ++at_;
  return Make(start, TokenKind::kOther);
}

// False exactly when a comment ran into the end.
bool Lexer::SkipGap() {
  while (at_ != end_) {
    if (ClassOf(*at_) == Class::kSpace) {
      ++at_;
    } else if (*at_ == '-' && Peek(1) == '-') {
      at_ = SkipLine(at_, end_);
    } else if (*at_ == '/' && Peek(1) == '*') {
      if (!SkipBlockComment()) return false;
    } else {
      break;
    }
  }
  return true;
}

bool Lexer::SkipBlockComment() {
  size_t depth = 0;
  while (at_ != end_) {
    if (*at_ == '/' && Peek(1) == '*') {
      ++depth;
      at_ += 2;
    } else if (*at_ == '*' && Peek(1) == '/') {
      at_ += 2;
      if (--depth == 0) return true;
    } else {
      ++at_;
    }
  }
  return false;
}

Token Lexer::Make(const char* start, TokenKind kind, bool terminated) const {
  Token token;
  token.text = std::string_view(start, static_cast<size_t>(at_ - start));
  token.kind = kind;
  token.terminated = terminated;
  const bool single = kind == TokenKind::kSymbol || kind == TokenKind::kOperator;
  token.symbol = single && token.text.size() == 1 ? *start : '\0';
  return token;
}

Token Lexer::Word(const char* start) {
  const char next = Peek(1);
  if (next == '\'' || next == '&') {
    const char letter = static_cast<char>(*start | 0x20);
    if (letter == 'u' && next == '&' && Peek(2) == '\'') {
      return String(start, start + 2, Quote::kPlain, TokenKind::kString);
    }
    if (letter == 'u' && next == '&' && Peek(2) == '"') return QuotedIdentifier(start, start + 2);
    if (next == '\'' && letter == 'e') {
      return String(start, start + 1, Quote::kEscape, TokenKind::kString);
    }
    if (next == '\'' && (letter == 'b' || letter == 'x')) {
      return String(start, start + 1, Quote::kBits, TokenKind::kBitString);
    }
    if (next == '\'' && letter == 'n') {
      return String(start, start + 1,
                    options_.standard_conforming_strings ? Quote::kPlain : Quote::kEscape,
                    TokenKind::kString);
    }
  }
  while (at_ != end_ && IsIdentifierCharacter(*at_)) at_ = AfterCharacter(at_);
  return Make(start, TokenKind::kIdentifier);
}

Token Lexer::String(const char* start, const char* open, Quote quote, TokenKind kind) {
  at_ = open + 1;
  while (FindClosingQuote(quote)) {
    const char* again = ContinuationQuote(at_, end_);
    if (again == nullptr) return Make(start, kind);
    at_ = again + 1;
  }
  return Make(start, kind, false);
}

// Moves behind the quote that closes this part; false, at the end of the text, if none does.
bool Lexer::FindClosingQuote(Quote quote) {
  while (at_ != end_) {
    if (quote == Quote::kEscape) {
      SkipEscapedPart();
      if (at_ != end_ && *at_ == '\\') {
        at_ += end_ - at_ > 1 ? 2 : 1;
        continue;
      }
    } else {
      at_ = Find(at_, end_, '\'');
    }
    if (at_ == end_) return false;
    ++at_;
    if (quote == Quote::kBits || at_ == end_ || *at_ != '\'') return true;
    ++at_;
  }
  return false;
}

// Up to a quote or backslash that is a character of its own. No other kind of quoting needs this:
// no byte behind a character's first is a quote, a dollar sign or part of a comment's end.
void Lexer::SkipEscapedPart() {
  if (options_.encoding == Encoding::kAsciiSafe) {
    while (at_ != end_ && *at_ != '\'' && *at_ != '\\') ++at_;
  } else {
    while (at_ != end_ && *at_ != '\'' && *at_ != '\\') at_ = AfterCharacter(at_);
  }
}

const char* Lexer::AfterCharacter(const char* at) const {
  const auto first = static_cast<unsigned char>(*at);
  if (first < 0x80 || options_.encoding == Encoding::kAsciiSafe) return at + 1;
  std::ptrdiff_t bytes = 2;
  switch (options_.encoding) {
    case Encoding::kAsciiSafe:
    case Encoding::kTwoBytes:
      break;
    case Encoding::kSjis:
      if (first >= 0xA1 && first <= 0xDF) bytes = 1;
      break;
    case Encoding::kJohab:
      if (first == 0x8F) bytes = 3;
      break;
    case Encoding::kGb18030:
      if (end_ - at > 1 && IsDigit(at[1])) bytes = 4;
      break;
  }
  return end_ - at > bytes ? at + bytes : end_;
}

Token Lexer::QuotedIdentifier(const char* start, const char* open) {
  at_ = open + 1;
  while ((at_ = Find(at_, end_, '"')) != end_) {
    ++at_;
    if (at_ == end_ || *at_ != '"') return Make(start, TokenKind::kQuotedIdentifier);
    ++at_;
  }
  return Make(start, TokenKind::kQuotedIdentifier, false);
}

// $1, $$...$$, $tag$...$tag$, or a lone $. Searching the delimiter is linear: it has no $ inside,
// so a comparison that fails stops at the next $.
Token Lexer::Dollar(const char* start) {
  ++at_;
  if (at_ != end_ && IsDigit(*at_)) {
    while (at_ != end_ && IsDigit(*at_)) ++at_;
    return Make(start, TokenKind::kParameter);
  }
  const char* tag = at_;
  while (tag != end_ && IsTagCharacter(*tag)) tag = AfterCharacter(tag);
  if (tag == end_ || *tag != '$') return Make(start, TokenKind::kOther);
  const std::string_view delimiter(start, static_cast<size_t>(tag + 1 - start));
  const std::string_view rest(tag + 1, static_cast<size_t>(end_ - (tag + 1)));
  const size_t found = rest.find(delimiter);
  at_ = found == std::string_view::npos ? end_ : rest.data() + found + delimiter.size();
  return Make(start, TokenKind::kString, found != std::string_view::npos);
}

Token Lexer::Number(const char* start) {
  if (const char* after = SkipPrefixed(at_, end_); after != nullptr) {
    at_ = after;
    return Make(start, TokenKind::kNumber);
  }
  at_ = SkipDigits(at_, end_, IsDigit);
  if (at_ != end_ && *at_ == '.' && Peek(1) != '.') {
    ++at_;
    if (at_ != end_ && IsDigit(*at_)) at_ = SkipDigits(at_, end_, IsDigit);
  }
  if (at_ != end_ && (*at_ | 0x20) == 'e') {
    const size_t sign = Peek(1) == '+' || Peek(1) == '-' ? 1 : 0;
    if (IsDigit(Peek(1 + sign))) at_ = SkipDigits(at_ + 1 + sign, end_, IsDigit);
  }
  return Make(start, TokenKind::kNumber);
}

// The longest run of operator characters, up to where a comment starts. A run of several without
// one of ~!@#^&|`?% gives back its + and - at the end (manual, 4.1.3), which are then tokens of one
// character each; signs_end_ remembers how far, or a long run of them would be scanned once per
// token.
Token Lexer::Operator(const char* start) {
  if (at_ < signs_end_) {
    ++at_;
    return Make(start, TokenKind::kOperator);
  }
  const char* run = at_;
  const char* unsigned_end = at_;  // behind the last character that is neither + nor -
  bool free = false;
  while (run != end_ && ClassOf(*run) == Class::kOperator) {
    const char next = end_ - run > 1 ? run[1] : '\0';
    if ((*run == '-' && next == '-') || (*run == '/' && next == '*')) break;
    switch (*run) {
      case '+':
      case '-':
        break;
      case '*':
      case '/':
      case '<':
      case '>':
      case '=':
        unsigned_end = run + 1;
        break;
      default:
        free = true;
    }
    ++run;
  }
  if (free) {
    at_ = run;
  } else {
    at_ = unsigned_end > start ? unsigned_end : start + 1;
    signs_end_ = run;
  }
  return Make(start, TokenKind::kOperator);
}

Token Lexer::Punctuation(const char* start) {
  const char next = Peek(1);
  if (*start == '.' && IsDigit(next)) {
    at_ = start;
    return Number(start);
  }
  ++at_;
  const bool two =
      (*start == '.' && next == '.') || (*start == ':' && (next == ':' || next == '='));
  if (two) ++at_;
  return Make(start, TokenKind::kSymbol);
}

std::string IdentifierName(const Token& token, char escape) {
  std::string name;
  if (token.kind != TokenKind::kQuotedIdentifier) {
    name.reserve(token.text.size());
    for (const char c : token.text) {
      name.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c);
    }
    CutToName(&name);
    return name;
  }
  const bool unicode = token.text[0] != '"';
  std::string_view body = token.text.substr(unicode ? 3 : 1);
  if (token.terminated) body.remove_suffix(1);
  name.reserve(body.size());
  for (size_t i = 0; i < body.size(); ++i) {
    name.push_back(body[i]);
    if (body[i] == '"') ++i;  // the second of a pair
  }
  if (unicode) name = ResolveUnicode(name, escape);
  CutToName(&name);
  return name;
}

}  // namespace sql
