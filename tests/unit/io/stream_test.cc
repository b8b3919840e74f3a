// Streams on every engine: bytes, order, back-pressure and the ways in which a connection ends.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sys/time.h>
#include <csignal>

#include "base/fault_point.h"
#include "base/random.h"
#include "unit/io/rig.h"

namespace io_test {
namespace {

class StreamTest : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Engines, StreamTest, testing::ValuesIn(Kinds()), ParamName);

TEST_P(StreamTest, EchoesRandomSizesExactly) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  io::Stream asker(rig.loop());
  io::Stream echo(rig.loop());
  asker.Adopt(ends.ours, io::Traffic::kClient);
  echo.Adopt(ends.theirs, io::Traffic::kServer);
  std::string got;
  rig.scope().Spawn(ReadAll(&asker, &got));
  rig.scope().Spawn(EchoBack(&echo));
  base::Prng prng(7);
  std::string sent;
  while (sent.size() < 3'000'000) {
    const std::string part = Pattern(1, sent.size(), 1 + prng.Below(prng.OneIn(4) ? 100'000 : 64));
    asker.WriteCopy(part);
    sent += part;
    if (prng.OneIn(3)) {
      rig.loop()->RunOnce(rig.loop()->now());
    }
  }
  asker.FinishSend();
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(asker.error(), 0);
  EXPECT_TRUE(rig.CloseAll({&asker, &echo}));
}

TEST_P(StreamTest, SingleBytesArriveInOrder) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  rig.scope().Spawn(EchoBack(&stream));
  const std::string bytes = Pattern(2, 0, 2000);
  std::string got;
  for (const char byte : bytes) {
    SendAll(ends.theirs, std::string_view(&byte, 1));
    got += ReadNow(ends.theirs, 100);
    rig.loop()->RunOnce(rig.loop()->now());
  }
  ASSERT_TRUE(rig.Until([&] {
    got += ReadNow(ends.theirs, 4096);
    return got.size() >= bytes.size();
  }));
  EXPECT_TRUE(got == bytes);
  close(ends.theirs);
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

// Relays what `from` receives to `to`, as sessions do.
io::Task<void> Pipe(io::Stream* from, io::Stream* to) {
  io::Event event(from->loop());
  from->NotifyReadable(&event, 1);
  to->NotifyDrained(&event, 2);
  while (!from->ended() && !from->broken() && !to->broken()) {
    co_await event.Wait();
    while (from->has_input()) {
      to->Write(from->TakeInput());
    }
    if (to->over_high()) {
      from->PauseReceive();
    } else {
      from->ResumeReceive();
    }
  }
  from->NotifyReadable(nullptr, 0);
  to->NotifyDrained(nullptr, 0);
  to->FinishSend();
}

// T4: short sends at every length go on from the exact offset; the reader is slow and its buffer
// tiny. The pool has two chunks: if what waits stayed in them, `other` would starve for ever.
TEST_P(StreamTest, T4SlowReaderGetsEveryByteAndPinsNoChunk) {
  Sizes sizes;
  sizes.shape = io::ReceiveShape{8192, 2, 2};
  Rig rig(GetParam(), sizes);
  const Ends source = TcpPair();
  const Ends sink = UnixPair();  // TCP answers tiny windows with long pauses
  const Ends other = TcpPair();
  SetBuffers(sink.ours, 4096, 4096);
  SetBuffers(sink.theirs, 4096, 4096);
  io::Stream from(rig.loop());
  io::Stream to(rig.loop());
  io::Stream third(rig.loop());
  from.Adopt(source.ours, io::Traffic::kServer);
  to.Adopt(sink.ours, io::Traffic::kClient);
  third.Adopt(other.ours, io::Traffic::kServer);
  rig.scope().Spawn(Pipe(&from, &to));
  rig.scope().Spawn(EchoBack(&third));

  constexpr size_t kTotal = 1'000'000;
  size_t given = 0;
  const auto give = [&] {
    while (given < kTotal) {
      const std::string part = Pattern(3, given, std::min<size_t>(kTotal - given, 20'011));
      const ssize_t sent = send(source.theirs, part.data(), part.size(), MSG_DONTWAIT);
      if (sent <= 0) {
        return;
      }
      given += static_cast<size_t>(sent);
    }
    shutdown(source.theirs, SHUT_WR);
  };
  // Nobody reads: everything stops at the high mark, and the third connection lives on.
  ASSERT_TRUE(rig.Until([&] {
    give();
    return to.over_high();
  }));
  EXPECT_GT(rig.engine().metrics().copied_out_bytes.value(), 0u);
  SendAll(other.theirs, "still there?");
  ASSERT_TRUE(rig.Until([&] { return ReadNow(other.theirs, 64) == "still there?"; }));
  // Now in steps of every length from 1 byte on.
  std::string got;
  size_t step = 0;
  ASSERT_TRUE(rig.Until([&] {
    give();
    for (int i = 0; i < 20; ++i) {
      step = step % 700 + 1;
      got += ReadNow(sink.theirs, step);
    }
    got += got.size() > 300'000 ? ReadNow(sink.theirs, 60'000) : "";
    return got.size() == kTotal && AtEnd(sink.theirs);
  }));
  EXPECT_TRUE(got == Pattern(3, 0, kTotal));
  close(other.theirs);
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(rig.CloseAll({&from, &to, &third}));
  close(source.theirs);
  close(sink.theirs);
}

TEST_P(StreamTest, PausedReceiveDeliversWhatHadComeAndNothingMore) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  SendAll(ends.theirs, "before");
  ASSERT_TRUE(rig.Until([&] { return stream.has_input(); }));
  stream.PauseReceive();
  SendAll(ends.theirs, "while");
  for (int i = 0; i < 20; ++i) {
    rig.loop()->RunOnce(rig.loop()->now());
  }
  // Now it is surely stopped: this stays in the kernel.
  const uint64_t received = rig.engine().metrics().received_bytes.value();
  SendAll(ends.theirs, "after");
  for (int i = 0; i < 20; ++i) {
    rig.loop()->RunOnce(rig.loop()->now());
  }
  EXPECT_EQ(rig.engine().metrics().received_bytes.value(), received);
  std::string got;
  rig.scope().Spawn(ReadAll(&stream, &got));
  stream.ResumeReceive();
  close(ends.theirs);
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(got, "beforewhileafter");
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

// T10: cancels race with completions: found, not found, already done.
TEST_P(StreamTest, T10StoppingAndStartingLosesNoByte) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  std::string got;
  rig.scope().Spawn(ReadAll(&stream, &got));
  base::Prng prng(11);
  std::string sent;
  for (int i = 0; i < 4000; ++i) {
    if (prng.OneIn(2)) {
      const std::string part = Pattern(4, sent.size(), 1 + prng.Below(300));
      if (send(ends.theirs, part.data(), part.size(), MSG_DONTWAIT) ==
          static_cast<ssize_t>(part.size())) {
        sent += part;
      }
    }
    if (prng.OneIn(3)) {
      stream.PauseReceive();
    }
    if (prng.OneIn(3)) {
      stream.ResumeReceive();
    }
    if (prng.OneIn(3)) {
      rig.loop()->RunOnce(rig.loop()->now());
    }
  }
  stream.ResumeReceive();
  close(ends.theirs);
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(got == sent);
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

TEST_P(StreamTest, HalfCloseStillHearsTheAnswer) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  std::string got;
  rig.scope().Spawn(ReadAll(&stream, &got));
  stream.WriteCopy("question");
  stream.FinishSend();
  std::string asked;
  ASSERT_TRUE(rig.Until([&] {
    asked += ReadNow(ends.theirs, 64);
    return asked == "question" && AtEnd(ends.theirs);
  }));
  SendAll(ends.theirs, "answer");
  close(ends.theirs);
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(got, "answer");
  EXPECT_EQ(stream.error(), 0);
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

TEST_P(StreamTest, CloseSendsTheLastWordsFirst) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  SendAll(ends.theirs, "never read: closing with it unread must not reset the connection");
  const std::string words = Pattern(5, 0, 500'000);
  stream.WriteCopy(words);
  rig.scope().Spawn(CloseOne(&stream, rig.loop()->In(absl::Seconds(20))));
  std::string got;
  ASSERT_TRUE(rig.Until([&] {
    got += ReadNow(ends.theirs, 65'536);
    return AtEnd(ends.theirs);
  }));
  EXPECT_TRUE(got == words);
  close(ends.theirs);
  EXPECT_TRUE(rig.Join());
}

// T5: the memory of a send in flight belongs to it until its end was told; a stalled peer delays a
// close until the deadline and no longer.
TEST_P(StreamTest, T5CloseWithAStalledPeerEndsAtTheDeadline) {
  Rig rig(GetParam());
  for (const bool dirty : {true, false}) {
    const Ends ends = TcpPair();
    SetBuffers(ends.ours, 4096, 4096);
    io::Stream stream(rig.loop());
    stream.Adopt(ends.ours, io::Traffic::kClient);
    stream.WriteCopy(Pattern(6, 0, 8 << 20));
    if (!dirty) {
      for (int i = 0; i < 5; ++i) {
        rig.loop()->RunOnce(rig.loop()->now());
      }
    }
    rig.scope().Spawn(CloseOne(&stream, rig.loop()->In(absl::Milliseconds(30))));
    ASSERT_TRUE(rig.Join());
    EXPECT_FALSE(stream.open());
    EXPECT_EQ(stream.queued(), 0u);
    close(ends.theirs);
  }
}

// A peer that still writes finds out at once. Were its bytes read in passing while the socket ends,
// an orderly end would stay behind, with a window that is shut: it would wait for a minute.
TEST_P(StreamTest, ClosingAbruptlyResetsAPeerThatStillWrites) {
  for (const bool again : {false, true}) {
    Rig rig(GetParam());
    const Ends ends = TcpPair();
    io::Stream stream(rig.loop());
    stream.Adopt(ends.ours, io::Traffic::kServer);
    stream.PauseReceive();
    stream.FinishSend();
    rig.loop()->RunOnce(rig.loop()->now());
    const std::string bytes = Pattern(8, 0, 65'536);
    while (send(ends.theirs, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
    }
    ASSERT_EQ(errno, EAGAIN);
    stream.ResumeReceive();
    if (again) {
      rig.loop()->RunOnce(rig.loop()->now());
      stream.PauseReceive();
    }
    rig.scope().Spawn(CloseOne(&stream, rig.loop()->now()));
    ASSERT_TRUE(rig.Join());
    int error = 0;
    const base::Instant until = base::Instant::MonotonicNow() + absl::Seconds(5);
    EXPECT_TRUE(rig.Until([&] {
      error = send(ends.theirs, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno : 0;
      return (error != 0 && error != EAGAIN) || base::Instant::MonotonicNow() > until;
    }));
    EXPECT_TRUE(error == ECONNRESET || error == EPIPE) << error;
    close(ends.theirs);
  }
}

// Also where the kernel's receive is not woken by it. Kernels lose it seldom: a build with fault
// points always does.
TEST_P(StreamTest, AnEndRightBehindTheLastBytesIsHeard) {
  for (const bool unix_socket : {false, true}) {
    Rig rig(GetParam());
    const Ends ends = unix_socket ? UnixPair() : TcpPair();
    base::Prng prng(1);
    base::FaultPoints::Arm("io.receive.deaf", 1, &prng);
    io::Stream stream(rig.loop());
    stream.Adopt(ends.ours, io::Traffic::kClient);
    std::string got;
    rig.scope().Spawn(ReadAll(&stream, &got));
    rig.loop()->RunOnce(rig.loop()->now());  // it waits for the first byte
    const uint64_t deaf = base::FaultPoints::Fired("io.receive.deaf");
    base::FaultPoints::DisarmAll();
    EXPECT_EQ(deaf, PGBRAID_FAULT_POINTS == 1 && GetParam() != Kind::kEpoll ? 1u : 0u);
    SendAll(ends.theirs, "last words");
    if (unix_socket) {
      close(ends.theirs);
    } else {
      ResetConnection(ends.theirs);
    }
    ASSERT_TRUE(rig.Join());
    EXPECT_EQ(got, "last words");
    EXPECT_EQ(stream.broken(), !unix_socket);
    EXPECT_TRUE(rig.CloseAll({&stream}));
  }
}

TEST_P(StreamTest, ResetIsAnErrorAndTheQueueIsDropped) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  SetBuffers(ends.ours, 4096, 4096);
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  std::string got;
  rig.scope().Spawn(ReadAll(&stream, &got));
  stream.WriteCopy(Pattern(7, 0, 4 << 20));
  for (int i = 0; i < 5; ++i) {
    rig.loop()->RunOnce(rig.loop()->now());
  }
  ResetConnection(ends.theirs);
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(stream.broken());
  EXPECT_TRUE(stream.error() == ECONNRESET || stream.error() == EPIPE) << stream.error();
  // No deadline is needed: what is broken has nothing to wait for.
  rig.scope().Spawn(CloseOne(&stream, base::Deadline::Never()));
  EXPECT_TRUE(rig.Join());
  EXPECT_EQ(stream.queued(), 0u);
}

// T9: what A was sent is never seen by B, though both use the same chunks again and again.
TEST_P(StreamTest, T9CanaryOfOneConnectionIsNeverSeenByAnother) {
  Sizes sizes;
  sizes.shape = io::ReceiveShape{4096, 4, 2};
  Rig rig(GetParam(), sizes);
  constexpr size_t kConnections = 40;
  std::vector<std::unique_ptr<io::Stream>> streams;
  std::vector<int> peers;
  std::vector<std::string> sent(kConnections);
  std::vector<std::string> got(kConnections);
  for (size_t i = 0; i < kConnections; ++i) {
    const Ends ends = UnixPair();
    peers.push_back(ends.theirs);
    streams.push_back(std::make_unique<io::Stream>(rig.loop()));
    streams.back()->Adopt(ends.ours, i % 2 == 0 ? io::Traffic::kClient : io::Traffic::kServer);
    rig.scope().Spawn(EchoBack(streams.back().get()));
  }
  base::Prng prng(13);
  for (int round = 0; round < 400; ++round) {
    for (int i = 0; i < 8; ++i) {
      const size_t who = prng.Below(kConnections);
      const std::string part(1 + prng.Below(900), static_cast<char>('!' + who));
      if (send(peers[who], part.data(), part.size(), MSG_DONTWAIT) ==
          static_cast<ssize_t>(part.size())) {
        sent[who] += part;
      }
    }
    rig.loop()->RunOnce(rig.loop()->now());
    const size_t reader = prng.Below(kConnections);
    got[reader] += ReadNow(peers[reader], 2000);
  }
  ASSERT_TRUE(rig.Until([&] {
    bool all = true;
    for (size_t i = 0; i < kConnections; ++i) {
      got[i] += ReadNow(peers[i], 100'000);
      all = all && got[i].size() >= sent[i].size();
    }
    return all;
  }));
  for (size_t i = 0; i < kConnections; ++i) {
    EXPECT_TRUE(got[i] == sent[i]) << i;
    close(peers[i]);
  }
  ASSERT_TRUE(rig.Join());
  for (const auto& stream : streams) {
    EXPECT_TRUE(rig.CloseAll({stream.get()}));
  }
}

// T1, T2: more sockets than buffers, and at first nobody gives a buffer back. Nobody stays deaf,
// and the engine waits instead of spinning.
TEST_P(StreamTest, T1TinyPoolLeavesNobodyDeaf) {
  Sizes sizes;
  sizes.shape = io::ReceiveShape{4096, 2, 2};
  Rig rig(GetParam(), sizes);
  constexpr size_t kConnections = 256;
  std::vector<std::unique_ptr<io::Stream>> streams;
  std::vector<int> peers;
  for (size_t i = 0; i < kConnections; ++i) {
    const Ends ends = UnixPair();
    peers.push_back(ends.theirs);
    streams.push_back(std::make_unique<io::Stream>(rig.loop()));
    streams.back()->Adopt(ends.ours, io::Traffic::kClient);
    SendAll(ends.theirs, Pattern(i, 0, 3000));
  }
  io::EngineMetrics& metrics = rig.engine().metrics();
  ASSERT_TRUE(rig.Until([&] { return metrics.starved.value() >= kConnections - 4; }));
  const uint64_t rounds = metrics.rounds.value();
  const base::Instant until = rig.engine().Now() + absl::Milliseconds(100);
  while (rig.engine().Now() < until) {
    rig.loop()->RunOnce(until);
  }
  EXPECT_LT(metrics.rounds.value() - rounds, 50u) << "the loop spins while it is starved";
  std::vector<std::string> got(kConnections);
  for (size_t i = 0; i < kConnections; ++i) {
    rig.scope().Spawn(ReadAll(streams[i].get(), &got[i]));
  }
  const auto all_have = [&](size_t bytes) {
    for (const std::string& each : got) {
      if (each.size() < bytes) {
        return false;
      }
    }
    return true;
  };
  ASSERT_TRUE(rig.Until([&] { return all_have(3000); }));
  for (size_t i = 0; i < kConnections; ++i) {
    SendAll(peers[i], Pattern(i, 3000, 3000));
  }
  ASSERT_TRUE(rig.Until([&] { return all_have(6000); }));
  for (size_t i = 0; i < kConnections; ++i) {
    EXPECT_TRUE(got[i] == Pattern(i, 0, 6000)) << i;
    close(peers[i]);
  }
  ASSERT_TRUE(rig.Join());
  for (const auto& stream : streams) {
    EXPECT_TRUE(rig.CloseAll({stream.get()}));
  }
}

// T6: a completion queue of 16 entries and a submission queue of 8 overflow, and lose nothing.
TEST_P(StreamTest, T6TinyQueuesLoseNothing) {
  Sizes sizes;
  sizes.ring_entries = 8;
  sizes.completions = 16;
  Rig rig(GetParam(), sizes);
  constexpr size_t kConnections = 200;
  std::vector<std::unique_ptr<io::Stream>> streams;
  std::vector<int> peers;
  std::vector<std::string> got(kConnections);
  for (size_t i = 0; i < kConnections; ++i) {
    const Ends ends = UnixPair();
    peers.push_back(ends.theirs);
    streams.push_back(std::make_unique<io::Stream>(rig.loop()));
    streams.back()->Adopt(ends.ours, io::Traffic::kClient);
    rig.scope().Spawn(EchoBack(streams.back().get()));
  }
  for (size_t from = 0; from < 10'000; from += 1000) {
    for (size_t i = 0; i < kConnections; ++i) {
      SendAll(peers[i], Pattern(i, from, 1000));
    }
    ASSERT_TRUE(rig.Until([&] {
      bool all = true;
      for (size_t i = 0; i < kConnections; ++i) {
        got[i] += ReadNow(peers[i], 100'000);
        all = all && got[i].size() == from + 1000;
      }
      return all;
    }));
  }
  for (size_t i = 0; i < kConnections; ++i) {
    EXPECT_TRUE(got[i] == Pattern(i, 0, 10'000)) << i;
    close(peers[i]);
  }
  ASSERT_TRUE(rig.Join());
  if (GetParam() != Kind::kEpoll) {
    EXPECT_GT(rig.engine().metrics().queue_overflows.value(), 0u);
  }
  std::vector<io::Stream*> all;
  for (const auto& stream : streams) {
    all.push_back(stream.get());
  }
  EXPECT_TRUE(rig.CloseAll(all));
}

TEST_P(StreamTest, StormOfSignalsInterruptsNothing) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  struct sigaction before {};
  ASSERT_EQ(sigaction(SIGALRM, &action, &before), 0);
  const itimerval often{{0, 500}, {0, 500}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &often, nullptr), 0);
  {
    Rig rig(GetParam());
    const Ends ends = UnixPair();
    SetBuffers(ends.ours, 4096, 4096);
    io::Stream asker(rig.loop());
    io::Stream echo(rig.loop());
    asker.Adopt(ends.ours, io::Traffic::kClient);
    echo.Adopt(ends.theirs, io::Traffic::kServer);
    std::string got;
    rig.scope().Spawn(ReadAll(&asker, &got));
    rig.scope().Spawn(EchoBack(&echo));
    const std::string sent = Pattern(8, 0, 1 << 20);
    asker.WriteCopy(sent);
    asker.FinishSend();
    EXPECT_TRUE(rig.Join());
    EXPECT_TRUE(got == sent);
    EXPECT_TRUE(rig.CloseAll({&asker, &echo}));
  }
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
}

}  // namespace
}  // namespace io_test
