#include "mirror/order_board.h"

#include "base/check.h"

namespace mirror {

OrderBoard::OrderBoard() : lines_(std::make_unique<Line[]>(kLinesMax)) {
  for (size_t i = 0; i < kLinesMax; ++i) {
    for (size_t mark = 0; mark < kMarks; ++mark) {
      lines_[i].marks[mark].store(kNothing, std::memory_order_relaxed);
      lines_[i].wanted[mark].store(kNothing, std::memory_order_relaxed);
    }
  }
}

// A line that nobody has yet has nothing open, so it may be counted before its shard is known.
size_t OrderBoard::Register(Shard* shard) {
  const size_t line = count_.fetch_add(1, std::memory_order_acq_rel);
  CHECK(line < kLinesMax);
  lines_[line].shard.store(shard, std::memory_order_release);
  return line;
}

bool OrderBoard::Passed(Mark mark, uint64_t need) const {
  for (size_t i = 0, end = count(); i < end; ++i) {
    const auto& low = lines_[i].marks[static_cast<size_t>(mark)];
    if (low.load(std::memory_order_seq_cst) <= need) {
      return false;
    }
  }
  return true;
}

void OrderBoard::Lower(size_t line, const Marks& marks) {
  for (size_t i = 0; i < kMarks; ++i) {
    lines_[line].marks[i].store(marks[i], std::memory_order_release);
  }
}

void OrderBoard::Publish(size_t line, const Marks& marks) {
  Marks before;
  bool raised = false;
  for (size_t i = 0; i < kMarks; ++i) {
    before[i] = lines_[line].marks[i].load(std::memory_order_relaxed);
    if (marks[i] != before[i]) {
      raised |= marks[i] > before[i];
      lines_[line].marks[i].store(marks[i], std::memory_order_seq_cst);
    }
  }
  if (!raised || count() == 1) {
    return;
  }
  for (size_t i = 0, end = count(); i < end; ++i) {
    bool crossed = false;
    for (size_t mark = 0; mark < kMarks; ++mark) {
      const uint64_t wanted = lines_[i].wanted[mark].load(std::memory_order_seq_cst);
      crossed |= before[mark] <= wanted && wanted < marks[mark];
    }
    if (i != line && crossed && !lines_[i].posted.exchange(true, std::memory_order_seq_cst)) {
      lines_[i].shard.load(std::memory_order_acquire)->PostLook();
    }
  }
}

void OrderBoard::Want(size_t line, Mark mark, uint64_t need) {
  lines_[line].wanted[static_cast<size_t>(mark)].store(need, std::memory_order_seq_cst);
}

void OrderBoard::Looked(size_t line) {
  lines_[line].posted.store(false, std::memory_order_seq_cst);
}

}  // namespace mirror
