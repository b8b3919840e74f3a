#include "base/slice.h"

#include <cstdlib>
#include <new>

namespace base {
namespace {

// Header and bytes of a heap block are one allocation.
class HeapBlocks final : public BlockOwner {
 public:
  void Recycle(Block* block) override {
    block->~Block();
    std::free(block);
  }
};

HeapBlocks heap_blocks;

}  // namespace

Slice Slice::WithCapacity(uint32_t capacity) {
  void* memory = std::malloc(sizeof(Block) + capacity);
  CHECK(memory != nullptr);
  auto* block = new (memory) Block;
  block->owner = &heap_blocks;
  block->data = static_cast<char*>(memory) + sizeof(Block);
  block->capacity = capacity;
  return Slice(block, 0, 0);
}

Slice Slice::CopyOf(std::string_view bytes) {
  CHECK(bytes.size() <= UINT32_MAX);
  Slice copy = WithCapacity(static_cast<uint32_t>(bytes.size()));
  copy.Append(bytes);
  return copy;
}

}  // namespace base
