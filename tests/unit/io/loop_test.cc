// The loop's rounds on a clock of the test's own: what a thread that was busy, or did not run, does
// to timers.
#include "io/loop.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <utility>

#include "io/event.h"
#include "io/scope.h"

namespace io_test {
namespace {

// No sockets; Poll() sleeps on the test's clock, and for `late` longer.
class ClockEngine final : public io::Engine {
 public:
  std::string_view name() const override { return "clock"; }
  base::Instant Now() override { return now; }
  void Poll(base::Instant until) override {
    if (until != base::Instant::Never()) {
      now = std::max(now, until);
    }
    now = now + late;
  }
  void Wake() override {}
  io::SocketId Adopt(int, io::Endpoint*, io::Traffic) override { return {}; }
  void Discard(int) override {}
  io::SocketId Dial(const io::Address&, io::Endpoint*, io::Traffic) override { return {}; }
  void StartReceive(io::SocketId) override {}
  void StopReceive(io::SocketId) override {}
  void Send(io::SocketId, const iovec*, uint32_t, io::SendMode) override {}
  void ShutdownSend(io::SocketId) override {}
  void Release(io::SocketId) override {}
  io::Address PeerAddress(io::SocketId) override { return {}; }
  absl::StatusOr<io::Address> Listen(const io::Address& address, io::Acceptor*) override {
    return address;
  }
  absl::Status ListenShared(int, io::Acceptor*) override { return absl::OkStatus(); }
  void StopListening(io::Acceptor*) override {}
  io::EngineMetrics& metrics() override { return metrics_; }

  base::Instant now{1'000'000'000};
  absl::Duration late;

 private:
  io::EngineMetrics metrics_;
};

class Work final : public io::Message {
 public:
  explicit Work(std::function<void()> work) : work_(std::move(work)) {}
  void Deliver() override { work_(); }

 private:
  const std::function<void()> work_;
};

io::Task<void> WaitUntil(io::Event* event, base::Deadline deadline, bool* over) {
  const uint32_t bits = co_await event->Wait(deadline);
  *over = (bits & io::Event::kTimeout) != 0;
}

class LoopTest : public ::testing::Test {
 protected:
  void StartWaiting() {
    scope_.Spawn(WaitUntil(&event_, loop_.In(absl::Milliseconds(100)), &over_));
  }
  // How many rounds until the deadline was told, at most `most`.
  int RoundsUntilOver(int most) {
    int rounds = 0;
    while (!over_ && rounds < most) {
      loop_.RunOnce(engine_.now + absl::Milliseconds(10));
      ++rounds;
    }
    return rounds;
  }
  void TearDown() override { ASSERT_LT(RoundsUntilOver(1000), 1000); }

  ClockEngine engine_;
  base::Limits limits_;
  io::Loop loop_{&engine_, &limits_, 1};
  io::Event event_{&loop_};
  bool over_ = false;
  io::Scope scope_{&loop_};
};

TEST_F(LoopTest, ABusyShardStillFiresItsTimers) {
  std::function<void()> work = [&] {
    engine_.now = engine_.now + absl::Milliseconds(300);
    loop_.Post(std::make_unique<Work>(work));
  };
  loop_.Post(std::make_unique<Work>(work));
  StartWaiting();
  EXPECT_LE(RoundsUntilOver(20), 4);
  EXPECT_EQ(loop_.metrics().stalls.value(), 0u) << "it ran all the time";
  work = [] {};
}

TEST_F(LoopTest, J12AfterATimeInWhichItDidNotRunInputComesFirst) {
  StartWaiting();
  engine_.late = absl::Seconds(60);
  loop_.RunOnce(base::Instant::Never());
  engine_.late = absl::ZeroDuration();
  EXPECT_EQ(loop_.metrics().stalls.value(), 1u);
  loop_.RunOnce(engine_.now);
  EXPECT_FALSE(over_) << "what has come meanwhile may answer it";
  EXPECT_LE(RoundsUntilOver(100), 60) << "half a second in rounds of 10 ms";
}

TEST_F(LoopTest, AShardThatIsAlwaysLateStillFiresItsTimers) {
  StartWaiting();
  engine_.late = absl::Milliseconds(300);
  EXPECT_LE(RoundsUntilOver(20), 6);
}

}  // namespace
}  // namespace io_test
