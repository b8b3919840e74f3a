#include "io/frame_pool.h"

#include <array>
#include <new>

namespace io {
namespace {

struct FreeFrame {
  FreeFrame* next;
};

struct SizeClass {
  FreeFrame* first = nullptr;
  size_t kept = 0;
};

// Freed at thread exit, so that leak checkers see only real leaks.
struct Classes {
  std::array<SizeClass, FramePool::kLargest / FramePool::kGranule> list;
  ~Classes() {
    for (SizeClass& size_class : list) {
      while (size_class.first != nullptr) {
        FreeFrame* frame = size_class.first;
        size_class.first = frame->next;
        ::operator delete(frame);
      }
    }
  }
};

thread_local Classes classes;

size_t RoundUp(size_t bytes) {
  return (bytes + FramePool::kGranule - 1) / FramePool::kGranule * FramePool::kGranule;
}

}  // namespace

void* FramePool::Allocate(size_t bytes) {
  const size_t rounded = RoundUp(bytes);
  if (rounded <= kLargest) {
    SizeClass& size_class = classes.list[rounded / kGranule - 1];
    if (FreeFrame* frame = size_class.first; frame != nullptr) {
      size_class.first = frame->next;
      --size_class.kept;
      return frame;
    }
  }
  return ::operator new(rounded);
}

void FramePool::Free(void* frame, size_t bytes) {
  const size_t rounded = RoundUp(bytes);
  if (rounded <= kLargest) {
    SizeClass& size_class = classes.list[rounded / kGranule - 1];
    if (size_class.kept < kKeptPerClass) {
      auto* free_frame = new (frame) FreeFrame{size_class.first};
      size_class.first = free_frame;
      ++size_class.kept;
      return;
    }
  }
  ::operator delete(frame);
}

}  // namespace io
