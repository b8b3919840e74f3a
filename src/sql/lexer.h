// Lexer: PostgreSQL's tokens, one at a time, as views of the text (manual, section 4.1).
//
// A value on the caller's stack; any thread. The text must outlive the tokens. It never allocates,
// never recurses and takes time linear in the text, whatever the text. It cannot fail: what does
// not end (string, quoted identifier, comment) ends at the end of the text and says so in
// Token::terminated; a byte that begins nothing is a token of its own.
// It follows the newest server where versions differ (0x1F, 1_000), and older ones where the newest
// refuses the text (1from). In client encodings whose characters may hold ASCII bytes behind their
// first one (SJIS, BIG5, GBK, UHC, GB18030, JOHAB) it must be told which (LexOptions::encoding).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sql {

// How many bytes a character has, in the client encodings where that matters: a byte that looks
// like a backslash, a letter or a semicolon may be the second one of a character.
enum class Encoding : uint8_t {
  kAsciiSafe,  // bytes behind a character's first are above 127: UTF8, LATIN1, EUC_JP, ...
  kSjis,       // SJIS, SHIFT_JIS_2004: two, but 0xA1 to 0xDF stand alone
  kTwoBytes,   // BIG5, GBK, UHC
  kJohab,      // two, behind 0x8F three
  kGb18030,    // two or four
};
inline constexpr uint8_t kEncodingCount = 5;

// `name`: a value of client_encoding, in any spelling that PostgreSQL takes; kAsciiSafe for what is
// not known.
Encoding EncodingOf(std::string_view name);

struct LexOptions {
  // The setting of that name: off, a backslash escapes in '...' too.
  bool standard_conforming_strings = true;
  Encoding encoding = Encoding::kAsciiSafe;
  bool operator==(const LexOptions&) const = default;
};

enum class TokenKind : uint8_t {
  kEnd,               // the text is over
  kIdentifier,        // unquoted, keywords too
  kQuotedIdentifier,  // "..." or U&"..."
  kString,            // '...', E'...', N'...', U&'...', $tag$...$tag$; parts that a newline joins
                      // ('a' newline 'b') are one token
  kBitString,         // B'...', X'...'
  kNumber,
  kParameter,  // $1
  kOperator,
  kSymbol,  // ( ) [ ] , ; . : and .. :: :=
  kOther,   // a byte that begins no token
};

struct Token {
  std::string_view text;
  TokenKind kind = TokenKind::kEnd;
  char symbol = 0;         // the character of a kSymbol or kOperator of one character, else 0
  bool terminated = true;  // false: it, or for kEnd the comment before it, ran into the end
};

class Lexer {
 public:
  explicit Lexer(std::string_view text, LexOptions options = {});

  // The next token; kEnd for ever once the text is over.
  Token Next();

 private:
  enum class Quote : uint8_t;

  bool SkipGap();
  bool SkipBlockComment();
  Token Make(const char* start, TokenKind kind, bool terminated = true) const;
  Token Word(const char* start);
  Token String(const char* start, const char* open, Quote quote, TokenKind kind);
  bool FindClosingQuote(Quote quote);
  void SkipEscapedPart();
  const char* AfterCharacter(const char* at) const;
  Token QuotedIdentifier(const char* start, const char* open);
  Token Dollar(const char* start);
  Token Number(const char* start);
  Token Operator(const char* start);
  Token Punctuation(const char* start);
  char Peek(size_t ahead) const {
    return ahead < static_cast<size_t>(end_ - at_) ? at_[ahead] : '\0';
  }

  const char* at_;
  const char* end_;
  const char* signs_end_;  // up to here only + and -, each its own token (see Operator)
  LexOptions options_;
};

// The name that an identifier token means: unquoted folded to lower case (ASCII, as a UTF-8 server
// does), quotes and U& escapes resolved, cut to PostgreSQL's 63 bytes at a character's border.
// `escape`: the character that UESCAPE names. An invalid escape stays as it is written.
std::string IdentifierName(const Token& token, char escape = '\\');

}  // namespace sql
