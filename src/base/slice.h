// Slice: a counted reference to a range of a Block, the unit in which received bytes travel.
//
// A Block is memory that a BlockOwner (a shard's receive pool, or the heap) lends out. Its bytes
// are immutable once a Slice of them exists, so that parsing, forwarding and hashing share them
// without a copy. The count is a plain integer: a Slice never leaves the shard that made it (copy
// the bytes to cross), and the owner outlives every Slice. When the last one goes, the block
// goes back to its owner.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace base {

struct Block;

class BlockOwner {
 public:
  virtual ~BlockOwner() = default;
  // The last Slice of `block` is gone.
  virtual void Recycle(Block* block) = 0;
};

struct Block {
  BlockOwner* owner = nullptr;
  char* data = nullptr;
  uint32_t capacity = 0;  // bytes
  uint32_t references = 0;
  bool lent = false;      // true exactly when it belongs to a receive pool: copy what must wait
};

class Slice {
 public:
  Slice() = default;
  // The first `length` bytes from `offset` of `block`; takes a reference.
  Slice(Block* block, uint32_t offset, uint32_t length)
      : block_(block), offset_(offset), length_(length) {
    DCHECK(uint64_t{offset} + length <= block->capacity);
    ++block_->references;
  }
  // A heap block holding a copy of `bytes` (at most 4 GiB).
  static Slice CopyOf(std::string_view bytes);
  // An empty slice at the start of a heap block with room for `capacity` bytes, for Append().
  static Slice WithCapacity(uint32_t capacity);

  Slice(const Slice& other) : block_(other.block_), offset_(other.offset_), length_(other.length_) {
    if (block_ != nullptr) {
      ++block_->references;
    }
  }
  Slice(Slice&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        offset_(other.offset_),
        length_(std::exchange(other.length_, 0)) {}
  Slice& operator=(Slice other) noexcept {
    std::swap(block_, other.block_);
    std::swap(offset_, other.offset_);
    std::swap(length_, other.length_);
    return *this;
  }
  ~Slice() { Reset(); }

  void Reset() {
    if (block_ != nullptr && --block_->references == 0) {
      block_->owner->Recycle(block_);
    }
    block_ = nullptr;
    length_ = 0;
  }

  // A second reference, to `length` bytes from `from`.
  Slice Sub(uint32_t from, uint32_t length) const {
    DCHECK(uint64_t{from} + length <= length_);
    return Slice(block_, offset_ + from, length);
  }
  void RemovePrefix(uint32_t count) {
    DCHECK(count <= length_);
    offset_ += count;
    length_ -= count;
  }

  // Adds bytes behind the range. Only its maker may, and only while no other slice of the block
  // reaches behind it: the bytes of existing slices do not change.
  void Append(std::string_view bytes) {
    CHECK(bytes.size() <= room());
    __builtin_memcpy(block_->data + offset_ + length_, bytes.data(), bytes.size());
    length_ += static_cast<uint32_t>(bytes.size());
  }
  // The same for whoever writes there himself: at most room() bytes from tail(), then Extend.
  char* tail() { return block_->data + offset_ + length_; }
  void Extend(uint32_t count) {
    CHECK(count <= room());
    length_ += count;
  }
  // Bytes of the block behind the range.
  uint32_t room() const { return block_ == nullptr ? 0 : block_->capacity - offset_ - length_; }

  bool empty() const { return length_ == 0; }
  uint32_t size() const { return length_; }
  const char* data() const { return block_->data + offset_; }
  std::string_view view() const {
    return block_ == nullptr ? std::string_view() : std::string_view(data(), length_);
  }
  const Block* block() const { return block_; }

 private:
  Block* block_ = nullptr;
  uint32_t offset_ = 0;
  uint32_t length_ = 0;
};

}  // namespace base
