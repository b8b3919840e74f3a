// Fuzz target: whatever the text and the options, MayHaveEffects never says false when ReadEffects
// finds something, the names are bounded and lower case, and a text's effects hold those of each
// of its statements.
// The first byte chooses standard_conforming_strings; the rest is the text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "sql/session_effects.h"
#include "sql/split.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const sql::LexOptions options{.standard_conforming_strings = data[0] % 2 == 0};
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const sql::SessionEffects effects = sql::ReadEffects(text, options);
  CHECK(effects.flags == 0 || sql::MayHaveEffects(text));
  CHECK(effects.names.empty() == ((effects.flags & (sql::kSets | sql::kResets)) == 0));
  CHECK(effects.names.size() <= sql::kEffectNamesMax);
  for (const std::string& name : effects.names) {
    CHECK(std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
  }
  CHECK(effects.deallocate.empty() || effects.flags == sql::kDeallocates);

  sql::Splitter splitter(text, options);
  std::string_view statement;
  uint32_t flags = 0;
  while (splitter.Next(&statement)) flags |= sql::ReadEffects(statement, options).flags;
  CHECK((flags | sql::kUnknownSetting) == (effects.flags | sql::kUnknownSetting));
  return 0;
}
