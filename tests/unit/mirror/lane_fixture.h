// LaneTest: the lanes of one shard against a scripted mirror on a loopback socket.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "io/epoll_engine.h"
#include "mirror/mirrors.h"
#include "support/epoch.h"
#include "support/pg_messages.h"
#include "unit/mirror/fake_mirror.h"

namespace mirror {

inline constexpr int kRoundsAtMost = 4000;  // of at most 5 ms: a hung test fails, it does not hang

class LaneTest : public testing::Test {
 protected:
  LaneTest() {
    config_.limits.mirror_timeout = absl::Seconds(60);
    config_.limits.mirror_health_interval = absl::ZeroDuration();  // logins are counted
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
    if (!config_.spill_dir.empty()) {
      shared_->SetSpill(*SpillRoot::Open(config_, shared_->ledgers()));
    }
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
    Forward(text, session);
    for (const std::string& tag : tags) {
      Session(session).OnNote(backend::Note{turn::ReplyKind::kCompleted, request_, 0, tag});
    }
    Session(session).OnNote(backend::Note{turn::ReplyKind::kReady, request_, 'I', ""});
  }
  // All of it, which outlives the piece.
  static pg::Piece PieceOf(std::string_view frame) {
    pg::Piece piece;
    piece.type = frame[0];
    piece.first = piece.last = true;
    piece.bytes = frame;
    piece.body = piece.bytes.substr(pg::kHeaderBytes);
    piece.body_length = static_cast<uint32_t>(piece.body.size());
    return piece;
  }
  // The frames of a session before their answers: see Commit().
  void Forward(const std::string& text, size_t session) {
    const std::string frame = support::Frame('Q', support::CString(text));
    Session(session).OnRequest(++request_, PieceOf(frame));
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

}  // namespace mirror
