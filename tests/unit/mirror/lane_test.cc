// What lanes do with units: order, transactions, refusals, losses and the counts of each, against
// a scripted mirror on a loopback socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/bytes.h"
#include "io/epoll_engine.h"
#include "mirror/mirrors.h"
#include "support/epoch.h"
#include "support/pg_messages.h"

namespace mirror {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int kRoundsAtMost = 4000;  // of at most 5 ms: a hung test fails, it does not hang

// A mirror that answers each Query with success, unless it is told otherwise.
class FakeMirror {
 public:
  FakeMirror() {
    Open();
    sockaddr_in bound{};
    socklen_t length = sizeof bound;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &length);
    port = ntohs(bound.sin_port);
  }
  void Open() {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int yes = 1;
    EXPECT_EQ(setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), 0);
    const io::Address any = *io::Address::Numeric("127.0.0.1", port);
    EXPECT_EQ(bind(listener_, any.get(), any.length()), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
  }
  // From now on dials are refused.
  void Leave() {
    Hang();
    close(listener_);
    listener_ = -1;
  }
  ~FakeMirror() {
    Hang();
    if (listener_ >= 0) {
      close(listener_);
    }
  }
  void Turn() {
    for (int accepted; (accepted = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
      ++logins;
      peers_.push_back(Peer{.descriptor = accepted});
    }
    for (Peer& peer : peers_) {
      char buffer[4096];
      for (ssize_t got; (got = recv(peer.descriptor, buffer, sizeof buffer, 0)) > 0;) {
        peer.bytes.append(buffer, static_cast<size_t>(got));
      }
      while (!silent && Take(&peer)) {
      }
    }
    std::erase_if(peers_,
                  [](const Peer& peer) { return peer.gone && close(peer.descriptor) == 0; });
  }
  // Closes every connection.
  void Hang() {
    for (const Peer& peer : peers_) {
      close(peer.descriptor);
    }
    peers_.clear();
  }

  uint16_t port = 0;
  int logins = 0;
  bool silent = false;                 // reads and does not answer
  std::string hold;                    // a Query that it does not take until this is another
  std::function<std::string(const std::string&)> tag;  // of a statement, or ""
  std::vector<std::string> heard;      // texts of Queries
  std::function<std::string(const std::string&)> answer;  // an SQLSTATE, or ""

 private:
  struct Peer {
    int descriptor = -1;
    std::string bytes = "";
    bool in = false;
    bool failed = false;
    bool block = false;
    bool gone = false;
  };
  bool Take(Peer* peer) {
    const size_t header = peer->in ? 1 : 0;
    if (peer->bytes.size() < header + 4) {
      return false;
    }
    const size_t length = base::LoadBe32(peer->bytes.data() + header) + header;
    if (peer->bytes.size() < length) {
      return false;
    }
    const std::string frame = peer->bytes.substr(0, length);
    if (!hold.empty() && frame.find(hold) != std::string::npos) {
      return false;
    }
    peer->bytes.erase(0, length);
    std::string out;
    if (!peer->in) {
      peer->in = true;
      out = support::Frame('R', support::Be32(0)) + support::Frame('Z', "I");
    } else if (frame[0] == 'X') {
      peer->gone = true;
    } else if (frame[0] == 'Q') {
      out = OnQuery(peer, frame.substr(5, length - 6));
    }
    EXPECT_EQ(send(peer->descriptor, out.data(), out.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(out.size()));
    return true;
  }
  std::string OnQuery(Peer* peer, const std::string& text) {
    heard.push_back(text);
    std::string sqlstate = answer ? answer(text) : "";
    std::string done = tag ? tag(text) : "";
    done = done.empty() ? "INSERT 0 1" : done;
    if (text == "BEGIN") {
      peer->block = true;
      done = text;
    } else if (text == "COMMIT" || text == "ROLLBACK") {
      done = peer->failed ? "ROLLBACK" : text;
      peer->block = peer->failed = false;
    } else if (peer->failed) {
      sqlstate = "25P02";
    }
    peer->failed = peer->block && (peer->failed || !sqlstate.empty());
    const std::string status = peer->failed ? "E" : peer->block ? "T" : "I";
    if (!sqlstate.empty()) {
      return support::Frame('E', support::CString("SERROR") + support::CString("VERROR") + "C" +
                                     support::CString(sqlstate) + std::string(1, '\0')) +
             support::Frame('Z', status);
    }
    return support::CommandComplete(done) + support::Frame('Z', status);
  }

  int listener_ = -1;
  std::vector<Peer> peers_;
};

class LaneTest : public testing::Test {
 protected:
  LaneTest() {
    config_.limits.mirror_timeout = absl::Seconds(60);
    config_.limits.mirror_retry_delay = absl::Milliseconds(1);
    config_.mirror_marker = false;
    config::Server server;
    server.name = "m";
    server.host = "127.0.0.1";
    server.port = mirror_.port;
    server.user = "shadow";
    server.sslmode = config::SslMode::kDisable;
    config_.mirrors.push_back(server);
  }
  void Start() {
    loop_ = std::make_unique<io::Loop>(&engine_, &config_.limits, 1);
    shared_ = std::make_unique<Shared>(config_);
    MirrorsTools tools;
    tools.loop = loop_.get();
    tools.epoch = support::PublishOne(&epochs_, config_, &resolver_);
    tools.shared = shared_.get();
    mirrors_ = std::make_unique<Mirrors>(tools);
    scope_ = std::make_unique<io::Scope>(loop_.get());
  }
  ~LaneTest() override { Drain(absl::ZeroDuration()); }

  void Drain(absl::Duration within) {
    if (mirrors_ == nullptr) {
      return;
    }
    sessions_.clear();
    scope_->Spawn(mirrors_->Drain(loop_->In(within)));
    EXPECT_TRUE(Until([&] { return scope_->running() == 0; }));
    last_ = Counts();
    mirrors_.reset();
  }
  bool Until(const std::function<bool()>& done) {
    for (int i = 0; i < kRoundsAtMost && !done(); ++i) {
      loop_->RunOnce(engine_.Now() + absl::Milliseconds(1));
      mirror_.Turn();
    }
    return done();
  }
  Recorder& Session(size_t number = 0, const std::string& database = "d") {
    while (sessions_.size() <= number) {
      SessionFacts facts;
      facts.session = sessions_.size() + 1;
      facts.database = database;
      sessions_.push_back(mirrors_->Open(facts));
    }
    return *sessions_[number];
  }
  // A simple Query that the primary has answered with `tags`.
  void Commit(const std::string& text, const std::vector<std::string>& tags = {"INSERT 0 1"},
              size_t session = 0) {
    const std::string frame = support::Frame('Q', support::CString(text));
    pg::Piece piece;
    piece.type = 'Q';
    piece.first = piece.last = true;
    piece.bytes = frame;
    piece.body = piece.bytes.substr(pg::kHeaderBytes);
    piece.body_length = static_cast<uint32_t>(piece.body.size());
    Recorder& recorder = Session(session);
    recorder.OnRequest(++request_, piece);
    std::vector<backend::Note> notes;
    for (const std::string& tag : tags) {
      notes.push_back(backend::Note{turn::ReplyKind::kCompleted, request_, 0, tag});
    }
    notes.push_back(backend::Note{turn::ReplyKind::kReady, request_, 'I', ""});
    for (const backend::Note& note : notes) {
      recorder.OnNote(note);
    }
  }
  // The frames of a session before their answers: see Commit().
  void Forward(const std::string& text, size_t session) {
    const std::string frame = support::Frame('Q', support::CString(text));
    pg::Piece piece;
    piece.type = 'Q';
    piece.first = piece.last = true;
    piece.bytes = frame;
    piece.body = piece.bytes.substr(pg::kHeaderBytes);
    piece.body_length = static_cast<uint32_t>(piece.body.size());
    Session(session).OnRequest(++request_, piece);
  }
  void Answer(turn::RequestId request, const std::string& tag, char status, size_t session) {
    using turn::ReplyKind;
    Session(session).OnNote(backend::Note{ReplyKind::kCompleted, request, 0, tag});
    Session(session).OnNote(backend::Note{ReplyKind::kReady, request, status, ""});
  }
  // A statement and its answer within a transaction.
  void Ask(const std::string& text, const std::string& tag, size_t session, char status = 'T') {
    Forward(text, session);
    Answer(request_, tag, status, session);
  }
  void Turns(int count) {
    for (int i = 0; i < count; ++i) {
      loop_->RunOnce(engine_.Now() + absl::Milliseconds(1));
      mirror_.Turn();
    }
  }

  // "offered delivered refused dropped queued", and the causes of what was dropped.
  std::string Counts() {
    class Sink final : public base::MetricSink {
     public:
      void Add(std::string_view name, std::string_view, std::string_view labels,
               const base::Counter& counter) override {
        const std::string what(name.substr(name.rfind('_') + 1));
        if (what == "dropped" && counter.value() > 0) {
          causes += " " + std::string(labels.substr(labels.find("cause="))) + "=" +
                    std::to_string(counter.value());
        }
        values[what] += counter.value();
      }
      void Add(std::string_view name, std::string_view, std::string_view,
               const base::Gauge& gauge) override {
        values[std::string(name.substr(15))] = static_cast<uint64_t>(gauge.value());
      }
      void Add(std::string_view, std::string_view, std::string_view,
               const base::Histogram&) override {}
      std::map<std::string, uint64_t> values;
      std::string causes;
    };
    Sink sink;
    mirrors_->Describe(&sink, "");
    const uint64_t queued = sink.values["queued_units"];
    EXPECT_EQ(sink.values["offered"], sink.values["delivered"] + sink.values["refused"] +
                                          sink.values["dropped"] + queued);
    EXPECT_EQ(queued == 0, sink.values["queued_bytes"] == 0);
    return std::to_string(sink.values["offered"]) + " " +
           std::to_string(sink.values["delivered"]) + " " +
           std::to_string(sink.values["refused"]) + " " +
           std::to_string(sink.values["dropped"]) + " " + std::to_string(queued) + sink.causes;
  }
  bool UntilCounts(const std::string& counts) {
    const bool reached = Until([&] { return Counts() == counts; });
    EXPECT_EQ(Counts(), counts);
    return reached;
  }

  FakeMirror mirror_;
  config::Config config_;
  io::EpollEngine engine_{64 * 1024};
  std::unique_ptr<io::Loop> loop_;
  io::Resolver resolver_;
  backend::Epochs epochs_;
  std::unique_ptr<Shared> shared_;
  std::unique_ptr<Mirrors> mirrors_;
  std::unique_ptr<io::Scope> scope_;
  std::vector<std::unique_ptr<Recorder>> sessions_;
  turn::RequestId request_ = 0;
  std::string last_;
};

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
                          "INSERT INTO t VALUES (1)", "COMMIT", "DEALLOCATE ALL",
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

TEST_F(LaneTest, SessionsWithoutStateShareAConnectionAfterEachOther) {
  Start();
  for (size_t session = 0; session < 5; ++session) {
    Commit("INSERT INTO t VALUES (1)", {"INSERT 0 1"}, session);
    ASSERT_TRUE(Until([&] { return mirror_.heard.size() == session + 1; }));
    ASSERT_TRUE(UntilCounts(std::to_string(session + 1) + " " + std::to_string(session + 1) +
                            " 0 0 0"));
  }
  EXPECT_EQ(mirror_.logins, 1);
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

// Two transactions that overlap: they run side by side and commit in the order of their COMMITs.
class TwoLanesTest : public LaneTest {
 protected:
  void Overlap() {
    Start();
    Ask("BEGIN", "BEGIN", 0);
    Ask("BEGIN", "BEGIN", 1);
    Ask("INSERT INTO a VALUES (1)", "INSERT 0 1", 0);
    Ask("INSERT INTO b VALUES (1)", "INSERT 0 1", 1);
    Forward("COMMIT", 0);
    Forward("COMMIT", 1);
    Answer(request_, "COMMIT", 'I', 1);  // the later one's answer comes first
  }
  void AnswerTheFirst() { Answer(request_ - 1, "COMMIT", 'I', 0); }
  int64_t Heard(const std::string& text) {
    return std::count(mirror_.heard.begin(), mirror_.heard.end(), text);
  }
};

TEST_F(TwoLanesTest, LaterOneDoesNotCommitBeforeTheEarlierOneHasRun) {
  mirror_.hold = "INSERT INTO a";
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  Turns(5);
  EXPECT_EQ(Heard("COMMIT"), 0);  // the primary has not said yet whether the earlier one commits
  AnswerTheFirst();
  Turns(5);
  EXPECT_EQ(Heard("COMMIT"), 0);
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
}

TEST_F(TwoLanesTest, EarlierOneThatIsRolledBackHoldsUpNobody) {
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("INSERT INTO b VALUES (1)") == 1; }));
  EXPECT_EQ(Heard("COMMIT"), 0);
  Answer(request_ - 1, "ROLLBACK", 'I', 0);
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
}

