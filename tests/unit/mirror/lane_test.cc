// What lanes do with units: order, transactions, refusals, losses and the counts of each, against
// a scripted mirror on a loopback socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/io/folder.h"
#include "unit/mirror/lane_fixture.h"

namespace mirror {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(LaneTest, UnitsArriveInOrderOverOneConnection) {
  Start();
  for (int i = 0; i < 20; ++i) {
    Commit("INSERT INTO t VALUES (" + std::to_string(i) + ")");
  }
  ASSERT_TRUE(UntilCounts("20 20 0 0 0"));
  ASSERT_EQ(mirror_.heard.size(), 20u);
  EXPECT_EQ(mirror_.heard[19], "INSERT INTO t VALUES (19)");
  EXPECT_EQ(mirror_.logins, 1);
}

TEST_F(LaneTest, SeveralStatementsAreOneTransaction) {
  Start();
  Commit("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", {"INSERT 0 1", "INSERT 0 1"});
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_THAT(mirror_.heard, ElementsAre("BEGIN", "INSERT INTO t VALUES (1)",
                                         "INSERT INTO t VALUES (2)", "COMMIT"));
}

TEST_F(LaneTest, K4RefusedUnitIsCountedAndTheNextOneGoesOn) {
  mirror_.answer = [](const std::string& text) {
    return std::string(text.find("bad") == std::string::npos ? "" : "23505");
  };
  Start();
  Commit("INSERT INTO t VALUES ('bad')");
  Commit("INSERT INTO t VALUES (1); INSERT INTO bad VALUES (2)", {"INSERT 0 1", "INSERT 0 1"});
  Commit("INSERT INTO t VALUES (2)");
  EXPECT_TRUE(UntilCounts("3 1 2 0 0"));
}

TEST_F(LaneTest, SerializationFailureIsRepeatedWhole) {
  int left = 2;
  mirror_.answer = [&left](const std::string& text) {
    return std::string(text.starts_with("INSERT") && left-- > 0 ? "40001" : "");
  };
  Start();
  Commit("INSERT INTO t VALUES (1)");
  EXPECT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(mirror_.heard.size(), 3u);
}

TEST_F(LaneTest, WhatWasPreparedInVainIsForgottenBeforeTheNextTry) {
  bool first = true;
  mirror_.tag = [](const std::string& text) {
    return std::string(text.starts_with("PREPARE") ? "PREPARE" : "");
  };
  mirror_.answer = [&first](const std::string& text) {
    return std::string(text.starts_with("INSERT") && std::exchange(first, false) ? "40001" : "");
  };
  Start();
  Commit("PREPARE o AS SELECT 1", {"PREPARE"});
  Commit("BEGIN; PREPARE q AS SELECT 1; INSERT INTO t VALUES (1); COMMIT",
         {"BEGIN", "PREPARE", "INSERT 0 1", "COMMIT"});
  EXPECT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_THAT(mirror_.heard,
              ElementsAre("PREPARE o AS SELECT 1", "BEGIN", "PREPARE q AS SELECT 1",
                          "INSERT INTO t VALUES (1)", "ROLLBACK",
                          "RESET SESSION AUTHORIZATION; RESET ROLE", "RESET ALL; DEALLOCATE ALL",
                          "PREPARE o AS SELECT 1", "BEGIN", "PREPARE q AS SELECT 1",
                          "INSERT INTO t VALUES (1)", "COMMIT"));
}

TEST_F(LaneTest, SerializationFailureWithoutEndIsGivenUpAfterAllRetries) {
  mirror_.answer = [](const std::string&) { return std::string("40P01"); };
  Start();
  Commit("INSERT INTO t VALUES (1)");
  EXPECT_TRUE(UntilCounts("1 0 0 1 0 cause=\"retries\"=1"));
  EXPECT_EQ(mirror_.heard.size(), 1 + config_.limits.mirror_retries);
}

TEST_F(LaneTest, ConnectionLostMidUnitIsUnknownAndNeverSentTwice) {
  Start();
  Commit("SET search_path = a", {"SET"});
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  mirror_.silent = true;
  Commit("INSERT INTO t VALUES (1)");
  Commit("INSERT INTO t VALUES (2)");
  for (int i = 0; i < 20; ++i) {
    loop_->RunOnce(engine_.Now() + absl::Milliseconds(1));
    mirror_.Turn();
  }
  mirror_.silent = false;
  mirror_.heard.clear();
  mirror_.Hang();
  ASSERT_TRUE(UntilCounts("3 2 0 1 0 cause=\"outcome_unknown\"=1"));
  // K5: the session's state is rebuilt first.
  EXPECT_THAT(mirror_.heard, ElementsAre("SET search_path = a", "INSERT INTO t VALUES (2)"));
  EXPECT_EQ(mirror_.logins, 2);
}

TEST_F(LaneTest, X10SettingsStayInTheirLane) {
  Start();
  Commit("SET search_path = a", {"SET"}, 0);
  Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, 1);
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_EQ(mirror_.logins, 2);
}

