// The client's pump where a server connection is borrowed for a transaction at a time. As in
// relay.cc its only await is "readable, resumed or stopped"; here a frame may also have to wait for
// a connection, and some frames are changed or answered on the way.
#include <algorithm>
#include <optional>
#include <utility>

#include "backend/run.h"
#include "base/check.h"
#include "base/log.h"
#include "pg/builders.h"
#include "pg/views.h"
#include "session/session.h"
#include "sql/session_effects.h"

namespace session {
namespace {

constexpr size_t kBindNamesMax = 16 * 1024;  // bytes in which a long Bind must have its two names

}  // namespace

// Pieces of one slice on their way to the connection, which is borrowed at the first of them.
class Session::Pieces {
 public:
  Pieces(const base::Slice& slice, Session* session) : slice_(slice), session_(session) {}
  void Add(const pg::Piece& piece) {
    if (!run_.has_value()) {
      run_.emplace(slice_, &session_->server().stream());
    }
    run_->Add(piece);
  }
  // What was added is written: before anything else is.
  void Flush() {
    if (run_.has_value()) {
      run_->Forward();
    }
  }
  base::Slice StopBefore(pg::Piece* piece, pg::FrameReader* reader) {
    Flush();
    backend::Run rest(slice_, nullptr);
    return rest.StopBefore(piece, reader);
  }

