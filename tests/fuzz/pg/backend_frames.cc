// Fuzz target: the frame reader of the backend's direction, with trace and views behind it.
#include "fuzz/pg/frames_property.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::CheckFrames(pg::Side::kBackend, data, size);
  return 0;
}