// Who comes later knows nothing of what sequences gave to who was there before.
TEST_F(LaneTest, SessionsWithoutStateShareAConnectionAfterEachOther) {
  Start();
  for (size_t session = 0; session < 3; ++session) {
    Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"});
    ASSERT_TRUE(UntilCounts(std::to_string(session + 1) + " " + std::to_string(session + 1) +
                            " 0 0 0"));
    sessions_.clear();
  }
  EXPECT_EQ(mirror_.logins, 1);
  EXPECT_THAT(mirror_.heard,
              ElementsAre("INSERT INTO t VALUES (1)", "DISCARD SEQUENCES",
                          "INSERT INTO t VALUES (1)", "DISCARD SEQUENCES",
                          "INSERT INTO t VALUES (1)"));
}

TEST_F(LaneTest, SessionsThatLiveKeepAConnectionEach) {
  Start();
  for (int i = 0; i < 3; ++i) {
    for (size_t session = 0; session < 2; ++session) {
      Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, session);
      ASSERT_TRUE(Until([&] { return Counts().ends_with(" 0 0 0"); }));
    }
  }
  EXPECT_EQ(mirror_.logins, 2);
  EXPECT_EQ(mirror_.heard.size(), 6u);
}

TEST_F(LaneTest, SessionsThatRestLendTheirConnectionsWhereThereAreNoMore) {
  config_.limits.mirror_connections_max = 3;
  Start();
  for (int i = 0; i < 3; ++i) {
    for (size_t session = 0; session < 5; ++session) {
      Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, session);
      ASSERT_TRUE(Until([&] { return Counts().ends_with(" 0 0 0"); }));
    }
  }
  EXPECT_LE(mirror_.logins, 3);
}

// It has asked before, so it is the last one to lend; then what it asks for is missing.
TEST_F(LaneTest, ValueOfASequenceThatWasLentAwayIsStateLost) {
  config_.limits.mirror_connections_max = 1;
  bool lent = false;
  mirror_.answer = [&lent](const std::string& text) {
    lent = lent || text == "DISCARD SEQUENCES";
    return std::string(lent && text.find("currval") != std::string::npos ? "55000" : "");
  };
  Start();
  Commit("INSERT INTO t VALUES (currval('s'))", {"INSERT 0 1"}, 0);
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  Commit("INSERT INTO t VALUES (2)", {"INSERT 0 1"}, 1);
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  Commit("INSERT INTO t VALUES (currval('s'))", {"INSERT 0 1"}, 0);
  EXPECT_TRUE(UntilCounts("3 2 0 1 0 cause=\"state_lost\"=1"));
}

