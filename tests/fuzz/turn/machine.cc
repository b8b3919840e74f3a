// The turn machine against the model server (tests/unit/turn/model.h): the input decides which
// messages are sent, what the server makes of them, and how requests and replies interleave.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "unit/turn/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  turn::Choices choices(std::string_view(reinterpret_cast<const char*>(data), size));
  const turn::Told told = turn::Converse(&choices);
  if (!told.failure.empty()) {
    std::fprintf(stderr, "%s\n", told.failure.c_str());
    std::abort();
  }
  return 0;
}
