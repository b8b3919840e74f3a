#include "sql/lexer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "unit/sql/describe.h"

namespace {

using sql::Lexer;
using sql::LexOptions;
using sql::Token;
using sql::TokenKind;
using sql_test::DescribeTokens;

struct Row {
  const char* text;
  const char* tokens;
};

TEST(Lexer, FindsTheTokensPostgresFinds) {
  const Row kRows[] = {
      {"", ""},
      {" \t\r\n\f\v", ""},
      {"select a_1$x", "id<select> id<a_1$x>"},
      {"\xC3\xA4\xC3\xB6 _x", "id<\xC3\xA4\xC3\xB6> id<_x>"},
      {"\"a b\" \"a\"\"b\" \"\"", "quoted<\"a b\"> quoted<\"a\"\"b\"> quoted<\"\">"},
      {"U&\"d\\0061t\" u&\"x\"", "quoted<U&\"d\\0061t\"> quoted<u&\"x\">"},
      {"u&b", "id<u> op<&> id<b>"},
      {"'a' 'it''s' ''", "str<'a'> str<'it''s'> str<''>"},
      {"'a\\' 'b'", "str<'a\\'> str<'b'>"},
      {"E'a\\'b' e'\\\\'", "str<E'a\\'b'> str<e'\\\\'>"},
      {"e'a''b\\''", "str<e'a''b\\''>"},
      {"N'a' n'b''c'", "str<N'a'> str<n'b''c'>"},
      {"U&'\\0441' u&'a''b'", "str<U&'\\0441'> str<u&'a''b'>"},
      {"b'01' X'1F' x''", "bits<b'01'> bits<X'1F'> bits<x''>"},
      {"b'0''1'", "bits<b'0'> str<'1'>"},
      {"'a'\n'b'", "str<'a'\n'b'>"},
      {"'a' -- c\n  'b'", "str<'a' -- c\n  'b'>"},
      {"'a' 'b'", "str<'a'> str<'b'>"},
      {"'a' /* c\n */ 'b'", "str<'a'> str<'b'>"},
      {"e'a'\n'\\'b'", "str<e'a'\n'\\'b'>"},
      {"x'1'\n'2' y", "bits<x'1'\n'2'> id<y>"},
      {"'a'\n--\n--x\n'b' c", "str<'a'\n--\n--x\n'b'> id<c>"},
      {"'a'\n\"b\"", "str<'a'> quoted<\"b\">"},
      {"$$a'b$$ $t$x$$y$t$", "str<$$a'b$$> str<$t$x$$y$t$>"},
      {"$t$ $T$ $t$", "str<$t$ $T$ $t$>"},
      {"$a$ $b$a$ c", "str<$a$ $b$a$> id<c>"},
      {"$\xC3\xA4$;$\xC3\xA4$", "str<$\xC3\xA4$;$\xC3\xA4$>"},
      {"$1 $23a $1$$x$$", "param<$1> param<$23> id<a> param<$1> str<$$x$$>"},
      {"a$b$c", "id<a$b$c>"},
      {"$ $a b", "other<$> other<$> id<a> id<b>"},
      {"$1a$ x", "param<$1> id<a$> id<x>"},
      {"1 42.5 .5 5. 1e5 1.5E-3 2e+7",
       "num<1> num<42.5> num<.5> num<5.> num<1e5> num<1.5E-3> num<2e+7>"},
      {"1..2", "num<1> sym<..> num<2>"},
      {"1.e5 1.5.6", "num<1.e5> num<1.5> num<.6>"},
      {"1e 1e+ 1ex", "num<1> id<e> num<1> id<e> op<+> num<1> id<ex>"},
      {"0x1F 0o17 0b01 1_000 1__0", "num<0x1F> num<0o17> num<0b01> num<1_000> num<1> id<__0>"},
      {"0x'1'", "num<0> bits<x'1'>"},
      {"1from", "num<1> id<from>"},
      {"a.b", "id<a> sym<.> id<b>"},
      {"a::int :x :=", "id<a> sym<::> id<int> sym<:> id<x> sym<:=>"},
      {"(a[1:2]);", "sym<(> id<a> sym<[> num<1> sym<:> num<2> sym<]> sym<)> sym<;>"},
      {"a<>b!=c=>d", "id<a> op<<>> id<b> op<!=> id<c> op<=>> id<d>"},
      {"1+-2", "num<1> op<+> op<-> num<2>"},
      {"a=-1", "id<a> op<=> op<-> num<1>"},
      {"a@-1", "id<a> op<@-> num<1>"},
      {"a<=+-1", "id<a> op<<=> op<+> op<-> num<1>"},
      {"+++1", "op<+> op<+> op<+> num<1>"},
      {"a*/*c*/b", "id<a> op<*> id<b>"},
      {"a+--c\nb", "id<a> op<+> id<b>"},
      {"a@/*c*/-b", "id<a> op<@> op<-> id<b>"},
      {"->>#>?|", "op<->>#>?|>"},
      {"a/b", "id<a> op</> id<b>"},
      {"--only", ""},
      {"-- a\rb", "id<b>"},
      {"/* a /* b */ c */ d", "id<d>"},
      {"/*/ a */ d", "id<d>"},
      {"/**/a/***/b", "id<a> id<b>"},
      {"/*/**/*/x", "id<x>"},
      {"'--' \"/*\" x", "str<'--'> quoted<\"/*\"> id<x>"},
      {"\\ { }", "other<\\> other<{> other<}>"},
  };
  for (const Row& row : kRows) EXPECT_EQ(DescribeTokens(row.text), row.tokens) << row.text;
}

TEST(Lexer, SaysWhatDoesNotEnd) {
  const Row kRows[] = {
      {"a 'b", "id<a> str<'b>!"}, {"'a\n'b", "str<'a\n'> id<b>"}, {"'a'\n'b", "str<'a'\n'b>!"},
      {"e'a\\", "str<e'a\\>!"},   {"e'a\\'", "str<e'a\\'>!"},     {"'a''", "str<'a''>!"},
      {"x'1", "bits<x'1>!"},      {"\"a", "quoted<\"a>!"},        {"\"a\"\"", "quoted<\"a\"\">!"},
      {"U&\"", "quoted<U&\">!"},  {"$$a$", "str<$$a$>!"},         {"$t$ $$ $t", "str<$t$ $$ $t>!"},
      {"a /* b", "id<a> end<>!"}, {"/* /* */", "end<>!"},         {"/*/", "end<>!"},
  };
  for (const Row& row : kRows) EXPECT_EQ(DescribeTokens(row.text), row.tokens) << row.text;
}

TEST(Lexer, ObeysStandardConformingStringsOff) {
  const LexOptions kOff{.standard_conforming_strings = false};
  EXPECT_EQ(DescribeTokens("'a\\'b' c", kOff), "str<'a\\'b'> id<c>");
  EXPECT_EQ(DescribeTokens("n'a\\'b' c", kOff), "str<n'a\\'b'> id<c>");
  EXPECT_EQ(DescribeTokens("x'\\' c", kOff), "bits<x'\\'> id<c>");
  EXPECT_EQ(DescribeTokens("$$\\$$ c", kOff), "str<$$\\$$> id<c>");
  EXPECT_EQ(DescribeTokens("\"\\\" c", kOff), "quoted<\"\\\"> id<c>");
}

TEST(Lexer, StaysAtTheEnd) {
  Lexer lexer("a");
  EXPECT_EQ(lexer.Next().kind, TokenKind::kIdentifier);
  EXPECT_EQ(lexer.Next().kind, TokenKind::kEnd);
  EXPECT_EQ(lexer.Next().kind, TokenKind::kEnd);
  Lexer nothing{std::string_view()};
  EXPECT_EQ(nothing.Next().kind, TokenKind::kEnd);
}

std::string NameOf(const std::string& text, char escape = '\\') {
  return sql::IdentifierName(Lexer(text).Next(), escape);
}

TEST(IdentifierName, FoldsAsPostgresDoes) {
  EXPECT_EQ(NameOf("FooBar"), "foobar");
  EXPECT_EQ(NameOf("\xC3\x84X"), "\xC3\x84x");
  EXPECT_EQ(NameOf("\"FooBar\""), "FooBar");
  EXPECT_EQ(NameOf("\"a\"\"b\""), "a\"b");
  EXPECT_EQ(NameOf("\"open"), "open");
  EXPECT_EQ(NameOf("U&\"d\\0061t\\+000061\""), "data");
  EXPECT_EQ(NameOf("U&\"d!0061t\\\"", '!'), "dat\\");
  EXPECT_EQ(NameOf("U&\"a\\\\b\""), "a\\b");
  EXPECT_EQ(NameOf("U&\"\\D83D\\DE00\""), "\xF0\x9F\x98\x80");
  EXPECT_EQ(NameOf("U&\"\\00zz\""), "\\00zz");
}

TEST(IdentifierName, CutsAtSixtyThreeBytesBetweenCharacters) {
  EXPECT_EQ(NameOf(std::string(100, 'A')), std::string(63, 'a'));
  EXPECT_EQ(NameOf("\"" + std::string(62, 'a') + "\xC3\xA4\""), std::string(62, 'a'));
  EXPECT_EQ(NameOf("\"" + std::string(61, 'a') + "\xC3\xA4\""), std::string(61, 'a') + "\xC3\xA4");
}

// What stands between two tokens is blanks and comments only, and all pieces in order are the text.
void ExpectCovers(const std::string& text, LexOptions options) {
  Lexer lexer(text, options);
  std::string joined;
  const char* at = text.data();
  for (;;) {
    const Token token = lexer.Next();
    ASSERT_GE(token.text.data(), at) << text;
    const std::string gap(at, static_cast<size_t>(token.text.data() - at));
    const Token in_gap = Lexer(gap, options).Next();
    ASSERT_EQ(in_gap.kind, TokenKind::kEnd) << "gap <" << gap << "> in <" << text << ">";
    joined += gap;
    joined += token.text;
    at = token.text.data() + token.text.size();
    if (token.kind == TokenKind::kEnd) break;
    ASSERT_FALSE(token.text.empty()) << text;
  }
  ASSERT_EQ(joined, text);
}

TEST(Lexer, TokensAndGapsAreTheWholeText) {
  const std::vector<std::string> kPieces = {
      "'",  "\"", "''", "\\",   "$",    "$$", "$a$", "$1",   "/*",   "*/", "--", "\n",
      " ",  "e'", "E'", "b'",   "x'",   "n'", "u&'", "U&\"", "a",    "1",  ".",  "..",
      "1e", "e5", "+",  "-",    "@",    "<=", "*",   "/",    "(",    ")",  ";",  ":",
      "::", "_",  "0x", "\xC3", "\xA4", "[",  "]",   ",",    "begin"};
  std::mt19937 random(20240607);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const size_t count = random() % 24;
    for (size_t i = 0; i < count; ++i) text += kPieces[random() % kPieces.size()];
    ExpectCovers(text, LexOptions{.standard_conforming_strings = round % 2 == 0});
    if (HasFatalFailure()) return;
  }
}