TEST_F(LaneTest, SettingsOfARefusedTransactionAreMadeOnItsConnection) {
  mirror_.answer = [](const std::string& text) {
    return std::string(text.find("bad") == std::string::npos ? "" : "23505");
  };
  Start();
  Commit("SET search_path = a; INSERT INTO bad VALUES (1)", {"SET", "INSERT 0 1"});
  ASSERT_TRUE(UntilCounts("1 0 1 0 0"));
  mirror_.heard.clear();
  Commit("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(UntilCounts("2 1 1 0 0"));
  EXPECT_THAT(mirror_.heard,
              ElementsAre("RESET SESSION AUTHORIZATION; RESET ROLE", "RESET ALL; DEALLOCATE ALL",
                          "SET search_path = a", "INSERT INTO t VALUES (2)"));
  EXPECT_EQ(mirror_.logins, 1);
}

// Without it the mirror would keep the locks of what it has prepared.
TEST_F(LaneTest, WhatEndsAPreparedTransactionGoesWhereThereIsNoRoom) {
  config_.limits.mirror_bytes_max = 20'000;
  mirror_.silent = true;
  Start();
  Commit("INSERT INTO t VALUES ('" + std::string(19'500, 'x') + "')");
  Commit("INSERT INTO t VALUES ('" + std::string(19'500, 'y') + "')");
  Commit("COMMIT PREPARED 'a'", {"COMMIT PREPARED"});
  ASSERT_TRUE(UntilCounts("3 0 0 1 2 cause=\"over_budget\"=1"));
  mirror_.tag = [](const std::string& text) {
    return std::string(text.starts_with("COMMIT P") ? "COMMIT PREPARED" : "");
  };
  mirror_.silent = false;
  ASSERT_TRUE(UntilCounts("3 2 0 1 0 cause=\"over_budget\"=1"));
}

TEST_F(LaneTest, WhatEndsAPreparedTransactionGoesWhereTheDiskIsSlow) {
  const io_test::Folder folder;
  config_.spill_dir = folder / "spill";
  config_.limits.mirror_bytes_max = 20'000;
  config_.limits.mirror_transaction_max = 4 << 20;
  mirror_.silent = true;
  Start();
  // Nothing is written meanwhile, so what is on its way to the disk comes to its bound.
  for (const size_t size : {3 << 20, 200'000, 10'000, 500, 0}) {
    for (int i = 0; i < 80; ++i) {
      Commit("DELETE FROM t" + std::string(size, ' '), {"DELETE 1"});
    }
  }
  const auto dropped = [this] {
    return mirrors_->metrics(0).dropped[static_cast<size_t>(Cause::kOverBudget)].value();
  };
  const uint64_t before = dropped();
  Commit("DELETE FROM t", {"DELETE 1"});
  EXPECT_EQ(dropped(), before + 1);
  Commit("COMMIT PREPARED 'a'", {"COMMIT PREPARED"});
  EXPECT_EQ(dropped(), before + 1);
}

TEST_F(LaneTest, WhatEndsAPreparedTransactionIsSentAgainIfItsAnswerIsLost) {
  mirror_.hold = "COMMIT PREPARED";
  Start();
  Commit("COMMIT PREPARED 'a'", {"COMMIT PREPARED"});
  ASSERT_TRUE(Until([&] { return mirror_.Holds("COMMIT PREPARED"); }));
  mirror_.answer = [](const std::string& text) {
    return std::string(text.starts_with("COMMIT P") ? "42704" : "");
  };
  mirror_.Hang();
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).found_applied.value(), 1u);
}

TEST_F(LaneTest, SettingsOfADroppedTransactionAreMadeBehindWhatWaits) {
  config_.limits.mirror_bytes_max = 20'000;
  mirror_.silent = true;
  Start();
  const std::string large = "INSERT INTO t VALUES ('" + std::string(9'000, 'x') + "')";
  Commit("INSERT INTO t VALUES ('" + std::string(12'000, 'x') + "')");
  Commit("SET search_path = a; " + large, {"SET", "INSERT 0 1"});
  Commit("SET search_path = b; " + large, {"SET", "INSERT 0 1"});
  ASSERT_TRUE(UntilCounts("3 0 0 2 1 cause=\"over_budget\"=2"));
  mirror_.silent = false;
  ASSERT_TRUE(UntilCounts("3 1 0 2 0 cause=\"over_budget\"=2"));
  mirror_.heard.clear();
  Commit("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(UntilCounts("4 2 0 2 0 cause=\"over_budget\"=2"));
  ASSERT_EQ(mirror_.heard.size(), 4u);
  EXPECT_EQ(mirror_.heard[2], "SET search_path = b");
}

// The mirror's session still has it, and it would hide a table of that name.
TEST_F(LaneTest, TemporaryTableWhoseDropWasDroppedGoesWithItsConnection) {
  config_.limits.mirror_bytes_max = 20'000;
  Start();
  const std::string large = "INSERT INTO t VALUES ('" + std::string(22'000, 'x') + "')";
  Commit("CREATE TEMP TABLE a(b int)", {"CREATE TABLE"});
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  Commit("DROP TABLE a; " + large, {"DROP TABLE", "INSERT 0 1"});
  Commit("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(UntilCounts("3 2 0 1 0 cause=\"over_budget\"=1"));
  EXPECT_EQ(mirror_.logins, 2) << "of a lane that had nothing to do";
  mirror_.silent = true;
  Commit("CREATE TEMP TABLE c(b int)", {"CREATE TABLE"});
  Commit("DISCARD TEMP; " + large, {"DISCARD TEMP", "INSERT 0 1"});
  mirror_.silent = false;
  Commit("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(UntilCounts("6 4 0 2 0 cause=\"over_budget\"=2"));
  EXPECT_EQ(mirror_.logins, 3) << "behind what waited";
}

