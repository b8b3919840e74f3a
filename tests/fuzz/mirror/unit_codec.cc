// Fuzz target: a unit as a file may give it back. The bytes are the unit themselves.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "mirror/unit_codec.h"

namespace {

size_t Held(const mirror::Unit& unit) {
  size_t bytes = unit.prepare.size();
  for (const mirror::Step& step : unit.steps) {
    bytes += step.text.size() + step.statement.size() + step.bind.size() + step.tag.size() +
             step.key.size();
    for (const base::Slice& data : step.copy) {
      bytes += data.size();
    }
  }
  return bytes;
}

}  // namespace

// A unit has one form: what is accepted is exactly what would be written of it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  mirror::Unit unit;
  absl::Time committed;
  const mirror::UnitResult result = mirror::ParseUnit(bytes, &unit, &committed);
  CHECK(Held(unit) <= size);
  if (result == mirror::UnitResult::kGood) {
    std::string again;
    mirror::AppendUnit(&again, unit, committed);
    CHECK(again == bytes);
  }
  return 0;
}