TEST_F(TwoLanesTest, LaterOneThatMayBeInTheWayRunsAgainBehindTheEarlierOne) {
  mirror_.hold = "INSERT INTO a";
  Overlap();
  AnswerTheFirst();
  ASSERT_TRUE(Until([&] { return Heard("ROLLBACK") == 1; }));
  Turns(50);
  EXPECT_EQ(Heard("INSERT INTO b VALUES (1)"), 1);
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_EQ(Heard("INSERT INTO b VALUES (1)"), 2);
  EXPECT_EQ(mirrors_->metrics(0).reordered.value(), 1u);
  EXPECT_EQ(mirrors_->metrics(0).retries.value(), 0u);
}

TEST_F(TwoLanesTest, OneThatChangedOtherRowsRunsAgainOnceThoseBeforeItAreCommitted) {
  int left = 1;
  mirror_.tag = [&left](const std::string& text) {
    return std::string(text.starts_with("INSERT INTO b") && left-- > 0 ? "INSERT 0 0" : "");
  };
  mirror_.hold = "INSERT INTO a";
  Overlap();
  ASSERT_TRUE(Until([&] { return Heard("ROLLBACK") == 1; }));
  AnswerTheFirst();
  mirror_.hold.clear();
  ASSERT_TRUE(UntilCounts("2 2 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).different.value(), 0u);
}

TEST_F(LaneTest, OtherTagThanThePrimarysIsDeliveredAndCounted) {
  mirror_.tag = [](const std::string&) { return std::string("UPDATE 2"); };
  Start();
  Commit("UPDATE t SET a = 1", {"UPDATE 1"});
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).different.value(), 1u);
}

TEST_F(LaneTest, InsertsTagWithAnObjectIdIsTheSame) {
  mirror_.tag = [](const std::string&) { return std::string("INSERT 16384 1"); };
  Start();
  Commit("INSERT INTO t VALUES (1)");
  ASSERT_TRUE(UntilCounts("1 1 0 0 0"));
  EXPECT_EQ(mirrors_->metrics(0).different.value(), 0u);
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
