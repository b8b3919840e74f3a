// Event, Scope and FramePool: what coroutines wait with, who owns them and where they live.
#include "io/event.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>
#include <vector>

#include "io/frame_pool.h"
#include "unit/io/rig.h"

namespace io_test {
namespace {

io::Task<void> WaitOnce(io::Event* event, base::Deadline deadline, std::vector<uint32_t>* seen) {
  const uint32_t bits = co_await event->Wait(deadline);
  seen->push_back(bits);
}

io::Task<void> WaitBare(io::Event* event, int times, std::vector<uint32_t>* seen) {
  for (int i = 0; i < times; ++i) {
    const uint32_t bits = co_await event->Wait();
    seen->push_back(bits);
  }
}

TEST(EventTest, KeepsBitsRaisedWhileNobodyWaits) {
  Rig rig(Kind::kEpoll);
  io::Event event(rig.loop());
  event.Raise(1);
  event.Raise(4);
  std::vector<uint32_t> seen;
  rig.scope().Spawn(WaitBare(&event, 1, &seen));
  EXPECT_EQ(seen, std::vector<uint32_t>{5}) << "no wait is needed";
  EXPECT_EQ(event.raised(), 0u);
  EXPECT_TRUE(rig.Join());
}

TEST(EventTest, RaisingResumesInTheNextRoundAndGathersBits) {
  Rig rig(Kind::kEpoll);
  io::Event event(rig.loop());
  std::vector<uint32_t> seen;
  rig.scope().Spawn(WaitBare(&event, 1, &seen));
  event.Raise(1);
  event.Raise(2);
  EXPECT_TRUE(seen.empty()) << "never within Raise";
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(seen, std::vector<uint32_t>{3});
}

io::Task<void> AnswerAndTell(io::Event* asked, io::Stream* stream, io::Event* told) {
  co_await asked->Wait();
  stream->WriteCopy("committed");
  told->Raise(1);
}

io::Task<void> LookAt(int descriptor, io::Event* told, ssize_t* got) {
  co_await told->Wait();
  char byte;
  *got = recv(descriptor, &byte, 1, MSG_DONTWAIT);
}

// What a mirror's stamp rests on: nobody has read the answer when its outcome is noted.
TEST(EventTest, WhoIsToldOfAnAnswerRunsBeforeItIsSent) {
  Rig rig(Kind::kEpoll);  // sends at once where the stream is flushed
  const Ends ends = UnixPair();
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  io::Event asked(rig.loop());
  io::Event told(rig.loop());
  ssize_t got = 0;
  rig.scope().Spawn(LookAt(ends.theirs, &told, &got));
  rig.scope().Spawn(AnswerAndTell(&asked, &stream, &told));
  asked.Raise(1);
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(got, -1);
  char text[16];
  EXPECT_TRUE(rig.Until([&] { return recv(ends.theirs, text, sizeof text, MSG_DONTWAIT) == 9; }));
  close(ends.theirs);
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

TEST(EventTest, DeadlineRaisesTimeoutAndAnEarlierBitDisarmsIt) {
  Rig rig(Kind::kEpoll);
  io::Event event(rig.loop());
  std::vector<uint32_t> seen;
  rig.scope().Spawn(WaitOnce(&event, rig.loop()->In(absl::Milliseconds(5)), &seen));
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(seen, std::vector<uint32_t>{io::Event::kTimeout});
  seen.clear();
  rig.scope().Spawn(WaitOnce(&event, rig.loop()->In(absl::Hours(1)), &seen));
  EXPECT_EQ(rig.loop()->timers().armed(), 1u);
  event.Raise(8);
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(seen, std::vector<uint32_t>{8});
  EXPECT_EQ(rig.loop()->timers().armed(), 0u);
}

TEST(EventTest, DeadlineInThePastStillLetsTheLoopTurn) {
  Rig rig(Kind::kEpoll);
  io::Event event(rig.loop());
  std::vector<uint32_t> seen;
  rig.scope().Spawn(WaitOnce(&event, base::Instant(1), &seen));
  EXPECT_TRUE(seen.empty());
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(seen, std::vector<uint32_t>{io::Event::kTimeout});
}

io::Task<void> JoinThem(io::Scope* scope, bool* joined) {
  co_await scope->Join();
  *joined = true;
}

TEST(ScopeTest, JoinResumesAfterTheLastTask) {
  Rig rig(Kind::kEpoll);
  io::Scope inner(rig.loop());
  io::Event first(rig.loop());
  io::Event second(rig.loop());
  std::vector<uint32_t> seen;
  inner.Spawn(WaitBare(&first, 1, &seen));
  inner.Spawn(WaitBare(&second, 1, &seen));
  bool joined = false;
  rig.scope().Spawn(JoinThem(&inner, &joined));
  first.Raise(1);
  ASSERT_TRUE(rig.Until([&] { return seen.size() == 1; }));
  EXPECT_FALSE(joined);
  EXPECT_EQ(inner.running(), 1u);
  second.Raise(1);
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(joined);
}

TEST(ScopeTest, JoiningNobodyDoesNotWait) {
  Rig rig(Kind::kEpoll);
  io::Scope inner(rig.loop());
  bool joined = false;
  rig.scope().Spawn(JoinThem(&inner, &joined));
  EXPECT_TRUE(joined);
}

TEST(FramePoolTest, GivesTheLastFreedFrameOfTheClassBack) {
  void* const small = io::FramePool::Allocate(100);
  void* const other = io::FramePool::Allocate(128);
  EXPECT_NE(small, other);
  io::FramePool::Free(small, 100);
  EXPECT_EQ(io::FramePool::Allocate(65), small) << "65 to 128 bytes are one class";
  io::FramePool::Free(other, 128);
  void* const larger = io::FramePool::Allocate(129);
  EXPECT_NE(larger, other);
  io::FramePool::Free(larger, 129);
  io::FramePool::Free(small, 65);
}

TEST(FramePoolTest, KeepsNoMoreThanItsBoundAndTakesLargeFramesFromTheHeap) {
  std::set<void*> frames;
  for (size_t i = 0; i < io::FramePool::kKeptPerClass + 50; ++i) {
    frames.insert(io::FramePool::Allocate(1000));
  }
  EXPECT_EQ(frames.size(), io::FramePool::kKeptPerClass + 50);
  for (void* frame : frames) {
    io::FramePool::Free(frame, 1000);
  }
  void* const large = io::FramePool::Allocate(io::FramePool::kLargest + 1);
  std::memset(large, 1, io::FramePool::kLargest + 1);
  io::FramePool::Free(large, io::FramePool::kLargest + 1);
}

}  // namespace
}  // namespace io_test
