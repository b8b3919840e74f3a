// Engines themselves: dialling, accepting, waking, and descriptors that are used again at once.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/random.h"
#include "base/status.h"
#include "unit/io/folder.h"
#include "unit/io/rig.h"

namespace io_test {
namespace {

class EngineTest : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, testing::ValuesIn(Kinds()), ParamName);

// Notes what an engine tells.
class Recorder final : public io::Endpoint {
 public:
  void OnConnected(int error) override { connected = error; }
  void OnReceived(base::Slice bytes) override { got += bytes.view(); }
  void OnReceiveEnded(int error) override {
    ++ends;
    end = error;
  }
  void OnSent(int64_t result) override { sent = result; }
  void OnReleased() override { ++released; }

  int connected = -1;
  std::string got;
  int ends = 0;
  int end = -1;
  int64_t sent = INT64_MIN;
  int released = 0;
};

class Collector final : public io::Acceptor {
 public:
  void OnAccepted(int descriptor) override { accepted.push_back(descriptor); }
  void OnAcceptFailed(int error) override { failures.push_back(error); }
  std::vector<int> accepted;
  std::vector<int> failures;
};

io::Address Loopback() { return *io::Address::Numeric("127.0.0.1", 0); }

int ConnectTo(const io::Address& address) {
  const int descriptor = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  EXPECT_GE(descriptor, 0);
  static_cast<void>(connect(descriptor, address.get(), address.length()));
  return descriptor;
}

TEST_P(EngineTest, AcceptsAndDials) {
  Rig rig(GetParam());
  Collector acceptor;
  const absl::StatusOr<io::Address> bound = rig.engine().Listen(Loopback(), &acceptor);
  ASSERT_TRUE(bound.ok());
  EXPECT_NE(bound->port(), 0);
  io::Stream stream(rig.loop());
  absl::Status status = base::Internal("not yet");
  rig.scope().Spawn(DialOne(&stream, *bound, rig.loop()->In(absl::Seconds(20)), &status));
  ASSERT_TRUE(rig.Until([&] { return acceptor.accepted.size() == 1; }));
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(status.ok()) << base::Message(status);
  EXPECT_EQ(stream.PeerAddress().ToString(), bound->ToString());
  rig.engine().Discard(acceptor.accepted[0]);
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

TEST_P(EngineTest, WordsWrittenWhileDiallingAreSent) {
  Rig rig(GetParam());
  Collector acceptor;
  const absl::StatusOr<io::Address> bound = rig.engine().Listen(Loopback(), &acceptor);
  ASSERT_TRUE(bound.ok());
  io::Stream stream(rig.loop());
  absl::Status status;
  rig.scope().Spawn(DialOne(&stream, *bound, rig.loop()->In(absl::Seconds(20)), &status));
  stream.WriteCopy("early");
  ASSERT_TRUE(rig.Until([&] { return acceptor.accepted.size() == 1; }));
  std::string got;
  EXPECT_TRUE(rig.Until([&] {
    got += ReadNow(acceptor.accepted[0], 10);
    return got == "early";
  }));
  rig.engine().Discard(acceptor.accepted[0]);
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

TEST_P(EngineTest, RefusedDialSaysSo) {
  Rig rig(GetParam());
  const Ends ends = TcpPair();
  sockaddr_in name{};
  socklen_t length = sizeof name;
  ASSERT_EQ(getsockname(ends.theirs, reinterpret_cast<sockaddr*>(&name), &length), 0);
  close(ends.ours);
  close(ends.theirs);
  // The port of a client's end: nobody listens there.
  const io::Address nobody = io::Address::From(reinterpret_cast<sockaddr*>(&name), length);
  io::Stream stream(rig.loop());
  absl::Status status;
  rig.scope().Spawn(DialOne(&stream, nobody, rig.loop()->In(absl::Seconds(20)), &status));
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(base::Message(status).find("Connection refused"), std::string_view::npos);
  EXPECT_NE(base::Message(status).find(nobody.ToString()), std::string_view::npos);
}

// A listener whose queue is full answers nobody.
class FullListener {
 public:
  FullListener() {
    const io::Address any = Loopback();
    EXPECT_EQ(bind(listener_, any.get(), any.length()), 0);
    EXPECT_EQ(listen(listener_, 0), 0);
    sockaddr_in name{};
    socklen_t length = sizeof name;
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &length), 0);
    address = io::Address::From(reinterpret_cast<sockaddr*>(&name), length);
    for (int& filler : fillers_) {
      filler = ConnectTo(address);
    }
  }
  ~FullListener() {
    for (const int filler : fillers_) {
      close(filler);
    }
    close(listener_);
  }
  io::Address address;

 private:
  const int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::array<int, 4> fillers_{};
};

TEST_P(EngineTest, UnansweredDialEndsAtItsDeadline) {
  Rig rig(GetParam());
  FullListener full;
  io::Stream stream(rig.loop());
  absl::Status status;
  const base::Deadline soon = rig.loop()->In(absl::Milliseconds(50));
  rig.scope().Spawn(DialOne(&stream, full.address, soon, &status));
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_P(EngineTest, DialEndsWhenItsStreamIsAborted) {
  Rig rig(GetParam());
  FullListener full;
  io::Stream under_way(rig.loop());
  io::Stream not_begun(rig.loop());
  absl::Status first;
  absl::Status second;
  rig.scope().Spawn(DialOne(&under_way, full.address, base::Deadline::Never(), &first));
  rig.loop()->RunOnce(rig.loop()->In(absl::Milliseconds(1)));
  under_way.Abort();
  not_begun.Abort();
  rig.scope().Spawn(DialOne(&not_begun, full.address, base::Deadline::Never(), &second));
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(second.code(), absl::StatusCode::kUnavailable);
}

TEST_P(EngineTest, DialsUnixSocketsAndNamesMissingOnes) {
  Rig rig(GetParam());
  const Folder folder;
  Collector acceptor;
  const absl::StatusOr<io::Address> path = io::Address::UnixPath(folder / "s");
  ASSERT_TRUE(path.ok());
  ASSERT_TRUE(rig.engine().Listen(*path, &acceptor).ok());
  io::Stream stream(rig.loop());
  io::Stream lost(rig.loop());
  absl::Status status;
  absl::Status missing;
  const absl::StatusOr<io::Address> nowhere = io::Address::UnixPath(folder / "nowhere");
  rig.scope().Spawn(DialOne(&stream, *path, rig.loop()->In(absl::Seconds(20)), &status));
  rig.scope().Spawn(DialOne(&lost, *nowhere, rig.loop()->In(absl::Seconds(20)), &missing));
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(status.ok()) << base::Message(status);
  EXPECT_EQ(missing.code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(rig.Until([&] { return acceptor.accepted.size() == 1; }));
  rig.engine().Discard(acceptor.accepted[0]);
  EXPECT_TRUE(rig.CloseAll({&stream}));
}

TEST_P(EngineTest, StoppedListenerRefusesAndTellsNothing) {
  Rig rig(GetParam());
  Collector acceptor;
  const absl::StatusOr<io::Address> bound = rig.engine().Listen(Loopback(), &acceptor);
  ASSERT_TRUE(bound.ok());
  const int first = ConnectTo(*bound);
  ASSERT_TRUE(rig.Until([&] { return acceptor.accepted.size() == 1; }));
  rig.engine().StopListening(&acceptor);
  rig.loop()->RunOnce(rig.loop()->now());
  rig.loop()->RunOnce(rig.loop()->now());
  const int late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(late, bound->get(), bound->length()), -1);
  EXPECT_EQ(errno, ECONNREFUSED);
  EXPECT_EQ(acceptor.accepted.size(), 1u);
  rig.engine().Discard(acceptor.accepted[0]);
  close(first);
  close(late);
}

// A listener that is stopped before its first round must not accept on a newcomer's descriptor.
TEST_P(EngineTest, ListenerStoppedAtOnceLeavesItsDescriptorsSuccessorAlone) {
  Rig rig(GetParam());
  Collector gone;
  Collector stays;
  ASSERT_TRUE(rig.engine().Listen(Loopback(), &gone).ok());
  rig.engine().StopListening(&gone);
  const absl::StatusOr<io::Address> bound = rig.engine().Listen(Loopback(), &stays);
  ASSERT_TRUE(bound.ok());
  std::vector<int> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(ConnectTo(*bound));
  }
  ASSERT_TRUE(rig.Until([&] { return stays.accepted.size() == clients.size(); }));
  EXPECT_TRUE(gone.accepted.empty());
  for (const int descriptor : stays.accepted) {
    rig.engine().Discard(descriptor);
  }
  for (const int client : clients) {
    close(client);
  }
}

// All but `spare` descriptors of the process are used up.
class ScarceDescriptors {
 public:
  ScarceDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const int next = dup(0);
    close(next);
    rlimit scarce = before_;
    scarce.rlim_cur = static_cast<rlim_t>(next);
    setrlimit(RLIMIT_NOFILE, &scarce);
  }
  ~ScarceDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_P(EngineTest, AcceptingGoesOnAfterDescriptorsWereScarce) {
  Rig rig(GetParam());
  Collector acceptor;
  const absl::StatusOr<io::Address> bound = rig.engine().Listen(Loopback(), &acceptor);
  ASSERT_TRUE(bound.ok());
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  // A sanitizer that meets the type for the first time needs descriptors of its own.
  static_cast<io::Acceptor&>(acceptor).OnAcceptFailed(0);
  acceptor.failures.clear();
  {
    // io_uring takes the limit that holds when the accept is armed: in the round that comes.
    const ScarceDescriptors scarce;
    ASSERT_EQ(connect(client, bound->get(), bound->length()), 0);
    ASSERT_TRUE(rig.Until([&] { return !acceptor.failures.empty(); }));
    EXPECT_EQ(acceptor.failures.front(), EMFILE);
    EXPECT_TRUE(acceptor.accepted.empty());
  }
  // Nothing of this engine is closed: it looks again by itself.
  ASSERT_TRUE(rig.Until([&] { return acceptor.accepted.size() == 1; }));
  EXPECT_LT(acceptor.failures.size(), 20u) << "it must not retry in every round";
  rig.engine().Discard(acceptor.accepted[0]);
  close(client);
}

// T3: descriptors are used again at once, with receives armed and bytes on the way.
TEST_P(EngineTest, T3LateCompletionNeverReachesANewcomer) {
  Rig rig(GetParam());
  base::Prng prng(17);
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::vector<int> peers;
  size_t last_number = 0;
  size_t reused = 0;
  for (size_t i = 0; i < 600; ++i) {
    const Ends ends = UnixPair();
    reused += static_cast<size_t>(ends.ours) == last_number ? 1 : 0;
    last_number = static_cast<size_t>(ends.ours);
    recorders.push_back(std::make_unique<Recorder>());
    const io::SocketId id =
        rig.engine().Adopt(ends.ours, recorders.back().get(), io::Traffic::kClient);
    rig.engine().StartReceive(id);
    SendAll(ends.theirs, std::string(200, static_cast<char>(i % 251)));
    if (prng.OneIn(2)) {
      rig.engine().Poll(base::Instant());
    }
    SendAll(ends.theirs, std::string(200, static_cast<char>(i % 251)));
    const std::string at_release = recorders.back()->got;
    rig.engine().Release(id);
    close(ends.theirs);
    if (prng.OneIn(2)) {
      rig.engine().Poll(base::Instant());
    }
    EXPECT_EQ(recorders.back()->got, at_release) << "told after Release";
  }
  ASSERT_TRUE(rig.Until([&] {
    for (const auto& recorder : recorders) {
      if (recorder->released == 0) {
        return false;
      }
    }
    return true;
  }));
  EXPECT_GT(reused, 10u) << "the storm must use numbers again";
  for (size_t i = 0; i < recorders.size(); ++i) {
    EXPECT_EQ(recorders[i]->released, 1);
    EXPECT_EQ(recorders[i]->ends, 0);
    EXPECT_EQ(recorders[i]->got, std::string(recorders[i]->got.size(), static_cast<char>(i % 251)));
  }
}

TEST_P(EngineTest, StopIsAnsweredOnceAndStartTakesItBack) {
  Rig rig(GetParam());
  const Ends ends = UnixPair();
  Recorder recorder;
  const io::SocketId id = rig.engine().Adopt(ends.ours, &recorder, io::Traffic::kClient);
  rig.engine().StartReceive(id);
  rig.engine().Poll(base::Instant());
  rig.engine().StopReceive(id);
  ASSERT_TRUE(rig.Until([&] { return recorder.ends == 1; }));
  EXPECT_EQ(recorder.end, ECANCELED);
  rig.engine().StartReceive(id);
  rig.engine().Poll(base::Instant());
  rig.engine().StopReceive(id);
  rig.engine().StartReceive(id);
  SendAll(ends.theirs, "x");
  ASSERT_TRUE(rig.Until([&] { return recorder.got == "x"; }));
  EXPECT_EQ(recorder.ends, 1) << "a stop that was taken back has no end";
  close(ends.theirs);
  ASSERT_TRUE(rig.Until([&] { return recorder.ends == 2; }));
  EXPECT_EQ(recorder.end, 0);
  rig.engine().Release(id);
  EXPECT_TRUE(rig.Until([&] { return recorder.released == 1; }));
}

// The `last` one delivered stops the loop.
class Count final : public io::Message {
 public:
  Count(uint64_t* count, uint64_t last, io::Loop* loop) : count_(count), last_(last), loop_(loop) {}
  void Deliver() override {
    if (++*count_ == last_) {
      loop_->Stop();
    }
  }