// Its text is above what may be kept, so nobody knows where what follows belongs.
TEST_F(LaneTest, WhatFollowsASettingThatIsNotKnownIsStateLost) {
  config_.limits.mirror_transaction_max = 4000;
  Start();
  Commit("SET search_path = a; SELECT '" + std::string(8000, 'x') + "'", {"SET", "SELECT 1"});
  Commit("INSERT INTO t VALUES (1)");
  Commit("INSERT INTO t VALUES (2)");
  ASSERT_TRUE(UntilCounts("3 0 0 3 0 cause=\"too_large\"=1 cause=\"state_lost\"=2"));
  Commit("ROLLBACK PREPARED 'a'", {"ROLLBACK PREPARED"});  // depends on no setting
  ASSERT_TRUE(UntilCounts("4 1 0 3 0 cause=\"too_large\"=1 cause=\"state_lost\"=2"));
  Commit("DISCARD ALL", {"DISCARD ALL"});
  Commit("INSERT INTO t VALUES (3)");
  EXPECT_TRUE(UntilCounts("6 3 0 3 0 cause=\"too_large\"=1 cause=\"state_lost\"=2"));
}

TEST_F(LaneTest, BlockBeginsAsItDidOnThePrimary) {
  Start();
  Ask("BEGIN /* */ ISOLATION LEVEL SERIALIZABLE", "BEGIN", 0);
  Ask("INSERT INTO t VALUES (1)", "INSERT 0 1", 0);
  Ask("COMMIT AND CHAIN", "COMMIT", 0);
  Ask("SET TRANSACTION READ WRITE", "SET", 0);
  Ask("INSERT INTO t VALUES (2)", "INSERT 0 1", 0);
  Ask("COMMIT AND CHAIN", "COMMIT", 0);
  Ask("INSERT INTO t VALUES (3)", "INSERT 0 1", 0);
  Ask("COMMIT", "COMMIT", 0, 'I');
  Ask("BEGIN", "BEGIN", 0);
  Ask("INSERT INTO t VALUES (4)", "INSERT 0 1", 0);
  Ask("INSERT INTO t VALUES (5)", "INSERT 0 1", 0);
  Ask("COMMIT", "COMMIT", 0, 'I');
  ASSERT_TRUE(UntilCounts("4 4 0 0 0"));
  std::vector<std::string> begins;
  for (const std::string& text : mirror_.heard) {
    if (text.starts_with("BEGIN")) {
      begins.push_back(text);
    }
  }
  EXPECT_THAT(begins, ElementsAre("BEGIN ISOLATION LEVEL SERIALIZABLE",
                                  "BEGIN ISOLATION LEVEL SERIALIZABLE",
                                  "BEGIN ISOLATION LEVEL SERIALIZABLE; SET TRANSACTION READ WRITE",
                                  "BEGIN"));
}