// What is one token for whom: a string that ends where the encoding lets it end.
TEST(Lexer, SecondBytesOfOtherEncodingsAreNoBackslashes) {
  struct Escaped {
    const char* name;
    const char* text;    // E'...' whose last byte before the quote would escape it
  };
  constexpr Escaped kRows[] = {
      {"SJIS", "E'\x95\x5c'"},           {"mskanji", "E'\x83\x5c'"},
      {"Shift_JIS_2004", "E'\xfc\x5c'"}, {"BIG5", "E'\xa5\x5c'"},
      {"gbk", "E'\x81\x5c'"},            {"UHC", "E'\x81\x5c'"},
      {"WIN949", "E'\xa1\x5c'"},         {"JOHAB", "E'\x88\x5c'"},
      {"GB18030", "E'\x81\x5c'"},        {"gb18030", "E'\x81\x30\x81\x5c'"},
      {"JOHAB", "E'\x8f\xa1\x5c'"},
  };
  for (const Escaped& row : kRows) {
    const std::string text = std::string(row.text) + ", 'b'";
    Lexer lexer(text, {.encoding = sql::EncodingOf(row.name)});
    const Token first = lexer.Next();
    EXPECT_EQ(first.text, row.text) << row.name;
    EXPECT_TRUE(first.terminated) << row.name;
    EXPECT_EQ(lexer.Next().symbol, ',') << row.name;
    Lexer plain(text);
    EXPECT_NE(plain.Next().text, row.text) << row.name;
  }
}

