// SocketTable: the sockets of one engine: slots that are used again, with a generation each, so
// that nothing late is told to a newcomer.
//
// On the engine's shard. `State` is what the engine keeps per socket.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/check.h"
#include "io/engine.h"

namespace io {

template <typename State>
class SocketTable {
 public:
  SocketId Add(State state) {
    uint32_t slot;
    if (free_.empty()) {
      slot = static_cast<uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      slot = free_.back();
      free_.pop_back();
    }
    slots_[slot].state = std::move(state);
    slots_[slot].live = true;
    ++live_;
    return SocketId{slot, slots_[slot].generation};
  }
  // Null if the socket is gone.
  State* Find(SocketId id) {
    if (id.slot >= slots_.size()) {
      return nullptr;
    }
    Slot& slot = slots_[id.slot];
    return slot.live && slot.generation == id.generation ? &slot.state : nullptr;
  }
  State& At(SocketId id) {
    State* state = Find(id);
    CHECK(state != nullptr);
    return *state;
  }
  void Remove(SocketId id) {
    Slot& slot = slots_[id.slot];
    CHECK(slot.live && slot.generation == id.generation);
    slot.live = false;
    slot.generation = (slot.generation + 1) & kGenerationMask;
    slot.state = State();
    free_.push_back(id.slot);
    --live_;
  }
  uint32_t live() const { return live_; }

  static constexpr uint32_t kGenerationMask = (1u << 24) - 1;

 private:
  struct Slot {
    State state;
    uint32_t generation = 0;
    bool live = false;
  };
  std::deque<Slot> slots_;  // addresses stay
  std::vector<uint32_t> free_;
  uint32_t live_ = 0;
};

}  // namespace io
