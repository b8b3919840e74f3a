#include "sim/sim_postgres.h"

#include <optional>

#include "base/crypto.h"
#include "pg/builders.h"
#include "pg/views.h"
#include "sim/sim_transaction.h"
#include "support/pg_messages.h"

namespace sim {
namespace {

constexpr uint32_t kCancelCode = 80877102;

// What a write leaves behind: its nonce and all its data, in short.
std::string Written(const std::string& nonce, const std::string& data) {
  return nonce + ":" + std::to_string(data.size()) + ":" +
         std::to_string(std::hash<std::string>()(data));
}

}  // namespace

struct SimPostgres::Conversation {
  explicit Conversation(io::Loop* loop) : wire(loop) {}
  Wire wire;
  std::string user;
  uint32_t pid = 0;
  SimTransaction transaction;
  std::map<std::string, std::string> statements;
  std::string portal;          // the text bound last
  std::vector<std::string> parameters;  // and its values
  std::vector<Sql> queue;      // of a Query: what is still to be executed, the last one first
  std::optional<Sql> copying;  // a COPY IN that runs
  std::string copied;          // its data
  std::string last;            // nonce executed last
  std::optional<Sql> marking;  // in the open transaction
  std::optional<size_t> commit;  // the last one, if nothing was heard since
  bool simple = false;
  bool failed = false;         // the Query has
  bool skipping = false;       // after an error, until Sync
  bool dead = false;