TEST_F(LaneTest, ConnectionsAreBoundedAndEveryoneIsServed) {
  config_.limits.mirror_connections_max = 2;
  Start();
  for (size_t session = 0; session < 8; ++session) {
    Commit("SET search_path = a", {"SET"}, session);
    Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, session);
  }
  EXPECT_TRUE(UntilCounts("16 16 0 0 0"));
}

// The second unit waits for the only connection, and the third, whose lane has it, for the second.
TEST_F(LaneTest, ConnectionIsNotKeptFromWhoeverIsWaitedFor) {
  config_.limits.mirror_connections_max = 1;
  for (const bool state : {false, true}) {
    sessions_.clear();
    Start();
    if (state) {
      Commit("SET search_path = a", {"SET"}, 0);
    }
    Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, 0);
    Commit("INSERT INTO t VALUES (2)", {"INSERT 0 1"}, 1);
    Commit("INSERT INTO t VALUES (3)", {"INSERT 0 1"}, 0);
    ASSERT_TRUE(UntilCounts(state ? "4 4 0 0 0" : "3 3 0 0 0"));
    EXPECT_EQ(mirror_.heard.back(), "INSERT INTO t VALUES (3)");
    Drain(absl::ZeroDuration());
  }
}

TEST_F(LaneTest, TemporaryObjectIsLostRatherThanAllHeldUp) {
  config_.limits.mirror_connections_max = 1;
  Start();
  Commit("CREATE TEMP TABLE mine(a int)", {"CREATE TABLE"}, 0);
  Commit("INSERT INTO t VALUES (2)", {"INSERT 0 1"}, 1);
  Commit("INSERT INTO t VALUES (3)", {"INSERT 0 1"}, 0);
  EXPECT_TRUE(UntilCounts("3 3 0 0 0"));
}

TEST_F(LaneTest, UnitStartsWhenWhatItsSessionCouldHaveSeenIsSettled) {
  mirror_.silent = true;
  Start();
  Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, 0);
  Commit("UPDATE t SET a = 2", {"UPDATE 1"}, 1);
  for (int i = 0; i < 20; ++i) {
    loop_->RunOnce(engine_.Now() + absl::Milliseconds(1));
    mirror_.Turn();
  }
  EXPECT_EQ(mirror_.logins, 1);
  mirror_.silent = false;
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_THAT(mirror_.heard, ElementsAre("INSERT INTO t VALUES (1)", "UPDATE t SET a = 2"));
}

