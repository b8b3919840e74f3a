#include "pg/saslprep.h"

#include <stringprep.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"

namespace pg {
namespace {

struct Freed {
  void operator()(void* block) const { std::free(block); }
};

// libidn's profile but for the normalising, which comes last here and not before the prohibitions.
const std::vector<Stringprep_profile>& ProfileWithoutNfkc() {
  static const std::vector<Stringprep_profile> profile = [] {
    std::vector<Stringprep_profile> steps;
    const Stringprep_profile* step = stringprep_saslprep;
    for (; step->operation != 0; ++step) {
      if (step->operation != STRINGPREP_NFKC) {
        steps.push_back(*step);
      }
    }
    steps.push_back(*step);  // the end
    return steps;
  }();
  return profile;
}

// Nothing: it is no UTF-8.
std::optional<std::vector<uint32_t>> Decode(const std::string& text) {
  size_t length = 0;
  const std::unique_ptr<uint32_t, Freed> codes(
      stringprep_utf8_to_ucs4(text.data(), static_cast<ssize_t>(text.size()), &length));
  if (codes == nullptr) {
    return std::nullopt;
  }
  return std::vector<uint32_t>(codes.get(), codes.get() + length);
}

}  // namespace

std::string SaslPrep(std::string_view password) {
  std::string raw(password);
  const bool ascii =
      std::all_of(raw.begin(), raw.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
  if (ascii || raw.size() > kSaslPrepMax) {
    return raw;
  }
  std::optional<std::vector<uint32_t>> codes = Decode(raw);
  if (!codes.has_value()) {
    return raw;
  }
  // Its mappings only shorten.
  size_t length = codes->size();
  codes->push_back(0);
  if (stringprep_4i(codes->data(), &length, codes->size(), STRINGPREP_NO_UNASSIGNED,
                    ProfileWithoutNfkc().data()) != STRINGPREP_OK ||
      length == 0) {
    return raw;
  }
  const std::unique_ptr<uint32_t, Freed> normal(
      stringprep_ucs4_nfkc_normalize(codes->data(), static_cast<ssize_t>(length)));
  CHECK(normal != nullptr);
  const std::unique_ptr<char, Freed> text(
      stringprep_ucs4_to_utf8(normal.get(), -1, nullptr, nullptr));
  CHECK(text != nullptr);
  return std::string(text.get());
}

}  // namespace pg