  std::string parameter() const { return parameters.empty() ? "" : parameters.front(); }
};

void SimPostgres::OnAccepted(int descriptor) { serving_.Spawn(Serve(descriptor)); }

io::Task<void> SimPostgres::Serve(int descriptor) {
  Conversation with(loop_);
  with.wire.stream.Adopt(descriptor, io::Traffic::kClient);
  const bool in = co_await LogIn(&with);
  Frame frame;
  bool go_on = in;
  while (go_on && !with.dead) {
    const bool more = co_await with.wire.NextFrame(&frame, base::Deadline::Never());
    if (more && faults_.stall != 0 && prng_->OneIn(faults_.stall)) {
      with.wire.stream.PauseReceive();
      co_await Stall();
      with.wire.stream.ResumeReceive();
    }
    go_on = more && Handle(&with, frame);
  }
  // Dying, it takes back what it had not sent yet.
  conversations_.erase(with.pid);
  const base::Deadline until = with.dead ? loop_->now() : loop_->In(absl::Seconds(60));
  co_await with.wire.stream.Close(until);
}

io::Task<void> SimPostgres::Stall() {
  io::Event pause(loop_);
  const auto milliseconds = static_cast<int64_t>(prng_->Below(60'000));
  co_await pause.Wait(loop_->In(absl::Seconds(5) + absl::Milliseconds(milliseconds)));
}

io::Task<bool> SimPostgres::LogIn(Conversation* with) {
  std::string packet;
  const bool came = co_await with->wire.NextPacket(&packet, base::Deadline::Never());
  if (!came || packet.size() < 4) {
    co_return false;
  }
  if (base::LoadBe32(packet.data()) == kCancelCode) {
    ++cancels_;
    if (!keys_.contains(packet.substr(4))) {
      ++wrong_cancels_;
    }
    co_return false;
  }
  bool heard = faults_.deaf;
  while (heard) {
    heard = co_await with->wire.More(base::Deadline::Never());
  }
  if (faults_.deaf || TurnsAway(with)) {
    co_return false;
  }
  size_t at = 4;
  while (at < packet.size()) {
    const std::string name = TakeText(packet, &at);
    const std::string value = TakeText(packet, &at);
    if (name == "user") {
      with->user = value;
    }
  }
  const std::string secret = base::SecureRandom(4);
  with->pid = next_pid_++;
  conversations_[with->pid] = with;
  keys_[support::Be32(with->pid) + secret] = with->user;
  std::string hello;
  pg::AppendAuthenticationOk(&hello);
  static_cast<void>(pg::AppendParameterStatus(&hello, "server_version", "15.0"));
  static_cast<void>(pg::AppendBackendKeyData(&hello, with->pid, secret));
  pg::AppendReadyForQuery(&hello, 'I');
  Say(with, hello);
  co_return true;
}

bool SimPostgres::TurnsAway(Conversation* with) {
  if (faults_.turn_away == 0 || !prng_->OneIn(faults_.turn_away)) {
    return false;
  }
  const bool missing = prng_->OneIn(4);  // which pgbraid takes for a verdict
  std::string error;
  const pg::ErrorText text{.severity = "FATAL",
                           .sqlstate = missing ? "3D000" : "57P03",
                           .message = missing ? "no such database" : "starting up"};
  pg::AppendErrorResponse(&error, text);
  with->wire.stream.WriteCopy(error);
  return true;
}

// One message, with whatever a server may say before it of its own accord.
void SimPostgres::Say(Conversation* with, std::string_view message) {
  if (with->dead) {
    return;
  }
  if (faults_.death != 0 && prng_->OneIn(faults_.death)) {
      ++deaths_;
    with->dead = true;
    return;
  }
  std::string out;
  if (prng_->OneIn(20)) {
    const pg::ErrorText notice{.severity = "NOTICE", .sqlstate = "00000", .message = with->user};
    pg::AppendNoticeResponse(&out, notice);
  }
  if (prng_->OneIn(40)) {
    static_cast<void>(pg::AppendParameterStatus(&out, "application_name", with->user));
  }
  if (prng_->OneIn(40)) {
    out += support::Frame('A', support::Be32(1) + support::CString("c") +
                                   support::CString(with->user));
  }
  out += message;
  with->wire.stream.WriteCopy(out);
}

void SimPostgres::SayReady(Conversation* with) {
  std::string ready;
  pg::AppendReadyForQuery(&ready, with->transaction.status());
  Say(with, ready);
}

void SimPostgres::Fail(Conversation* with, std::string_view sqlstate, std::string_view message) {
  with->transaction.Fail();
  with->marking.reset();
  with->queue.clear();
  with->failed = true;
  with->skipping = !with->simple;
  std::string error;
  const pg::ErrorText said{.severity = "ERROR", .sqlstate = sqlstate, .message = message};
  pg::AppendErrorResponse(&error, said);
  Say(with, error);
}

// -- statements -----------------------------------------------------------------------------------

void SimPostgres::EndTransaction(Conversation* with) {
  std::vector<std::string> writes = with->transaction.Commit();
  if (with->marking.has_value() && !with->dead) {
    markers_[with->marking->numbers[0]].number = with->marking->numbers[1];
  }
  with->marking.reset();
  if (!writes.empty() && !with->dead) {
    with->commit = commits_.size();
    commits_.push_back(Commit{with->pid, std::move(writes), with->last, false});
  }
}

// As the server does it, the last statement of a Query is committed before it is said to be done.
void SimPostgres::Succeed(Conversation* with, const Sql& sql) {
  if (with->simple && with->queue.empty() && with->transaction.status() == 'I') {
    EndTransaction(with);
  }
  Say(with, support::CommandComplete(Tag(sql)));
}

bool SimPostgres::Refuses(Conversation* with, const Sql& sql) {
  if (faults_.refusal == 0 || !prng_->OneIn(faults_.refusal)) {
    return false;
  }
  Fail(with, prng_->OneIn(2) ? "40001" : "23505", sql.nonce);
  return true;
}

void SimPostgres::Execute(Conversation* with, const Sql& sql) {
  with->last = sql.nonce;
  const bool ends = sql.verb == Verb::kCommit || sql.verb == Verb::kRollback ||
                    sql.verb == Verb::kRollbackTo;
  if (with->transaction.status() == 'E' && !ends) {
    Fail(with, "25P02", sql.nonce);
    return;
  }
  switch (sql.verb) {
    case Verb::kSelect:
      if (with->simple) {
        Say(with, support::RowDescription({"n"}));
      }
      for (uint64_t i = 0; i < sql.count; ++i) {
        Say(with, support::DataRow({sql.nonce, std::string(prng_->Below(300), 'r')}));
      }
      Succeed(with, sql);
      break;
    case Verb::kCopyOut:
      Say(with, support::CopyResponse('H', 1));
      for (uint64_t i = 0; i < sql.count; ++i) {
        Say(with, support::Frame('d', sql.nonce + "\n"));
      }
      Say(with, support::Frame('c', ""));
      Succeed(with, sql);
      break;
    case Verb::kCopyIn:
    case Verb::kInsert:
    case Verb::kDelete:
      ExecuteWrite(with, sql);
      break;
    case Verb::kMarkInstall:
    case Verb::kMarkOpen:
    case Verb::kMark:
    case Verb::kMarkEnd:
    case Verb::kMarkTake:
    case Verb::kMarkHas:
    case Verb::kMarkClose:
      ExecuteMarker(with, sql);
      break;
    case Verb::kDeallocate:
      std::erase_if(with->statements, [](const auto& one) { return !one.first.empty(); });
      Succeed(with, sql);
      break;
    case Verb::kOwnState:
      Succeed(with, sql);
      break;
    default:
      ExecuteControl(with, sql);
  }
}

void SimPostgres::ExecuteWrite(Conversation* with, const Sql& sql) {
  if (sql.verb == Verb::kDelete) {
    Fail(with, "22012", sql.nonce);
  } else if (Refuses(with, sql)) {
    return;
  } else if (sql.verb == Verb::kCopyIn) {
    with->copying = sql;
    with->copied.clear();
    Say(with, support::CopyResponse('G', 1));
  } else {
    with->transaction.Write(Written(sql.nonce, with->simple ? "" : with->parameter()));
    Succeed(with, sql);
  }
}

void SimPostgres::ExecuteControl(Conversation* with, const Sql& sql) {
  SimTransaction& transaction = with->transaction;
  Sql done = sql;
  bool good = true;
  if (sql.verb == Verb::kBegin) {
    transaction.Begin();
  } else if (sql.verb == Verb::kCommit) {
    if (transaction.status() == 'E') {
      done.verb = Verb::kRollback;  // its tag
    } else if (Refuses(with, sql)) {
      with->marking.reset();
      transaction.Rollback();  // a deferred constraint
      return;
    }
    EndTransaction(with);
  } else if (sql.verb == Verb::kRollback) {
    with->marking.reset();
    transaction.Rollback();
  } else if (sql.verb == Verb::kSavepoint) {
    good = transaction.Savepoint();
  } else if (sql.verb == Verb::kRollbackTo) {
    good = transaction.RollbackTo();
  } else {
    good = transaction.Release();
  }
  if (good) {
    Succeed(with, done);
  } else {
    Fail(with, "3B001", sql.nonce);
  }
}

void SimPostgres::ExecuteMarker(Conversation* with, const Sql& sql) {
  Sql done = sql;
  if (sql.verb == Verb::kMarkInstall) {
    installed_ = !faults_.no_marker;
    if (!installed_) {
      Fail(with, "42501", "permission denied");
      return;
    }
  } else if (!installed_) {
    Fail(with, "42P01", "no such table");
    return;
  } else if (sql.verb == Verb::kMark) {
    Mark(with, sql);
    return;
  } else if (sql.verb == Verb::kMarkOpen) {
    markers_[sql.numbers[0]] = Marker{.number = 0, .pid = with->pid};
  } else if (sql.verb == Verb::kMarkEnd) {
    // As a server may that is asked by another role: not allowed.
    if (prng_->OneIn(2)) {
      Fail(with, "42501", "must be a member of the role");
      return;
    }
    EndOwner(sql.numbers[0]);
  } else if (sql.verb == Verb::kMarkClose) {
    markers_.erase(sql.numbers[0]);
  } else if (sql.verb == Verb::kMarkHas) {
    const auto marker = markers_.find(sql.numbers[0]);
    done.count = marker != markers_.end() && marker->second.number == sql.numbers[1] ? 1 : 0;
  } else {
    done.count = TakeMarker(sql);
  }
  Succeed(with, done);
}

void SimPostgres::Mark(Conversation* with, const Sql& sql) {
  const auto marker = markers_.find(sql.numbers[0]);
  if (marker == markers_.end() || marker->second.number != sql.numbers[1] - 1) {
    Fail(with, "PB001", "given up");
    return;
  }
  with->marking = sql;
  Succeed(with, sql);
}

void SimPostgres::EndOwner(int64_t link) {
  const auto marker = markers_.find(link);
  const auto owner = marker == markers_.end() ? conversations_.end()
                                              : conversations_.find(marker->second.pid);
  if (owner != conversations_.end()) {
    owner->second->dead = true;
    owner->second->wire.stream.Abort();
  }
}

// The numbers are the one it gets, the link and the one it has.
// A transaction that has marked holds the row: who takes it waits for its end, which comes
// when its peer has gone.
uint64_t SimPostgres::TakeMarker(const Sql& sql) {
  for (const auto& [pid, other] : conversations_) {
    if (other->marking.has_value() && other->marking->numbers[0] == sql.numbers[1]) {
      other->dead = true;
      other->wire.stream.Abort();
    }
  }
  const auto marker = markers_.find(sql.numbers[1]);
  if (marker == markers_.end() || marker->second.number != sql.numbers[2]) {
    return 0;
  }
  marker->second.number = sql.numbers[0];
  return 1;
}

// -- messages -------------------------------------------------------------------------------------

// Until the Query is over, or waits for COPY data.
void SimPostgres::HandleQuery(Conversation* with, const std::string& text) {
  if (!text.empty()) {
    with->simple = true;
    with->failed = false;
    for (const std::string& statement : SplitSql(text)) {
      with->queue.insert(with->queue.begin(), ReadSql(statement));
    }
  }
  while (!with->queue.empty()) {
    const Sql sql = with->queue.back();
    with->queue.pop_back();
    Execute(with, sql);
    if (with->copying.has_value()) {
      return;
    }
  }
  with->simple = false;
  SayReady(with);
}

void SimPostgres::HandleCopy(Conversation* with, const Frame& frame) {
  if (frame.type == 'd') {
    with->copied += frame.body;
  }
  if (frame.type != 'c' && frame.type != 'f') {
    return;
  }
  const Sql sql = *std::exchange(with->copying, std::nullopt);
  if (frame.type == 'c') {
    with->transaction.Write(Written(sql.nonce, with->copied));
    Succeed(with, sql);
  } else {
    Fail(with, "57014", sql.nonce);
  }
  if (with->simple) {
    HandleQuery(with, "");
  }
}

// What was executed since the last one is committed now, or fails now: a deferred constraint.
void SimPostgres::HandleSync(Conversation* with) {
  if (with->transaction.status() == 'I' && with->transaction.pending() && faults_.refusal != 0 &&
      prng_->OneIn(faults_.refusal)) {
    Fail(with, "23505", with->user);
  }
  with->skipping = false;
  if (with->transaction.status() == 'I') {
    EndTransaction(with);
  }
  SayReady(with);
}

void SimPostgres::HandleBind(Conversation* with, const Frame& frame) {
  const std::optional<pg::BindView> bind = pg::ReadBind(frame.body);
  const auto statement = with->statements.find(std::string(bind->statement));
  if (statement == with->statements.end()) {
    Fail(with, "26000", "no such statement");
    return;
  }
  with->portal = statement->second;
  with->parameters.clear();
  std::string_view rest = bind->parameters;
  for (size_t i = 0; i < bind->parameter_count; ++i) {
    with->parameters.emplace_back(pg::NextValue(&rest)->bytes);
  }
  Say(with, support::Frame('2', ""));
}

// False when the client has said goodbye.
bool SimPostgres::Handle(Conversation* with, const Frame& frame) {
  // The Sync behind a COMMIT was sent with it.
  if (with->commit.has_value() && frame.type != 'S') {
    commits_[*std::exchange(with->commit, std::nullopt)].heard = true;
  }
  if (frame.type == 'X') {
    return false;
  }
  size_t at = 0;
  if (with->copying.has_value()) {
    HandleCopy(with, frame);
  } else if (frame.type == 'Q') {
    HandleQuery(with, TakeText(frame.body, &at));
  } else if (frame.type == 'S') {
    HandleSync(with);
  } else if (with->skipping) {
    return true;
  } else if (frame.type == 'P') {
    const std::string name = TakeText(frame.body, &at);
    if (!name.empty() && with->statements.contains(name)) {
      Fail(with, "42P05", "there is one of that name");
      return true;
    }
    with->statements[name] = TakeText(frame.body, &at);
    Say(with, support::Frame('1', ""));
  } else if (frame.type == 'B') {
    HandleBind(with, frame);
  } else if (frame.type == 'D') {
    Say(with, support::RowDescription({"n"}));
  } else if (frame.type == 'E') {
    Sql sql = ReadSql(with->portal);
    if (sql.nonce == kFromParameter) {
      sql.nonce = with->parameter().substr(0, with->parameter().find(' '));
    }
    if (sql.verb == Verb::kMark) {
      for (const std::string& number : with->parameters) {
        sql.numbers.push_back(static_cast<int64_t>(base::LoadBe64(number.data())));
      }
    }
    Execute(with, sql);
  } else if (frame.type == 'C') {
    if (frame.body.starts_with('S')) {
      with->statements.erase(TakeText(frame.body, &(at = 1)));
    }
    Say(with, support::Frame('3', ""));
  }
  return true;
}

}  // namespace sim
