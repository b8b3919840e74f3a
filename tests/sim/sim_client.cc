#include "sim/sim_client.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "pg/builders.h"
#include "pg/views.h"
#include "support/pg_messages.h"

namespace sim {
namespace {

// What pgbraid may tell a client whose connection or server was lost.
bool IsLoss(const pg::ErrorView& error) {
  return error.sqlstate == "08006" || error.sqlstate == "08007" || error.sqlstate == "57P01";
}

}  // namespace

io::Task<void> SimClient::Live(int conversations) {
  for (int i = 0; i < conversations && fault_.empty(); ++i) {
    io::Event pause(loop_);
    const absl::Duration rest = absl::Microseconds(static_cast<int64_t>(prng_->Below(50'000)));
    co_await pause.Wait(loop_->In(rest));
    turns_.clear();
    key_.clear();
    gone_ = in_block_ = prepared_ = false;
    status_ = 'I';
    co_await Converse();
  }
}

io::Task<bool> SimClient::LogIn(Wire* wire) {
  std::string out;
  if (prng_->OneIn(3)) {
    (prng_->OneIn(2) ? pg::AppendSslRequest : pg::AppendGssEncRequest)(&out);
    wire->stream.WriteCopy(out);
    while (wire->bytes.empty()) {
      const bool more = co_await wire->More(loop_->In(absl::Seconds(200)));
      if (!more) {
        co_return false;
      }
    }
    if (wire->bytes != "N") {
      fault_ = "answer to SSLRequest: " + wire->bytes;
      co_return false;
    }
    wire->bytes.clear();
    out.clear();
  }
  const std::vector<pg::Setting> settings = {{"user", user_}, {"database", "d"}};
  static_cast<void>(pg::AppendStartupMessage(&out, 196608, settings));
  wire->stream.WriteCopy(out);
  turns_.emplace_back();
  const bool in = co_await Await(wire, 0);
  co_return in;
}

io::Task<void> SimClient::Converse() {
  Wire wire(loop_);
  absl::Status dialled =
      co_await wire.stream.Dial(proxy_, io::Traffic::kServer, loop_->In(absl::Seconds(30)));
  bool good = dialled.ok();
  if (good) {
    good = co_await LogIn(&wire);
  }
  if (good && prng_->OneIn(2)) {
    std::string out;
    AskPrepared(&out);
    wire.stream.WriteCopy(out);
  }
  const uint64_t rounds = prng_->Below(12);
  for (uint64_t i = 0; good && i < rounds; ++i) {
    std::string out;
    const uint64_t pipeline = prng_->OneIn(4) ? 1 + prng_->Below(12) : 1;
    for (uint64_t j = 0; j < pipeline; ++j) {
      Ask(&out);
    }
    wire.stream.WriteCopy(out);
    if (prng_->OneIn(6) && !key_.empty()) {
      wire.stream.PauseReceive();  // what comes is not the other clients' pool's
      co_await Cancel();
      wire.stream.ResumeReceive();
      for (Turn& turn : turns_) {
        turn.asked = base::Instant();  // meanwhile nobody listened
      }
    }
    if (prng_->OneIn(12)) {
      break;  // in the middle of it
    }
    const size_t left = prng_->OneIn(5) ? prng_->Below(pipeline) : 0;
    good = co_await Await(&wire, left);
  }
  const uint64_t goodbye = prng_->Below(3);
  if (good && goodbye == 0) {
    std::string out;
    pg::AppendTerminate(&out);
    wire.stream.WriteCopy(out);
  } else if (good && goodbye == 1) {
    wire.stream.FinishSend();  // and still hear what was asked for
    good = co_await Await(&wire, 0);
  }
  lost_ += turns_.empty() ? 0 : 1;
  const base::Deadline until = goodbye == 2 ? loop_->now() : loop_->In(absl::Seconds(30));
  co_await wire.stream.Close(until);
}

// Until at most `turns_left` turns are unanswered.
io::Task<bool> SimClient::Await(Wire* wire, size_t turns_left) {
  Frame frame;
  while (turns_.size() > turns_left && fault_.empty() && !gone_) {
    // Without a deadline: stalls can make an answer take hours, and where none can come any more
    // the network finds that nothing can happen.
    const bool came = co_await wire->NextFrame(&frame, base::Deadline::Never());
    if (!came) {
      co_return false;
    }
    Check(frame);
  }
  co_return fault_.empty() && !gone_;
}

io::Task<void> SimClient::Cancel() {
  Wire wire(loop_);
  absl::Status dialled =
      co_await wire.stream.Dial(proxy_, io::Traffic::kServer, loop_->In(absl::Seconds(30)));
  if (dialled.ok()) {
    std::string secret = key_.substr(4);
    if (prng_->OneIn(2)) {
      secret[0] = static_cast<char>(secret[0] ^ 1);  // a guess must reach nobody
    }
    std::string out;
    static_cast<void>(pg::AppendCancelRequest(&out, base::LoadBe32(key_.data()), secret));
    wire.stream.WriteCopy(out);
    const bool more = co_await wire.More(loop_->In(absl::Seconds(100)));
    if (more) {
      fault_ = "a cancel was answered: " + wire.bytes;
    }
  }
  co_await wire.stream.Close(loop_->now());
}

Verb SimClient::Choose() {
  constexpr Verb kOutside[] = {Verb::kSelect, Verb::kSelect, Verb::kSelect,   Verb::kCopyOut,
                               Verb::kInsert, Verb::kInsert, Verb::kInsert,   Verb::kDelete,
                               Verb::kBegin,  Verb::kBegin,  Verb::kSavepoint, Verb::kRollback};
  constexpr Verb kInside[] = {Verb::kSelect, Verb::kInsert,    Verb::kInsert,     Verb::kInsert,
                              Verb::kInsert, Verb::kSavepoint, Verb::kRollbackTo, Verb::kRelease,
                              Verb::kDelete, Verb::kRollback,  Verb::kCommit,     Verb::kCommit};
  const uint64_t place = prng_->Below(std::size(kInside));
  return in_block_ ? kInside[place] : kOutside[place];
}

SimClient::Statement SimClient::Compose(Verb verb) {
  Statement statement;
  statement.sql.verb = verb;
  statement.sql.nonce = user_ + "." + std::to_string(next_nonce_++);
  statement.fails = verb == Verb::kDelete;
  switch (verb) {
    case Verb::kSelect:
    case Verb::kCopyOut:
      statement.sql.count = prng_->OneIn(30) ? prng_->Below(800) : prng_->Below(8);
      break;
    case Verb::kBegin:
      in_block_ = true;
      break;
    case Verb::kCommit:
    case Verb::kRollback:
      in_block_ = false;
      [[fallthrough]];
    case Verb::kInsert:
    case Verb::kCopyIn:
      statement.may_fail = refusals_;
      break;
    default:  // savepoints, perhaps where there is none
      statement.may_fail = true;
  }
  timeline_->Sent(statement.sql.nonce);
  return statement;
}

void SimClient::Ask(std::string* out) {
  Turn turn;
  turn.asked = loop_->now();
  if (prng_->OneIn(8)) {
    AskCopy(out, &turn);
  } else if (prng_->OneIn(2)) {
    AskSimple(out, &turn);
  } else {
    AskExtended(out, &turn);
  }
  turns_.push_back(std::move(turn));
}

// Often a single statement, else several: a transaction, in part or whole.
void SimClient::AskSimple(std::string* out, Turn* turn) {
  const uint64_t count = prng_->OneIn(3) ? 1 + prng_->Below(5) : 1;
  std::string text;
  for (uint64_t i = 0; i < count; ++i) {
    const Statement statement = Compose(Choose());
    text += (i == 0 ? "" : "; ") + Text(statement.sql);
    turn->statements.push_back(statement);
  }
  static_cast<void>(pg::AppendQuery(out, text));
}

void SimClient::AskCopy(std::string* out, Turn* turn) {
  Statement statement = Compose(Verb::kCopyIn);
  statement.fails = prng_->OneIn(3);
  static_cast<void>(pg::AppendQuery(out, Text(statement.sql)));
  const uint64_t lines = prng_->Below(40);
  for (uint64_t i = 0; i < lines; ++i) {
    static_cast<void>(pg::AppendCopyData(out, std::string(prng_->Below(2000), 'i')));
  }
  if (statement.fails) {
    static_cast<void>(pg::AppendCopyFail(out, "no"));
  } else {
    pg::AppendCopyDone(out);
  }
  turn->statements.push_back(std::move(statement));
}

// A turn without statements, before any other.
void SimClient::AskPrepared(std::string* out) {
  Sql sql{.verb = Verb::kInsert, .count = 0, .nonce = std::string(kFromParameter)};
  static_cast<void>(pg::AppendParse(out, "w", Text(sql), {}));
  pg::AppendSync(out);
  turns_.emplace_back().asked = loop_->now();
  prepared_ = true;
}

// Behind a failure nothing runs, so a BEGIN or COMMIT there changes nothing.
void SimClient::AskExtended(std::string* out, Turn* turn) {
  const uint64_t count = 1 + prng_->Below(4);
  for (uint64_t i = 0; i < count; ++i) {
    const Statement statement = Compose(Choose());
    pg::BindMessage bind;
    bind.statement = "s";
    std::optional<std::string_view> parameter;
    std::string data;
    if (statement.sql.verb == Verb::kInsert) {
      data = statement.sql.nonce + " " + std::string(prng_->Below(200), 'p');
      parameter = data;
      bind.parameters = {&parameter, 1};
      bind.statement = prepared_ && prng_->OneIn(2) ? "w" : prng_->OneIn(2) ? "" : "s";
    }
    if (bind.statement == "s") {
      static_cast<void>(pg::AppendClose(out, 'S', "s"));
    }
    if (bind.statement != "w") {
      static_cast<void>(pg::AppendParse(out, bind.statement, Text(statement.sql), {}));
    }
    static_cast<void>(pg::AppendBind(out, bind));
    if (prng_->OneIn(2)) {
      static_cast<void>(pg::AppendDescribe(out, 'P', ""));
    }
    static_cast<void>(pg::AppendExecute(out, "", 0));
    if (prng_->OneIn(3)) {
      pg::AppendFlush(out);
    }
    turn->statements.push_back(statement);
  }
  pg::AppendSync(out);
}

void SimClient::Wrong(const std::string& what, const Frame& frame) {
  if (fault_.empty()) {
    fault_ = user_ + ": " + what + ": '" + frame.type + "' " + frame.body.substr(0, 200);
    std::replace(fault_.begin(), fault_.end(), '\0', ' ');
  }
}

void SimClient::Check(const Frame& frame) {
  size_t at = 0;
  if (frame.type == 'N') {
    if (pg::ReadError(frame.body).message != user_) {
      Wrong("a notice for another", frame);
    }
  } else if (frame.type == 'S') {
    const std::string name = TakeText(frame.body, &at);
    if (name == "application_name" && TakeText(frame.body, &at) != user_) {
      Wrong("a parameter of another", frame);
    }
  } else if (frame.type == 'A') {
    if (frame.body != support::Be32(1) + support::CString("c") + support::CString(user_)) {
      Wrong("a notification for another", frame);
    }
  } else if (frame.type == 'K') {
    key_ = frame.body;
  } else if (turns_.empty()) {
    Wrong("an answer that nobody asked for", frame);
  } else if (frame.type == 'Z') {
    const Turn& turn = turns_.front();
    if (!turn.failed && turn.at != turn.statements.size()) {
      Wrong("ReadyForQuery before the end of the turn", frame);
    }
    for (const Statement& statement : turn.statements) {
      timeline_->Over(statement.sql.nonce);
    }
    if (turn.asked != base::Instant()) {
      slowest_ = std::max(slowest_, loop_->now() - turn.asked);
    }
    status_ = frame.body[0];
    turns_.pop_front();
    ++answered_;
  } else if (frame.type == 'E') {
    CheckError(frame);
  } else if (frame.type == 'D' || frame.type == 'd' || frame.type == 'C') {
    CheckStatement(frame);
  }
}

void SimClient::CheckError(const Frame& frame) {
  const auto error = pg::ReadError(frame.body);
  if (IsLoss(error)) {
    gone_ = true;
    return;
  }
  Turn& turn = turns_.front();
  const bool at_sync = turn.at == turn.statements.size();  // a deferred constraint
  bool belongs = !turn.failed;
  if (at_sync) {
    belongs = belongs && refusals_ && error.message == user_;
  } else {
    const Statement& statement = turn.statements[turn.at];
    belongs = belongs && error.message == statement.sql.nonce &&
              (statement.fails || statement.may_fail || status_ == 'E');
  }
  if (!belongs) {
    Wrong("an error that does not belong here", frame);
  }
  turn.failed = true;
}

void SimClient::CheckDone(Turn* turn, const Statement& statement, const Frame& frame) {
  Sql done = statement.sql;
  const bool ends = done.verb == Verb::kCommit || done.verb == Verb::kRollback ||
                    done.verb == Verb::kRollbackTo;
  const bool aborted = status_ == 'E';
  if (aborted && done.verb == Verb::kCommit) {
    done.verb = Verb::kRollback;
  }
  size_t at = 0;
  const bool good = !statement.fails && (ends || !aborted) && turn->rows == done.count &&
                    TakeText(frame.body, &at) == Tag(done);
  if (!good) {
    Wrong("expected tag " + Tag(done), frame);
  }
  if (ends && aborted) {
    status_ = done.verb == Verb::kRollbackTo ? 'T' : 'I';
  }
  ++turn->at;
  turn->rows = 0;
}

void SimClient::CheckStatement(const Frame& frame) {
  Turn& turn = turns_.front();
  if (turn.failed || turn.at >= turn.statements.size()) {
    Wrong("an answer after the end", frame);
    return;
  }
  const Statement& statement = turn.statements[turn.at];
  if (frame.type == 'C') {
    CheckDone(&turn, statement, frame);
    return;
  }
  ++turn.rows;
  const std::string nonce = frame.type == 'd'
                                ? frame.body.substr(0, frame.body.size() - 1)
                                : frame.body.substr(6, base::LoadBe32(frame.body.data() + 2));
  if (nonce != statement.sql.nonce) {
    Wrong("expected nonce " + statement.sql.nonce, frame);
  }
}

}  // namespace sim
