#include "base/slice.h"

#include <cstdlib>
#include <cstring>
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

Slice Slice::CopyOf(std::string_view bytes) {
  CHECK(bytes.size() <= UINT32_MAX);
  void* memory = std::malloc(sizeof(Block) + bytes.size());
  CHECK(memory != nullptr);
  auto* block = new (memory) Block;
  block->owner = &heap_blocks;
  block->data = static_cast<char*>(memory) + sizeof(Block);
  block->capacity = static_cast<uint32_t>(bytes.size());
  if (!bytes.empty()) {
    std::memcpy(block->data, bytes.data(), bytes.size());
  }
  return Slice(block, 0, block->capacity);
}

}  // namespace base
