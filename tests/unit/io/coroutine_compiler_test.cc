// The coroutine shapes that this code base allows, each with a count of live objects: the compiler
// in use must make and destroy exactly what was written. GCC 12.2 gets other shapes wrong
// (aggregate and lambda temporaries in an awaited call, `switch (co_await ...)`); tools/tidy keeps
// them out, so they are not tried here.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "unit/io/rig.h"

namespace io_test {
namespace {

// Counts itself.
class Counted {
 public:
  explicit Counted(int* live, int value = 0) : live_(live), value_(value) { ++*live_; }
  Counted(const Counted& other) : live_(other.live_), value_(other.value_) { ++*live_; }
  Counted(Counted&& other) noexcept : live_(other.live_), value_(other.value_) { ++*live_; }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --*live_; }
  int value() const { return value_; }

 private:
  int* live_;
  int value_;
};

// A parameter struct with a constructor, as rules ask for.
struct Parameters {
  Parameters(Counted first_in, std::string second_in)
      : first(std::move(first_in)), second(std::move(second_in)) {}
  Counted first;
  std::string second;
};

class CoroutineCompilerTest : public testing::Test {
 protected:
  // Runs `task` to its end and expects that nothing counted is left.
  void Run(io::Task<void> task) {
    rig_.scope().Spawn(std::move(task));
    ASSERT_TRUE(rig_.Join());
    EXPECT_EQ(live_, 0);
    EXPECT_TRUE(ended_);
  }
  Rig rig_{Kind::kEpoll};
  int live_ = 0;
  bool ended_ = false;
};

io::Task<void> Turn(io::Loop* loop) {
  io::Event event(loop);
  co_await event.Wait(loop->now());
}

io::Task<int> TakeByValue(io::Loop* loop, Counted counted) {
  co_await Turn(loop);
  co_return counted.value();
}

io::Task<int> TakeParameters(io::Loop* loop, Parameters parameters) {
  co_await Turn(loop);
  co_return parameters.first.value() + static_cast<int>(parameters.second.size());
}

io::Task<Counted> GiveCounted(io::Loop* loop, int* live, int value) {
  co_await Turn(loop);
  co_return Counted(live, value);
}

io::Task<void> NamedArguments(io::Loop* loop, int* live, bool* ended) {
  const Counted counted(live, 3);
  const int value = co_await TakeByValue(loop, counted);
  EXPECT_EQ(value, 3);
  Counted moved(live, 4);
  const int other = co_await TakeByValue(loop, std::move(moved));
  EXPECT_EQ(other, 4);
  *ended = true;
}
TEST_F(CoroutineCompilerTest, NamedArgumentsAreDestroyedOnce) {
  Run(NamedArguments(rig_.loop(), &live_, &ended_));
}

io::Task<void> ConstructedTemporary(io::Loop* loop, int* live, bool* ended) {
  const int value = co_await TakeByValue(loop, Counted(live, 5));
  EXPECT_EQ(value, 5);
  const int sum =
      co_await TakeParameters(loop, Parameters(Counted(live, 6), std::string(100, 'x')));
  EXPECT_EQ(sum, 106);
  *ended = true;
}
TEST_F(CoroutineCompilerTest, TemporariesWithConstructorsAreDestroyedOnce) {
  Run(ConstructedTemporary(rig_.loop(), &live_, &ended_));
}

io::Task<size_t> TakeTexts(io::Loop* loop, std::string text, std::unique_ptr<Counted> owned) {
  co_await Turn(loop);
  co_return text.size() + static_cast<size_t>(owned->value());
}
io::Task<void> TextAndPointer(io::Loop* loop, int* live, bool* ended) {
  const size_t size =
      co_await TakeTexts(loop, std::string(60, 'y'), std::make_unique<Counted>(live, 7));
  EXPECT_EQ(size, 67u);
  *ended = true;
}
TEST_F(CoroutineCompilerTest, TextAndPointerTemporariesAreDestroyedOnce) {
  Run(TextAndPointer(rig_.loop(), &live_, &ended_));
}

io::Task<void> Results(io::Loop* loop, int* live, bool* ended) {
  const Counted first = co_await GiveCounted(loop, live, 8);
  EXPECT_EQ(first.value(), 8);
  std::optional<Counted> kept;
  {
    Counted second = co_await GiveCounted(loop, live, 9);
    kept.emplace(std::move(second));
  }
  EXPECT_EQ(*live, 2);
  *ended = true;
}
TEST_F(CoroutineCompilerTest, ResultsAreMovedOutAndDestroyedOnce) {
  Run(Results(rig_.loop(), &live_, &ended_));
}

io::Task<void> LoopConditions(io::Loop* loop, int* live, bool* ended) {
  int rounds = 0;
  for (;;) {
    const Counted here(live, rounds);
    const int value = co_await TakeByValue(loop, here);
    if (value == 3) {
      break;
    }
    ++rounds;
    if (rounds % 2 == 0) {
      continue;
    }
    const Counted also(live);
    co_await Turn(loop);
  }
  EXPECT_EQ(rounds, 3);
  *ended = true;
}
TEST_F(CoroutineCompilerTest, LoopsBreakAndContinueWithLocals) {
  Run(LoopConditions(rig_.loop(), &live_, &ended_));
}

io::Task<int> EarlyReturn(io::Loop* loop, int* live, int which) {
  const Counted outer(live, which);
  if (which == 0) {
    co_return 0;
  }
  {
    const Counted inner(live, which);
    co_await Turn(loop);
    if (which == 1) {
      co_return inner.value();
    }
  }
  const int value = co_await TakeByValue(loop, outer);
  switch (value) {
    case 2:
      co_return 20;
    default:
      co_return 30;
  }
}
io::Task<void> EarlyReturns(io::Loop* loop, int* live, bool* ended) {
  int sum = 0;
  for (int which = 0; which < 4; ++which) {
    const int got = co_await EarlyReturn(loop, live, which);
    sum += got;
  }
  EXPECT_EQ(sum, 0 + 1 + 20 + 30);
  *ended = true;
}
TEST_F(CoroutineCompilerTest, ReturnsFromInnerScopesDestroyLocals) {
  Run(EarlyReturns(rig_.loop(), &live_, &ended_));
}

io::Task<absl::StatusOr<Counted>> MaybeCounted(io::Loop* loop, int* live, bool good) {
  co_await Turn(loop);
  if (!good) {
    co_return absl::UnavailableError("no");
  }
  co_return Counted(live, 11);
}
io::Task<void> StatusResults(io::Loop* loop, int* live, bool* ended) {
  absl::StatusOr<Counted> good = co_await MaybeCounted(loop, live, true);
  EXPECT_TRUE(good.ok());
  absl::StatusOr<Counted> bad = co_await MaybeCounted(loop, live, false);
  EXPECT_FALSE(bad.ok());
  *ended = true;
}
TEST_F(CoroutineCompilerTest, StatusOrResultsKeepTheirValue) {
  Run(StatusResults(rig_.loop(), &live_, &ended_));
}

io::Task<int> Deep(io::Loop* loop, int* live, int depth) {
  const Counted here(live, depth);
  if (depth == 0) {
    co_await Turn(loop);
    co_return 0;
  }
  const int below = co_await Deep(loop, live, depth - 1);
  co_return below + 1;
}
io::Task<void> DeepChain(io::Loop* loop, int* live, bool* ended) {
  const int depth = co_await Deep(loop, live, 500);
  EXPECT_EQ(depth, 500);
  *ended = true;
}
TEST_F(CoroutineCompilerTest, ChainsOfTasksUnwindInOrder) {
  Run(DeepChain(rig_.loop(), &live_, &ended_));
}

io::Task<void> NeverStarted(Counted counted) {
  static_cast<void>(counted);
  co_return;
}
TEST_F(CoroutineCompilerTest, TaskThatIsNeverAwaitedDestroysItsParameters) {
  {
    const io::Task<void> task = NeverStarted(Counted(&live_));
    EXPECT_GE(live_, 1);
  }
  EXPECT_EQ(live_, 0);
}

}  // namespace
}  // namespace io_test