TEST_F(LaneTest, BreakerLeavesTheDialsToOneLane) {
  mirror_.Leave();
  Start();
  for (size_t session = 0; session < 8; ++session) {
    Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, session);
  }
  ASSERT_TRUE(Until([&] { return mirrors_->metrics(0).breakers.value() == 1; }));
  mirror_.Open();
  ASSERT_TRUE(UntilCounts("8 8 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).breakers.value(), 0);
}

TEST_F(LaneTest, K1StoppedMirrorFillsTheBudgetThenDrops) {
  config_.limits.mirror_bytes_max = 64 * 1024;
  config_.limits.mirror_transaction_max = 64 * 1024;
  mirror_.silent = true;
  Start();
  const std::string text = "INSERT INTO t VALUES ('" + std::string(1000, 'x') + "')";
  for (int i = 0; i < 200; ++i) {
    Commit(text);
  }
  const std::string counts = Counts();
  EXPECT_NE(counts.find("over_budget"), std::string::npos) << counts;
  mirror_.silent = false;
  EXPECT_TRUE(Until([&] { return Counts().find(" 0 cause") != std::string::npos; })) << Counts();
}

TEST_F(LaneTest, MirrorThatDoesNotAnswerInTimeIsLeft) {
  config_.limits.mirror_timeout = absl::Milliseconds(20);
  Start();
  Commit("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  mirror_.silent = true;
  Commit("INSERT INTO t VALUES (2)");
  EXPECT_TRUE(UntilCounts("2 1 0 1 0 cause=\"timeout\"=1"));
}

TEST_F(LaneTest, MissingTemporaryTableOfALostConnectionIsStateLost) {
  mirror_.answer = [](const std::string& text) {
    return std::string(text.find("mine") != std::string::npos && text.starts_with("I") ? "42P01"
                                                                                       : "");
  };
  Start();
  Commit("CREATE TEMP TABLE mine(a int)", {"CREATE TABLE"});
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  mirror_.Hang();
  Commit("INSERT INTO t SELECT a FROM mine");
  EXPECT_TRUE(Until([&] { return Counts().find(" 1 0 cause") != std::string::npos; })) << Counts();
}

TEST_F(LaneTest, LaneOutlivesItsSession) {
  Start();
  Commit("INSERT INTO t VALUES (1)");
  sessions_.clear();
  EXPECT_TRUE(UntilCounts("1 1 0 0 0"));
}

TEST_F(LaneTest, DrainDeliversWhatIsQueued) {
  Start();
  Commit("INSERT INTO t VALUES (1)");
  Drain(absl::Seconds(30));
  EXPECT_EQ(last_, "1 1 0 0 0");
}

TEST_F(LaneTest, DrainCountsWhatItsDeadlineLeaves) {
  mirror_.silent = true;
  Start();
  Commit("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(Until([&] { return mirror_.logins == 1; }));
  mirror_.silent = false;
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  mirror_.silent = true;
  Commit("INSERT INTO t VALUES (2)");
  Commit("INSERT INTO t VALUES (3)");
  Drain(absl::Milliseconds(20));
  EXPECT_EQ(last_, "3 1 0 2 0 cause=\"shutdown\"=2");
}

TEST_F(LaneTest, DrainDoesNotWaitForAMirrorThatIsGone) {
  Start();
  Commit("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  mirror_.Leave();
  Commit("INSERT INTO t VALUES (2)", {"INSERT 0 1"}, 0);
  Commit("INSERT INTO t VALUES (3)", {"INSERT 0 1"}, 1);
  Drain(absl::Hours(1));
  EXPECT_THAT(last_, testing::AnyOf("3 1 0 2 0 cause=\"shutdown\"=2",
                                    "3 1 0 2 0 cause=\"outcome_unknown\"=1 cause=\"shutdown\"=1"));
}

// Its lane dials, in vain so far, and would for five seconds: longer than Until waits.
TEST_F(LaneTest, DrainEndsTheDialsOfAMirrorThatHasBeenFailing) {
  mirror_.Leave();
  Start();
  Commit("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(Until([&] { return !mirrors_->reachable(0); }));
  mirror_.silent = true;
  mirror_.Open();
  ASSERT_TRUE(Until([&] { return mirror_.logins == 1; }));
  Drain(absl::Hours(1));
  EXPECT_EQ(last_, "1 0 0 1 0 cause=\"shutdown\"=1");
}

TEST_F(LaneTest, MirrorOfOneDatabaseGetsItsSessionsOnly) {
  config_.mirrors[0].dbname = "mine";
  Start();
  SessionFacts facts;
  facts.database = "other";
  EXPECT_EQ(mirrors_->Open(facts), nullptr);
  facts.database = "mine";
  EXPECT_NE(mirrors_->Open(facts), nullptr);
  config_.primary.dbname = "other";
  mirrors_->Follow(support::PublishOne(&epochs_, config_, &resolver_));
  facts.database = "other";
  EXPECT_NE(mirrors_->Open(facts), nullptr);
}

}  // namespace
}  // namespace mirror
