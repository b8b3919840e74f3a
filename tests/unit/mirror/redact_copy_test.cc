#include "mirror/redact_copy.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace mirror {
namespace {

using Format = sql::CopyTarget::Format;

// The second of three columns is hidden.
std::optional<std::string> Hide(Format format, std::string_view data, bool ascii_safe = true) {
  return HideFields(format, {false, true, false}, ascii_safe, data);
}

TEST(RedactCopy, Text) {
  EXPECT_EQ(Hide(Format::kText, "1\tcanary\tx\n2\t\\N\t\n"), "1\t\\N\tx\n2\t\\N\t\n");
  EXPECT_EQ(Hide(Format::kText, "1\tc\\\tan\\\nary\tx\r\n2\tc\tx"), "1\t\\N\tx\r\n2\t\\N\tx");
  EXPECT_EQ(Hide(Format::kText, "1\tc\tx\n\\.\ncanary\n"), "1\t\\N\tx\n");
  EXPECT_EQ(Hide(Format::kText, ""), "");
}

TEST(RedactCopy, Csv) {
  EXPECT_EQ(Hide(Format::kCsv, "1,\"ca,\"\"na\nry\",x\n2,canary,\"y\"\n"), "1,,x\n2,,\"y\"\n");
  EXPECT_EQ(Hide(Format::kCsv, "id,b,c\n1,ca\"n,a\"ry,x"), "id,,c\n1,,x");
}

std::string Binary(std::initializer_list<std::initializer_list<std::string_view>> rows) {
  std::string data("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19);
  for (const auto& row : rows) {
    base::AppendBe16(&data, static_cast<uint16_t>(row.size()));
    for (const std::string_view field : row) {
      base::AppendBe32(&data, static_cast<uint32_t>(field.size()));
      data += field;
    }
  }
  return data + "\xff\xff";
}

TEST(RedactCopy, BinaryWithNulls) {
  std::string expected = Binary({{"1", "", "x"}});
  expected.replace(expected.size() - 11, 4, 4, '\xff');
  EXPECT_EQ(Hide(Format::kBinary, Binary({{"1", "canary", "x"}})), expected);
  EXPECT_EQ(Hide(Format::kBinary, expected), expected);
  const std::string whole = Binary({{"1", "canary", "x"}});
  for (size_t length = 0; length + 2 < whole.size(); ++length) {
    const auto kept = Hide(Format::kBinary, whole.substr(0, length));
    EXPECT_TRUE(!kept.has_value() || length == 19) << length;
  }
}

TEST(RedactCopy, WhatDoesNotFitTheColumnsIsNotKept) {
  EXPECT_EQ(Hide(Format::kText, "1\tcanary\n"), std::nullopt);
  EXPECT_EQ(Hide(Format::kText, "1\tcanary\tx\ty\n"), std::nullopt);
  EXPECT_EQ(Hide(Format::kCsv, "1;canary;x\n"), std::nullopt);
  EXPECT_EQ(Hide(Format::kBinary, Binary({{"1", "canary"}})), std::nullopt);
  EXPECT_EQ(Hide(Format::kBinary, "x"), std::nullopt);
}

TEST(RedactCopy, ABackslashThatMayBeHalfACharacterEndsIt) {
  // In SJIS the two bytes are one character, and the tab behind them ends the field.
  const std::string_view data = "\x95\\\tcanary\tx\n";
  EXPECT_EQ(Hide(Format::kText, data), std::nullopt);
  EXPECT_EQ(Hide(Format::kText, "\x95\\\tcanary\tx\ty\n"), "\x95\\\tcanary\t\\N\ty\n");
  EXPECT_EQ(Hide(Format::kText, "\x95\\\tcanary\tx\ty\n", false), std::nullopt);
}

}  // namespace
}  // namespace mirror
