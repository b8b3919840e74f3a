// Fuzz target: of whatever text no constant is left once all are to go, and of whatever data of a
// COPY the hidden fields are gone for good.
// The first byte chooses the encoding, or the format and how many columns; the rest is that text or
// data.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "mirror/redact.h"
#include "mirror/redact_copy.h"

namespace {

void CheckText(uint8_t encoding, std::string_view text) {
  const mirror::Redactor all({.all_values = true, .types = {}, .columns = {}});
  const auto mask = static_cast<uint8_t>(1U << encoding);
  const std::string kept = all.RedactText(text, mask);
  sql::LexOptions options;
  options.encoding = static_cast<sql::Encoding>(encoding);
  sql::Lexer lexer(kept, options);
  for (sql::Token token = lexer.Next(); token.kind != sql::TokenKind::kEnd; token = lexer.Next()) {
    CHECK(token.kind != sql::TokenKind::kString || token.text == "''");
    CHECK(token.kind != sql::TokenKind::kNumber || token.text == "0");
    CHECK(token.kind != sql::TokenKind::kBitString || token.text == "B''");
  }
  CHECK(all.RedactText(kept, mask) == kept);
}

void CheckCopy(uint8_t choice, std::string_view data) {
  const auto format = static_cast<sql::CopyTarget::Format>(choice % 3);
  std::vector<bool> hidden(1 + choice / 3 % 4);
  hidden[choice % hidden.size()] = true;
  const std::optional<std::string> kept = mirror::HideFields(format, hidden, true, data);
  if (kept.has_value()) {
    CHECK(mirror::HideFields(format, hidden, true, *kept) == kept);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 0) {
    const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
    CheckText(data[0] % sql::kEncodingCount, rest);
    CheckCopy(data[0], rest);
  }
  return 0;
}
