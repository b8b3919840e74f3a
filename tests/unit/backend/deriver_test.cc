// Keys are derived once, on another thread, and kept within a bound.
#include "backend/deriver.h"

#include <gtest/gtest.h>

#include "io/epoll_engine.h"
#include "io/scope.h"

namespace backend {
namespace {

class DeriverTest : public testing::Test {
 protected:
  io::Task<void> Ask(std::string password, std::string salt, pg::ScramKeys* to) {
    *to = co_await deriver_.Derive(password, salt, 1);
  }
  void Finish() {
    while (scope_.running() > 0) {
      loop_.RunOnce(engine_.Now() + absl::Milliseconds(5));
    }
  }

  base::Limits limits_;
  io::EpollEngine engine_{64 * 1024};
  io::Loop loop_{&engine_, &limits_, 1};
  io::Worker worker_;
  Deriver deriver_{&loop_, &worker_};
  io::Scope scope_{&loop_};
};

TEST_F(DeriverTest, ManyWhoAskAtOnceWaitForOneDerivation) {
  pg::ScramKeys keys[100];
  for (pg::ScramKeys& each : keys) {
    scope_.Spawn(Ask("pencil", "salt", &each));
  }
  Finish();
  EXPECT_EQ(deriver_.derivations(), 1u);
  const pg::ScramKeys right = pg::DeriveScramKeys("pencil", "salt", 1);
  for (const pg::ScramKeys& each : keys) {
    EXPECT_EQ(each.client_key, right.client_key);
    EXPECT_EQ(each.server_key, right.server_key);
  }
  pg::ScramKeys later;
  scope_.Spawn(Ask("pencil", "salt", &later));
  EXPECT_EQ(scope_.running(), 0u);  // it did not wait
  EXPECT_EQ(later.stored_key, right.stored_key);
}

TEST_F(DeriverTest, NothingIsMistakenForAnother) {
  pg::ScramKeys a, b;
  scope_.Spawn(Ask("bc", "a", &a));
  scope_.Spawn(Ask("c", "ab", &b));
  Finish();
  EXPECT_EQ(deriver_.derivations(), 2u);
  EXPECT_EQ(a.stored_key, pg::DeriveScramKeys("bc", "a", 1).stored_key);
  EXPECT_EQ(b.stored_key, pg::DeriveScramKeys("c", "ab", 1).stored_key);
}

TEST_F(DeriverTest, TheOldestGoFirst) {
  pg::ScramKeys keys;
  for (size_t i = 0; i <= kDerivedMax; ++i) {
    scope_.Spawn(Ask(std::to_string(i), "salt", &keys));
  }
  Finish();
  EXPECT_EQ(deriver_.size(), kDerivedMax);
  scope_.Spawn(Ask("0", "salt", &keys));
  Finish();
  EXPECT_EQ(deriver_.derivations(), kDerivedMax + 2);
}

}  // namespace
}  // namespace backend
