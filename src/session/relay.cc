#include <algorithm>
#include <utility>

#include "backend/run.h"
#include "backend/session_settings.h"
#include "base/log.h"
#include "pg/views.h"
#include "session/session.h"

namespace session {
namespace {

constexpr size_t kWordMax = 7;  // "prepare"

// True exactly when what was sent last surely commits nothing: it is one statement within a
// transaction block, and none that could end it. (A procedure cannot, within a block.)
bool LeavesBlockOpen(const turn::Machine& machine, const pg::Piece& piece) {
  const bool in_block = machine.status() == 'T' || machine.status() == 'E';
  if (!in_block || machine.entries() != 1 || piece.type != 'Q' || !piece.whole()) {
    return false;
  }
  const std::string_view text = pg::ReadQuery(piece.body).value_or("");
  const size_t first = text.find_first_not_of(" \t\r\n\f\v");
  const size_t semicolon = text.find(';');
  if (first == std::string_view::npos ||
      text.find_first_not_of("; \t\r\n\f\v", semicolon) != std::string_view::npos) {
    return false;
  }
  const std::string begin = backend::LowerCase(text.substr(first, kWordMax));
  for (const std::string_view word : {"commit", "end", "prepare", "/*", "--"}) {
    if (begin.starts_with(word)) {
      return false;
    }
  }
  return true;
}

}  // namespace

// The client's pump. Its only await is "readable, resumed or stopped"; between awaits everything
// is synchronous.
io::Task<void> Session::Relay() {
  if (borrower_ == nullptr) {
    LeaseOwn();
  } else if (recorder_ != nullptr) {
    borrower_->TellNotes(recorder_.get());
  }
  StartTurns();
  if (draining_) {
    server().TellWhenReady(kTurnOver);
  }
  client_.ResumeReceive();
  if (!client_slice_.empty()) {
    Forward(std::move(client_slice_), true);
  }
  uint32_t bits = kClientReadable;
  for (;;) {
    if ((bits & kDrain) != 0) {
      server().TellWhenReady(kTurnOver);
    }
    if ((bits & kReleased) != 0 && waiting_.has_value()) {
      Forward(std::move(client_slice_), true);
    }
    NoteTurnOver(bits);
    OnClientInput();
    OnTimes(bits);
    if (server().over()) {
      OnServerOver();
    }
    if (draining_ && !ended_ && MayDrain()) {
      Refuse("57P01", "terminating connection due to administrator command");
    }
    if (ended_) {
      break;
    }
    const base::Deadline deadline = std::min(NextPatience().until, NextLook());
    bits = co_await event_.Wait(deadline);
  }
  server().stream().NotifyDrained(nullptr, 0);
}

// The connection is the session's for life.
void Session::LeaseOwn() {
  backend::Leg leg;
  leg.sink = &client_;
  leg.event = &event_;
  leg.over_bit = kServerOver;
  leg.notes = recorder_.get();
  if (StallTimeout() > absl::ZeroDuration()) {
    leg.pause_bit = kStalled;
  }
  leg.owner = id_;
  leg.judge = around_->judge;
  server().Lease(leg);
  server().stream().NotifyDrained(&event_, kServerDrained);
  pumps_.Spawn(server().Pump());
}

void Session::OnServerOver() {
  ended_ = true;
  if (!leaving_ && !half_closed_) {
    around_->metrics->server_lost.Add();
  }
  if (!server().fault().empty()) {
    base::Log(
        base::LogLevel::kWarn, "session.server_fault",
        {{"session", id_}, {"server", service_->primary.name}, {"why", server().fault()}});
    const bool broke = server().stream().error() != 0;  // else it said what nobody understands
    if (!broke) {
      Refuse("08P01", "the connection to the server was closed: " + server().fault());
      return;
    }
  }
  if (leaving_ || half_closed_ || server().machine().failed()) {
    return;  // it was asked to go, or has said itself why it went
  }
  if (OutcomeUnknown()) {
    Refuse("08007",
           "the connection to the server was lost before it had answered; whether what it was "
           "asked took effect is not known");
  } else {
    Refuse("08006", "the connection to the server was lost");
  }
}

// True if something that may have committed was sent and not answered to its end.
bool Session::OutcomeUnknown() {
  const turn::RequestId oldest = server().machine().oldest();
  return server().machine().owes() &&
         doubt_ >= (borrower_ == nullptr ? oldest : borrower_->ToSession(oldest));
}

// Between transactions, nothing owed, nothing half sent.
bool Session::MayDrain() {
  const turn::Machine& machine = server().machine();
  return !machine.owes() && machine.status() == 'I' && !reader_.mid_frame();
}

void Session::OnClientInput() {
  while (!ended_ && !waiting_.has_value() && client_.has_input() && !MirrorsAreFull()) {
    Forward(client_.TakeInput(), false);
  }
  if (client_.broken()) {  // maybe long after it had half-closed
    ended_ = true;
  }
  if (ended_) {
    return;
  }
  if (waiting_.has_value()) {
    paused_ = true;  // until it is released
    client_.PauseReceive();
    return;
  }
  if (client_.has_input()) {
    paused_ = true;  // until mirrors have room; an end behind it waits as well
    client_.PauseReceive();
    return;
  }
  if (client_.ended() && borrower_ != nullptr) {
    // Others get that server connection. What was asked is answered first, if it was asked to its
    // end.
    half_closed_ = true;
    server().TellWhenReady(kTurnOver);
    ended_ = !server().machine().owes() || server().machine().copy_in() || !complete_ ||
             reader_.mid_frame();
    return;
  }
  if (client_.ended() && !half_closed_) {
    // The server sees what a direct client's server would: it answers what it was asked, then
    // finds the end.
    half_closed_ = true;
    server().stream().FinishSend();
  }
  WatchServer();
}

// Asked where there is input.
bool Session::MirrorsAreFull() {
  const bool waits = mirror_waits_from_ != base::Instant();
  const bool full = recorder_ != nullptr && around_->mirrors->Full(waits);
  if (full && !waits) {
    mirror_waits_from_ = loop_->now();
  } else if (!full && waits) {
    around_->metrics->mirror_wait.Record(loop_->now() - mirror_waits_from_);
    mirror_waits_from_ = base::Instant();
  }
  return full;
}

// Mirrors do not tell when they have room: whoever waits for it looks again.
base::Deadline Session::NextLook() const {
  const bool waits = mirror_waits_from_ != base::Instant();
  return waits ? loop_->In(absl::Milliseconds(10)) : base::Deadline::Never();
}

void Session::WatchServer() {
  const bool over_high = server().stream().over_high();
  if (over_high && !paused_) {
    paused_ = true;
    around_->metrics->pauses.Add();
    client_.PauseReceive();
  } else if (!over_high && paused_) {
    paused_ = false;
    client_.ResumeReceive();
  }
}

// Forwards one received slice. `fed`: the reader has it already; login, or what came before a frame
// that waited, was taken from it.
void Session::Forward(base::Slice slice, bool fed) {
  if (!fed) {
    reader_.Feed(slice.view());
  }
  backend::Run run(slice, &server().stream());
  if (waiting_.has_value()) {
    const pg::Piece released = *std::exchange(waiting_, std::nullopt);
    if (!OnRequest(released)) {
      return;
    }
    run.Add(released);
  }
  pg::Piece piece;
  pg::ReadResult result;
  while ((result = reader_.Next(&piece)) == pg::ReadResult::kPiece) {
    if (Holds(piece)) {
      client_slice_ = run.StopBefore(&piece, &reader_);
      waiting_ = piece;
      return;
    }
    if (piece.type == 'X' && borrower_ != nullptr) {
      leaving_ = ended_ = true;  // the client goes; the connection stays, for others
      break;
    }
    if (!OnRequest(piece)) {
      break;
    }
    run.Add(piece);
  }
  run.Forward();
  if (result == pg::ReadResult::kBad) {
    Violation(reader_.error());
  }
}

bool Session::Holds(const pg::Piece& piece) {
  return around_->judge != nullptr && piece.first && turn::MayCommit(piece.type) &&
         around_->judge->BeforeRequest(id_, piece) == turn::Ruling::kHold;
}

// True exactly when a ReadyForQuery will follow after a frame of that type; `before`: if it would
// have before. The data of a COPY change nothing.
bool Session::Completes(char type, bool before) {
  const bool changes_nothing = type == 'd' || type == 'c' || type == 'f' || type == 'H';
  return changes_nothing ? before : type == 'Q' || type == 'S' || type == 'F';
}

// False if the session is over.
bool Session::OnRequest(const pg::Piece& piece) {
  turn::Machine& machine = server().machine();
  if (piece.first) {
    complete_ = Completes(piece.type, complete_);
    const turn::RequestResult result = machine.OnRequest(piece, id_);
    if (result != turn::RequestResult::kOk) {
      if (result == turn::RequestResult::kFull) {
        Refuse("54000", "too many messages sent without waiting for an answer");
      } else {
        Violation("invalid frontend message type " +
                  std::to_string(static_cast<unsigned char>(piece.type)));
      }
      return false;
    }
    request_ = machine.last_request();
    if (borrower_ != nullptr && request_ != 0) {
      request_ = borrower_->ToSession(request_);
    }
    // A Sync that COPY swallows is no request, and what came before it may still commit.
    if (request_ != 0 && turn::MayCommit(piece.type) && !LeavesBlockOpen(machine, piece)) {
      doubt_ = request_;
    }
  }
  if (turns_ != nullptr && piece.first) {
    NoteAsked(piece.type);
  }
  leaving_ = leaving_ || piece.type == 'X';
  if (piece.last && !piece.first) {
    machine.OnRequestEnd();
  }
  server().TraceRequest(piece);
  if (recorder_ != nullptr) {
    recorder_->OnRequest(request_, piece);
  }
  return true;
}

}  // namespace session