 private:
  uint64_t* const count_;
  const uint64_t last_;
  io::Loop* const loop_;
};

// T8: a loop that sleeps between messages hears every one of them.
TEST_P(EngineTest, T8NoWakeUpIsLost) {
  Rig rig(GetParam());
  constexpr uint64_t kPosts = 100'000;
  uint64_t delivered = 0;
  std::thread poster([&] {
    for (uint64_t i = 0; i < kPosts; ++i) {
      rig.loop()->Post(std::make_unique<Count>(&delivered, kPosts, rig.loop()));
      if (i % 64 == 0) {
        std::this_thread::yield();
      }
    }
  });
  rig.loop()->Run();  // a lost wake-up hangs here, and the test runner's timeout says so
  poster.join();
  EXPECT_EQ(delivered, kPosts);
  EXPECT_EQ(rig.loop()->metrics().messages.value(), kPosts);
}

TEST_P(EngineTest, ListeningWhereAnotherListensNamesTheAddress) {
  Rig rig(GetParam());
  const int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const io::Address any = Loopback();
  ASSERT_EQ(bind(taken, any.get(), any.length()), 0);
  ASSERT_EQ(listen(taken, 1), 0);
  sockaddr_in name{};
  socklen_t length = sizeof name;
  ASSERT_EQ(getsockname(taken, reinterpret_cast<sockaddr*>(&name), &length), 0);
  const io::Address address = io::Address::From(reinterpret_cast<sockaddr*>(&name), length);
  Collector acceptor;
  const absl::StatusOr<io::Address> bound = rig.engine().Listen(address, &acceptor);
  ASSERT_FALSE(bound.ok());
  EXPECT_NE(base::Message(bound.status()).find(address.ToString()), std::string_view::npos);
  close(taken);
}

}  // namespace
}  // namespace io_test
