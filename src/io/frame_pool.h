// FramePool: where coroutine frames live. A free list per size class and thread, so that a child
// task costs a pop and a push.
//
// Thread-local because a promise's operator new knows nothing of its loop; a frame is made and
// destroyed on the shard that runs it. Bound: a list keeps at most kKeptPerClass frames, more go
// back to the heap. Frames over kLargest bytes always do.
#pragma once

#include <cstddef>

namespace io {

class FramePool {
 public:
  static constexpr size_t kGranule = 64;
  static constexpr size_t kLargest = 4096;
  static constexpr size_t kKeptPerClass = 256;

  static void* Allocate(size_t bytes);
  static void Free(void* frame, size_t bytes);
};

}  // namespace io
