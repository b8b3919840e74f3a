// Resolver: names, numbers, failures and askers that give up.
#include "io/resolver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

#include "base/status.h"
#include "unit/io/rig.h"

namespace io_test {
namespace {

io::Task<void> AskFor(io::Resolver* resolver, io::Loop* loop, std::string host,
                      base::Deadline deadline, absl::StatusOr<io::Address>* answer) {
  absl::StatusOr<io::Address> found = co_await resolver->Resolve(loop, host, 5432, deadline);
  *answer = found;
}

TEST(ResolverTest, NumbersNeedNoThread) {
  io::Resolver resolver;
  Rig rig(Kind::kEpoll);
  absl::StatusOr<io::Address> answer;
  rig.scope().Spawn(AskFor(&resolver, rig.loop(), "::1", rig.loop()->now(), &answer));
  EXPECT_EQ(rig.scope().running(), 0u) << "answered without a wait";
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->ToString(), "[::1]:5432");
}

TEST(ResolverTest, LocalhostIsFoundAndRemembered) {
  io::Resolver resolver;
  Rig rig(Kind::kEpoll);
  absl::StatusOr<io::Address> answer;
  const base::Deadline deadline = rig.loop()->In(absl::Seconds(20));
  rig.scope().Spawn(AskFor(&resolver, rig.loop(), "localhost", deadline, &answer));
  ASSERT_TRUE(rig.Join());
  ASSERT_TRUE(answer.ok()) << base::Message(answer.status());
  EXPECT_TRUE(answer->is_loopback());
  EXPECT_EQ(answer->port(), 5432);
  absl::StatusOr<io::Address> again;
  rig.scope().Spawn(AskFor(&resolver, rig.loop(), "localhost", deadline, &again));
  EXPECT_EQ(rig.scope().running(), 0u) << "remembered";
  EXPECT_TRUE(again.ok());
}

TEST(ResolverTest, UnknownNameIsNamed) {
  io::Resolver resolver;
  Rig rig(Kind::kEpoll);
  absl::StatusOr<io::Address> answer;
  rig.scope().Spawn(
      AskFor(&resolver, rig.loop(), "no such host", rig.loop()->In(absl::Seconds(25)), &answer));
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(base::Message(answer.status()).find("\"no such host\""), std::string_view::npos);
}

// The asker and its loop are gone before the thread has an answer.
TEST(ResolverTest, AnAskerMayGiveUpAndItsLoopMayEnd) {
  io::Resolver resolver;
  for (int i = 0; i < 30; ++i) {
    Rig rig(Kind::kEpoll);
    std::vector<absl::StatusOr<io::Address>> answers(4);
    for (size_t j = 0; j < answers.size(); ++j) {
      const std::string name = "never" + std::to_string(i * 4 + j) + ".invalid";
      rig.scope().Spawn(AskFor(&resolver, rig.loop(), name, rig.loop()->now(), &answers[j]));
    }
    ASSERT_TRUE(rig.Join());
    for (const absl::StatusOr<io::Address>& answer : answers) {
      EXPECT_FALSE(answer.ok());
    }
  }
}

TEST(ResolverTest, J9_ASlowNameIsLookedUpOnceAndHoldsUpNoOther) {
  std::latch release(1);
  std::atomic<int> looked_up{0};
  io::Resolver resolver(
      [&](const std::string& host, uint16_t port) {
        if (host == "slow") {
          ++looked_up;
          release.wait();
        }
        return io::Address::Numeric("127.0.0.1", port);
      },
      absl::Seconds(5));
  Rig rig(Kind::kEpoll);
  const base::Deadline deadline = rig.loop()->In(absl::Seconds(20));
  std::vector<absl::StatusOr<io::Address>> slow(3 * io::Resolver::kThreads);
  for (absl::StatusOr<io::Address>& answer : slow) {
    rig.scope().Spawn(AskFor(&resolver, rig.loop(), "slow", deadline, &answer));
  }
  absl::StatusOr<io::Address> other;
  rig.scope().Spawn(AskFor(&resolver, rig.loop(), "other", deadline, &other));
  ASSERT_TRUE(rig.Until([&] { return other.ok(); }));
  for (const absl::StatusOr<io::Address>& answer : slow) {
    EXPECT_FALSE(answer.ok());
  }
  release.count_down();
  ASSERT_TRUE(rig.Join());
  for (const absl::StatusOr<io::Address>& answer : slow) {
    EXPECT_TRUE(answer.ok());
  }
  EXPECT_EQ(looked_up, 1);
}

TEST(ResolverTest, J9_AnAddressThatHasChangedIsSeenWhenTheAnswerIsOld) {
  std::atomic<int> count{0};
  io::Resolver resolver(
      [&](const std::string&, uint16_t port) {
        return io::Address::Numeric("127.0.0." + std::to_string(++count), port);
      },
      absl::ZeroDuration());
  Rig rig(Kind::kEpoll);
  const base::Deadline deadline = rig.loop()->In(absl::Seconds(20));
  for (const char* expected : {"127.0.0.1:5432", "127.0.0.2:5432"}) {
    absl::StatusOr<io::Address> answer;
    rig.scope().Spawn(AskFor(&resolver, rig.loop(), "moves", deadline, &answer));
    ASSERT_TRUE(rig.Join());
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer->ToString(), expected);
  }
}

// As many as may wait do, and one more is refused at once; when they give up there is room again.
TEST(ResolverTest, J9_WhoWaitsForNamesIsBounded) {
  std::latch release(1);
  io::Resolver resolver(
      [&](const std::string&, uint16_t port) {
        release.wait();
        return io::Address::Numeric("127.0.0.1", port);
      },
      absl::Seconds(5));
  Rig rig(Kind::kEpoll);
  std::vector<absl::StatusOr<io::Address>> answers(io::Resolver::kAskersMax + 1);
  const base::Deadline soon = rig.loop()->In(absl::Milliseconds(50));
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string name = "name" + std::to_string(i % 7);
    rig.scope().Spawn(AskFor(&resolver, rig.loop(), name, soon, &answers[i]));
  }
  EXPECT_EQ(answers.back().status().code(), absl::StatusCode::kResourceExhausted);
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(answers.front().status().code(), absl::StatusCode::kDeadlineExceeded);
  absl::StatusOr<io::Address> again;
  rig.scope().Spawn(
      AskFor(&resolver, rig.loop(), "again", rig.loop()->In(absl::Seconds(20)), &again));
  release.count_down();
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(again.ok());
}

}  // namespace
}  // namespace io_test
