// What a mirror adds to a client's turns before anything is sent: a TPC-B transaction of seven
// turns through mirror::Recorder, by the simple protocol and by prepared statements, up to the unit
// that it offers. With more sessions than the caches hold, each comes to its memory cold.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "mirror/recorder.h"
#include "support/pg_messages.h"
#include "turn/machine.h"
#include "unit/mirror/recording_shard.h"

namespace mirror {
namespace {

struct Turn {
  std::string text;
  std::string tag;
  char status;
};

const std::vector<Turn>& TpcB() {
  static const std::vector<Turn> turns = {
      {"BEGIN", "BEGIN", 'T'},
      {"UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2", "UPDATE 1", 'T'},
      {"SELECT abalance FROM pgbench_accounts WHERE aid = $1", "SELECT 1", 'T'},
      {"UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2", "UPDATE 1", 'T'},
      {"UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2", "UPDATE 1", 'T'},
      {"INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, now())",
       "INSERT 0 1", 'T'},
      {"END", "COMMIT", 'I'},
  };
  return turns;
}

// A whole frame and the bytes it is in.
struct Frame {
  explicit Frame(std::string of) : bytes(std::move(of)) {
    piece.type = bytes[0];
    piece.first = piece.last = true;
    piece.bytes = bytes;
    piece.body = piece.bytes.substr(pg::kHeaderBytes);
    piece.body_length = static_cast<uint32_t>(piece.body.size());
  }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  const std::string bytes;
  pg::Piece piece;
};
using Frames = std::vector<std::unique_ptr<Frame>>;

void Add(Frames* frames, std::string bytes) {
  frames->push_back(std::make_unique<Frame>(std::move(bytes)));
}

std::string Name(size_t number) { return "P0_" + std::to_string(number); }

// What pgbench -M simple or prepared sends for it.
Frames Requests(bool prepared) {
  Frames frames;
  for (size_t i = 0; i < TpcB().size(); ++i) {
    if (!prepared) {
      Add(&frames, support::Frame('Q', support::CString(TpcB()[i].text)));
      continue;
    }
    Add(&frames, support::Frame('B', support::CString("") + support::CString(Name(i)) +
                                         support::Be16(0) + support::Be16(1) +
                                         support::Value("12345") + support::Be16(0)));
    Add(&frames, support::Frame('D', "P" + support::CString("")));
    Add(&frames, support::Frame('E', support::CString("") + support::Be32(0)));
    Add(&frames, support::Frame('S', ""));
  }
  return frames;
}

class Sink final : public Target {
 public:
  void Expect() override {}
  void Reserve(uint64_t) override {}
  void Release(uint64_t) override {}
  void Offer(Unit unit, Cause lost) override {
    CHECK(lost == Cause::kNone && unit.steps.size() == 4);
    ++units;
  }
  void End() override {}

  uint64_t units = 0;
};

class Session {
 public:
  Session(RecordingShard* shard, MirrorMetrics* metrics)
      : machine_(1 << 20, 1),
        recorder_(shard->Tools(), {Route{&sink_, shard->filters.FilterOf(0), metrics}}) {
    Reply(Frame(support::Frame('R', support::Be32(0))));
    Reply(Frame(support::Frame('Z', "I")));
  }

  void Prepare() {
    for (size_t i = 0; i < TpcB().size(); ++i) {
      Send(Frame(support::Frame('P', support::CString(Name(i)) + support::CString(TpcB()[i].text) +
                                         support::Be16(0))));
      Send(Frame(support::Frame('S', "")));
      Reply(Frame(support::Frame('1', "")));
      Reply(Frame(support::Frame('Z', "I")));
    }
  }

  void Send(const Frame& frame) {
    CHECK(machine_.OnRequest(frame.piece, 1) == turn::RequestResult::kOk);
    recorder_.OnRequest(machine_.last_request(), frame.piece);
  }

  void Reply(const Frame& frame, std::string_view tag = "") {
    const turn::Reply reply = machine_.OnReply(frame.piece);
    if (reply.kind == turn::ReplyKind::kPassing) {
      return;
    }
    note_.kind = reply.kind;
    note_.request = reply.request;
    note_.status = machine_.status();
    note_.text = tag;
    recorder_.OnNote(note_);
  }

  uint64_t units() const { return sink_.units; }

 private:
  Sink sink_;
  turn::Machine machine_;
  Recorder recorder_;
  backend::Note note_;  // kept for its memory
};

void Transaction(Session* session, const Frames& requests, const Frames& replies) {
  const size_t sent = requests.size() / TpcB().size();
  const size_t answered = replies.size() / TpcB().size();
  for (size_t i = 0; i < TpcB().size(); ++i) {
    for (size_t j = 0; j < sent; ++j) {
      session->Send(*requests[i * sent + j]);
    }
    for (size_t j = 0; j < answered; ++j) {
      session->Reply(*replies[i * answered + j], TpcB()[i].tag);
    }
  }
}

void Record(benchmark::State& state, bool prepared) {
  RecordingShard shard({}, 1 << 30, RecordingShard::WithOneMirror());
  MirrorMetrics metrics;
  const Frames requests = Requests(prepared);
  Frames replies;
  for (const Turn& turn : TpcB()) {
    if (prepared) {
      Add(&replies, support::Frame('2', ""));
      Add(&replies, support::Frame('n', ""));
    }
    Add(&replies, support::CommandComplete(turn.tag));
    Add(&replies, support::Frame('Z', std::string(1, turn.status)));
  }
  std::vector<std::unique_ptr<Session>> sessions;
  for (int64_t i = 0; i < state.range(0); ++i) {
    sessions.push_back(std::make_unique<Session>(&shard, &metrics));
    sessions.back()->Prepare();
  }
  uint64_t transactions = 0;
  for (auto _ : state) {
    Transaction(sessions[transactions++ % sessions.size()].get(), requests, replies);
  }
  uint64_t units = 0;
  for (const std::unique_ptr<Session>& session : sessions) {
    units += session->units();
  }
  if (units != transactions) {
    state.SkipWithError("not every transaction was offered");
  }
}

BENCHMARK_CAPTURE(Record, simple, false)->Arg(1)->Arg(2000);
BENCHMARK_CAPTURE(Record, prepared, true)->Arg(1)->Arg(2000);

}  // namespace
}  // namespace mirror

BENCHMARK_MAIN();