 private:
  const base::Slice& slice_;
  Session* const session_;
  std::optional<backend::Run> run_;
};

io::Task<void> Session::RelayPooled() {
  pooled_ = std::make_unique<PooledState>();
  if (recorder_ != nullptr) {
    borrower_->TellNotes(recorder_.get());
  }
  StartTurns();
  client_.ResumeReceive();
  uint32_t bits = kClientReadable;
  for (;;) {
    if ((bits & kDrain) != 0) {
      borrower_->TellTurns(kTurnOver);
    }
    NoteTurnOver(bits);
    if (borrower_->repeating()) {
      RepeatTurn();
    }
    FollowBetweenTransactions();
    OnPooledInput();
    OnTimes(bits);
    if (!ended_ && has_server() && server().over()) {
      OnServerOver();
    }
    if (draining_ && !ended_ && MayDrainPooled()) {
      Refuse("57P01", "terminating connection due to administrator command");
    }
    if (ended_) {
      break;
    }
    const base::Deadline deadline = std::min(NextPatience().until, NextLook());
    bits = co_await event_.Wait(deadline);
  }
}

// Between transactions, nothing owed, nothing half sent, nothing that waits.
bool Session::MayDrainPooled() const {
  const bool idle = !borrower_->has_connection() ||
                    (!borrower_->connection().machine().owes() && borrower_->status() == 'I');
  return idle && !reader_.mid_frame() && !waiting_.has_value() && !borrower_->waiting();
}

void Session::OnPooledInput() {
  if (waiting_.has_value() || !client_slice_.empty()) {
    ForwardPooled(std::move(client_slice_), true);
  }
  while (!ended_ && !waiting_.has_value() && client_.has_input() && !MirrorsAreFull()) {
    ForwardPooled(client_.TakeInput(), false);
  }
  if (client_.broken()) {
    ended_ = true;
  }
  if (ended_) {
    return;
  }
  if (waiting_.has_value()) {
    // Who waits for an answer sends no more as a rule: stopping and starting the receive for every
    // wait would cost a sixth of the transaction, and hide that the client has gone.
    if (client_.has_input()) {
      paused_ = true;
      client_.PauseReceive();
    }
    return;
  }
  if (client_.has_input()) {
    paused_ = true;  // until mirrors have room
    client_.PauseReceive();
    return;
  }
  if (client_.ended()) {
    // Nobody will ask any more; what was asked is answered first, if it was asked to its end.
    ended_ = !has_server() || !server().machine().owes() || server().machine().copy_in() ||
             !complete_ || reader_.mid_frame();
    half_closed_ = true;
    borrower_->TellTurns(kTurnOver);
    return;
  }
  if (has_server()) {
    WatchServer();
  } else if (paused_) {
    paused_ = false;
    client_.ResumeReceive();
  }
}

// Forwards one received slice. `fed`: the reader has it already.
void Session::ForwardPooled(base::Slice slice, bool fed) {
  if (!fed) {
    reader_.Feed(slice.view());
  }
  Pieces pieces(slice, this);
  pg::Piece piece;
  pg::ReadResult result = pg::ReadResult::kPiece;
  if (waiting_.has_value()) {
    piece = *std::exchange(waiting_, std::nullopt);
  } else {
    result = reader_.Next(&piece);
  }
  while (result == pg::ReadResult::kPiece) {
    const Step step = OnPooledPiece(piece, &pieces);
    if (step == Step::kWait) {
      client_slice_ = pieces.StopBefore(&piece, &reader_);
      waiting_ = piece;
      return;
    }
    if (step == Step::kEnd) {
      break;
    }
    if (step == Step::kForward) {
      pieces.Add(piece);
    }
    result = reader_.Next(&piece);
  }
  pieces.Flush();
  if (result == pg::ReadResult::kBad) {
    Violation(reader_.error());
  }
}

Session::Step Session::OnPooledPiece(const pg::Piece& piece, Pieces* to) {
  if (!piece.first) {
    return OnContinued(piece, to);
  }
  pooled_->continues = false;
  pooled_->nameless = false;
  if (piece.type == 'X') {
    leaving_ = ended_ = true;
    return Step::kEnd;
  }
  if (pooled_->discarding != Discarding::kNo) {
    return DiscardCancelled(piece);
  }
  if (!borrower_->has_connection()) {
    const Step step = pooled_->doubtful.empty() ? WithoutServer(piece) : Step::kForward;
    if (step != Step::kForward) {
      return step;
    }
  }
  borrower_->Ask();
  if (borrower_->denied()) {
    Refuse(borrower_->sqlstate(), borrower_->why());
    return Step::kEnd;
  }
  if (!borrower_->ready()) {
    return Step::kWait;
  }
  if (!pooled_->doubtful.empty() && ResolveDoubt(piece.type, to) == Step::kEnd) [[unlikely]] {
    return Step::kEnd;
  }
  const Step step = WithServer(piece, to);
  if (step != Step::kEnd && pooled_->doubtful.empty()) {
    borrower_->OnFrame(piece);
  }
  return step;
}

// A Bind of a statement whose rows have changed since the client was told of them. If it asks for
// them again it gets them, else PostgreSQL's error.
Session::Step Session::ResolveDoubt(char next, Pieces* to) {
  const std::string frame = std::exchange(pooled_->doubtful, std::string());
  if (server().machine().skipping()) {
    return Step::kDone;  // the server would not look at it
  }
  pg::Piece bind;
  bind.type = frame[0];
  bind.first = bind.last = bind.held = true;
  bind.bytes = frame;
  bind.body = bind.bytes.substr(pg::kHeaderBytes);
  bind.body_length = static_cast<uint32_t>(bind.body.size());
  borrower_->names().RowsAreTold(next == 'D');
  const Step step = WithServer(bind, to);
  if (step == Step::kForward) {
    to->Add(bind);
  }
  if (step != Step::kEnd) {
    borrower_->OnFrame(bind);
  }
  return step;
}

// What a server has refused before it ran any of it, as if the client sent it once more.
void Session::RepeatTurn() {
  const base::Slice slice = base::Slice::CopyOf(borrower_->TakeRepeat());
  pg::FrameReader reader(pg::Side::kFrontend, limits().frame_held_max,
                         limits().statement_memory_first);
  reader.Feed(slice.view());
  Pieces pieces(slice, this);
  pg::Piece piece;
  while (reader.Next(&piece) == pg::ReadResult::kPiece) {
    const Step step = OnPooledPiece(piece, &pieces);
    if (step == Step::kForward) {
      pieces.Add(piece);
    }
    CHECK(step != Step::kWait);
    if (step == Step::kEnd) {
      break;
    }
  }
  pieces.Flush();
}

// A further piece of a long frame.
Session::Step Session::OnContinued(const pg::Piece& piece, Pieces* to) {
  if (pooled_->gathering) {
    return OnBindNames(piece, to);
  }
  if (!pooled_->continues) {
    return Step::kDone;
  }
  ReadLongName(piece);
  return OnRequest(piece) ? Step::kForward : Step::kEnd;
}

// The name of a long Parse comes first; the first piece may be the header alone.
void Session::ReadLongName(const pg::Piece& piece) {
  if (!pooled_->nameless || piece.body.empty()) {
    return;
  }
  pooled_->nameless = false;
  if (piece.body[0] == '\0') {
    borrower_->names().OnLongUnnamed(borrower_->pooled());
  }
}

// What needs no server: kForward if it needs one.
Session::Step Session::WithoutServer(const pg::Piece& piece) {
  switch (piece.type) {
    case 'S': {
      if (turns_ != nullptr) {
        turns_->asked = loop_->now();
      }
      std::string ready;
      pg::AppendReadyForQuery(&ready, 'I');
      client_.WriteCopy(ready);
      return Step::kDone;
    }
    case 'H':  // there is nothing to flush
    case 'd':  // PostgreSQL ignores what is left of a COPY that has failed
    case 'c':
    case 'f':
      return Step::kDone;
    case 'P':
      if (!piece.whole() || !borrower_->names().OnParseAlone(piece.body, borrower_->context())) {
        return Step::kForward;
      }
      if (recorder_ != nullptr) {
        recorder_->OnAnswered(piece);
      }
      client_.WriteCopy(pg::kParseComplete);
      return Step::kDone;
    case 'C': {
      const std::optional<pg::TargetView> target = pg::ReadTarget(piece.body);
      if (!target.has_value() || (target->kind != 'S' && target->kind != 'P')) {
        return Step::kForward;
      }
      if (target->kind == 'S') {
        static_cast<void>(borrower_->names().CloseAlone(target->name));
      }
      if (recorder_ != nullptr) {
        recorder_->OnAnswered(piece);
      }
      client_.WriteCopy(pg::kCloseComplete);
      return Step::kDone;
    }
    default:
      return Step::kForward;
  }
}

Session::Step Session::WithServer(const pg::Piece& piece, Pieces* to) {
  complete_ = Completes(piece.type, complete_);
  switch (piece.type) {
    case 'Q':
      return OnQueryText(piece, to);
    case 'P':
    case 'D':
    case 'C':
      return OnStatementFrame(piece, to);
    case 'B':
      pooled_->gathered.clear();
      pooled_->bind_length = piece.body_length;
      return OnBindNames(piece, to);
    default:
      break;
  }
  if (!OnRequest(piece)) {
    return Step::kEnd;
  }
  pooled_->continues = !piece.last;
  const std::string residue = piece.type == 'S' ? borrower_->names().TakeResidue() : "";
  if (residue.empty()) {
    return Step::kForward;
  }
  to->Add(piece);
  to->Flush();
  std::string frames;
  if (pg::AppendClose(&frames, 'S', residue)) {
    pg::AppendSync(&frames);
    server().Ask(frames);
  }
  return Step::kDone;
}

Session::Step Session::OnQueryText(const pg::Piece& piece, Pieces* to) {
  borrower_->names().OnQuery(borrower_->pooled());
  pooled_->continues = !piece.last;
  sql::SessionEffects effects;
  const std::optional<std::string_view> text =
      piece.whole() ? pg::ReadQuery(piece.body) : std::nullopt;
  if (!text.has_value()) {
    borrower_->OnUnread();
  } else if (sql::MayHaveEffects(*text) || borrower_->wants_sequences()) {
    effects = sql::ReadEffects(*text);
    to->Flush();
    borrower_->OnRun(effects, true);
  }
  if (!OnRequest(piece)) {
    return Step::kEnd;
  }
  borrower_->OnRunning(effects, server().machine().last_request());
  return Step::kForward;
}

Session::Step Session::OnStatementFrame(const pg::Piece& piece, Pieces* to) {
  StatementNames& names = borrower_->names();
  if (!piece.whole()) {  // a Parse longer than what is held: it cannot be parsed again elsewhere
    borrower_->PinForRawStatements();
    pooled_->nameless = piece.type == 'P';
    ReadLongName(piece);
    borrower_->OnUnread();
    pooled_->continues = true;
    return OnRequest(piece) ? Step::kForward : Step::kEnd;
  }
  to->Flush();
  const bool failed = borrower_->status() == 'E';
  const StatementNames::Way way =
      piece.type == 'P'
          ? names.OnParse(piece.body, borrower_->context(), failed, borrower_->pooled())
          : names.OnTarget(piece.type, piece.body, borrower_->pooled());
  if (names.effects() != nullptr) {
    borrower_->OnParsed(*names.effects());
  }
  return Rewritten(piece, way);
}

// A Bind, or as much of a long one as has come: it goes on when its names are known.
Session::Step Session::OnBindNames(const pg::Piece& piece, Pieces* to) {
  StatementNames& names = borrower_->names();
  std::string& gathered = pooled_->gathered;
  pg::Piece start = piece;
  if (!piece.whole()) {
    gathered += piece.body;
    std::string header(1, 'B');
    base::AppendBe32(&header, pooled_->bind_length + 4);
    start.first = true;
    start.type = 'B';
    start.body = gathered;
    start.body_length = pooled_->bind_length;
  }
  to->Flush();
  const std::optional<StatementNames::Way> way =
      names.OnBind(start.body, start.body_length, borrower_->pooled());
  if (way == StatementNames::Way::kDoubtful) [[unlikely]] {
    pooled_->doubtful = piece.bytes;
    return Step::kDone;
  }
  pooled_->gathering = !way.has_value() && !piece.last;
  if (pooled_->gathering) {
    if (gathered.size() > kBindNamesMax) {
      Violation("the names in a Bind message are too long");
      return Step::kEnd;
    }
    return Step::kDone;
  }
  if (names.effects() != nullptr) {
    borrower_->OnRun(*names.effects(), false);
  } else if (borrower_->wants_sequences()) {
    borrower_->OnRun(sql::SessionEffects(), false);
  }
  pooled_->continues = !piece.last;
  if (piece.whole()) {
    return Rewritten(piece, way.value_or(StatementNames::Way::kAsItIs));
  }
  if (way == StatementNames::Way::kRewritten) {
    return Rewritten(start, *way);
  }
  return ForwardGathered(start);
}

// The beginning of a long Bind, as the client sent it.
Session::Step Session::ForwardGathered(const pg::Piece& start) {
  if (!OnRequest(start)) {
    return Step::kEnd;
  }
  std::string bytes(1, 'B');
  base::AppendBe32(&bytes, start.body_length + 4);
  bytes += start.body;
  server().stream().WriteCopy(bytes);
  return Step::kDone;
}

Session::Step Session::Rewritten(const pg::Piece& piece, StatementNames::Way way) {
  StatementNames& names = borrower_->names();
  turn::Machine& machine = server().machine();
  switch (way) {
    case StatementNames::Way::kTooMany:
      Refuse("54000", "too many prepared statements in one session");
      return Step::kEnd;
    case StatementNames::Way::kAsItIs:
    case StatementNames::Way::kRewritten:
      if (!OnRequest(piece)) {
        return Step::kEnd;
      }
      names.OnForwarded(machine.last_request(), borrower_->pooled());
      if (piece.type == 'B' && names.refuses()) [[unlikely]] {
        borrower_->OnMadeToFail(machine.last_request());
      }
      if (piece.type == 'B' && names.effects() != nullptr) {
        borrower_->OnRunning(*names.effects(), machine.last_request());
      }
      if (way == StatementNames::Way::kAsItIs) {
        return Step::kForward;
      }
      server().stream().WriteCopy(names.rewritten());
      return Step::kDone;
    case StatementNames::Way::kAnswered:
    case StatementNames::Way::kDoubtful:  // waits for the frame behind it
      break;
  }
  if (machine.AddOwnReply(std::string(names.answer()), id_) != turn::RequestResult::kOk) {
    Refuse("54000", "too many messages sent without waiting for an answer");
    return Step::kEnd;
  }
  const turn::RequestId request = machine.last_own_reply();
  names.OnAnswered(request);
  if (recorder_ != nullptr && request != 0) {
    recorder_->OnRequest(borrower_->ToSession(request), piece);
  }
  server().SendOwnReplies();
  return Step::kDone;
}

// -- cancel ---------------------------------------------------------------------------------------

// A request that still waits for a connection is answered here; one that runs is cancelled there.
void Session::OnCancel(const backend::CancelAsker& asker) {
  const bool waits = pooled_ != nullptr && waiting_.has_value() && !ended_ &&
                     pooled_->discarding == Discarding::kNo && borrower_->Withdraw();
  if (!waits) {
    if (borrower_ == nullptr || ended_) {
      asker.Tell();
    } else {
      borrower_->Cancel(asker);
    }
    return;
  }
  asker.Tell();
  const bool simple = waiting_->type == 'Q' || waiting_->type == 'F';
  pooled_->discarding = simple ? Discarding::kOne : Discarding::kToSync;
  std::string error;
  const pg::ErrorText text{.severity = "ERROR",
                           .sqlstate = "57014",
                           .message = "canceling statement due to user request"};
  pg::AppendErrorResponse(&error, text);
  client_.WriteCopy(error);
  event_.Raise(kLeaseChanged);
}

// As the server would: after an error in the extended protocol everything up to the Sync.
Session::Step Session::DiscardCancelled(const pg::Piece& piece) {
  if (pooled_->discarding == Discarding::kOne || piece.type == 'S') {
    pooled_->discarding = Discarding::kNo;
    std::string ready;
    pg::AppendReadyForQuery(&ready, 'I');
    client_.WriteCopy(ready);
  }
  return Step::kDone;
}

}  // namespace session
