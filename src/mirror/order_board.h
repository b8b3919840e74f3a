// OrderBoard: what the shards tell each other about the order of one mirror's transactions.
//
// One per mirror, process-wide. Nothing is locked: each shard has a line of published values that
// only it writes, and reads the others'. A value is a low mark: "of my transactions, all with a
// smaller number are past this point". What holds on every line holds for the mirror.
//
// Numbers come from one Clock. Who takes one lowers its mark first (Order::Expect), so whoever has
// seen a number on the clock also sees the mark below it.
//
// Waiting: a shard publishes what it needs and looks again; a shard that raises a mark then looks
// at what the others need, and posts one message to those whose need it has crossed. One of the
// two always sees the other: these stores and loads have one order (memory_order_seq_cst; TSan
// knows no fences).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

namespace mirror {

// The process's one count of what happened to transactions. Any thread.
class Clock {
 public:
  // The number taken last.
  uint64_t now() const { return last_.load(std::memory_order_acquire); }
  uint64_t Tick() { return last_.fetch_add(1, std::memory_order_acq_rel) + 1; }

 private:
  alignas(64) std::atomic<uint64_t> last_{0};
};

// What a low mark is about.
enum class Mark : uint8_t {
  kAcked,     // by acknowledgement: resolved (applied, refused, dropped)
  kRun,       // by stamp: its statements have been executed
  kExplicit,  // by stamp: likewise, of explicit transactions only
  kOpen,      // by stamp: resolved
};
inline constexpr size_t kMarks = 4;
using Marks = std::array<uint64_t, kMarks>;

class OrderBoard {
 public:
  static constexpr uint64_t kNothing = std::numeric_limits<uint64_t>::max();
  static constexpr size_t kLinesMax = 256;  // shards

  // Somebody whose need may be met now. Called from any thread.
  class Shard {
   public:
    virtual ~Shard() = default;
    virtual void PostLook() = 0;
  };

  OrderBoard();
  OrderBoard(const OrderBoard&) = delete;
  OrderBoard& operator=(const OrderBoard&) = delete;

  // A line for `shard`, which outlives every call. Any thread.
  size_t Register(Shard* shard);

  // True exactly when every line's mark is above `need`. Any thread.
  bool Passed(Mark mark, uint64_t need) const;

  // -- of the line's own thread -------------------------------------------------------------------
  // Without waking anyone: a mark goes down.
  void Lower(size_t line, const Marks& marks);
  // As they are now; wakes who has waited for what they have crossed.
  void Publish(size_t line, const Marks& marks);
  // The smallest need of the line's waiters, kNothing if none waits. Then look again.
  void Want(size_t line, Mark mark, uint64_t need);
  // A message that was posted has arrived.
  void Looked(size_t line);

 private:
  struct Line {
    alignas(64) std::array<std::atomic<uint64_t>, kMarks> marks;  // the line's shard writes
    alignas(64) std::array<std::atomic<uint64_t>, kMarks> wanted;  // likewise
    std::atomic<bool> posted{false};  // whoever posts sets it, the line's shard resets it
    std::atomic<Shard*> shard{nullptr};
  };
  size_t count() const { return count_.load(std::memory_order_acquire); }

  std::unique_ptr<Line[]> lines_;
  std::atomic<size_t> count_{0};
};

}  // namespace mirror
