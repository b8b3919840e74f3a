// Fuzz target: a record of a capture, as a broken disk or a stranger may hand it over. What is
// taken for good is written again and must read as the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "mirror/capture_format.h"

namespace {

std::string Written(const mirror::Captured& captured) {
  std::string bytes;
  if (captured.kind == mirror::Captured::Kind::kSession) {
    mirror::AppendSession(&bytes, captured.session, captured.facts);
  } else if (captured.kind == mirror::Captured::Kind::kLost) {
    mirror::AppendLost(&bytes, captured.session, captured.cause);
  } else {
    mirror::Unit unit = captured.unit;
    for (size_t i = 0; i < unit.steps.size(); ++i) {
      unit.steps[i].sent = base::Instant(0);
      unit.steps[i].answered = base::Instant(captured.timing[i].took);
    }
    mirror::AppendCapturedUnit(&bytes, captured.session, unit, captured.committed);
  }
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  mirror::Captured first;
  if (mirror::ParseCaptured(bytes, &first) != mirror::CapturedResult::kGood) {
    return 0;
  }
  mirror::Captured second;
  const std::string again = Written(first);
  CHECK(mirror::ParseCaptured(again, &second) == mirror::CapturedResult::kGood);
  CHECK(second.kind == first.kind && second.session == first.session);
  CHECK(second.facts.parameters == first.facts.parameters && second.cause == first.cause);
  CHECK(second.unit.steps.size() == first.unit.steps.size());
  for (size_t i = 0; i < first.timing.size(); ++i) {
    CHECK(second.timing[i].took == first.timing[i].took);
  }
  CHECK(Written(second) == again);
  return 0;
}