TEST(Lexer, CharactersThatStandAloneTakeNothingAlong) {
  const sql::LexOptions sjis{.encoding = sql::EncodingOf("SJIS")};
  for (const char* text : {"E'\xb1'", "E'\xdf'", "E'\xa1\\''", "E'a\\\\'"}) {
    EXPECT_EQ(Lexer(text, sjis).Next().text, text);
    EXPECT_TRUE(Lexer(text, sjis).Next().terminated);
  }
  // Half a character at the end.
  EXPECT_FALSE(Lexer("E'\x95", sjis).Next().terminated);
  EXPECT_EQ(Lexer("\x95", sjis).Next().text, "\x95");
}

TEST(Lexer, NamesAndTagsHoldWholeCharacters) {
  const sql::LexOptions sjis{.encoding = sql::EncodingOf("SJIS")};
  EXPECT_EQ(Lexer("\x95\x5c\x95\x7c", sjis).Next().text, "\x95\x5c\x95\x7c");
  const char* quoted = "$\x95\x5c$ ' $\x95\x5c$";
  EXPECT_EQ(Lexer(quoted, sjis).Next().text, quoted);
}

TEST(Lexer, OtherEncodingsAreSafe) {
  for (const char* name :
       {"UTF8", "LATIN1", "EUC_JP", "SQL_ASCII", "EUC_JIS_2004", "", "nonsense"}) {
    EXPECT_EQ(sql::EncodingOf(name), sql::Encoding::kAsciiSafe) << name;
  }
}

}  // namespace
