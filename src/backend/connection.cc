#include "backend/connection.h"

#include <utility>

#include "backend/run.h"
#include "base/check.h"
#include "base/log.h"
#include "pg/views.h"

namespace backend {
namespace {

constexpr size_t kNoteTextMax = 63;  // bytes of a tag that are kept; the longest has 40

std::string Shortened(std::string_view text) { return std::string(text.substr(0, kNoteTextMax)); }

}  // namespace

struct Connection::Tracer {
  pg::Trace requests{pg::Side::kFrontend};
  pg::Trace replies{pg::Side::kBackend};
  std::string lines;

  void Log(pg::Trace* trace, const pg::Piece& piece) {
    lines.clear();
    trace->Add(piece, &lines);
    if (!lines.empty()) {
      base::Log(base::LogLevel::kDebug, "protocol.message", {{"trace", lines}});
    }
  }
};

Connection::Connection(io::Loop* loop, BackendMetrics* metrics, bool protocol_log)
    : metrics_(metrics),
      stream_(loop),
      reader_(pg::Side::kBackend, loop->limits().frame_held_max,
              loop->limits().statement_memory_first),
      machine_(loop->limits().ledger_entries_max, 0),
      event_(loop) {
  if (protocol_log) {
    tracer_ = std::make_unique<Tracer>();
  }
}

Connection::~Connection() = default;

void Connection::TraceRequest(const pg::Piece& piece) {
  if (tracer_ != nullptr) {
    tracer_->Log(&tracer_->requests, piece);
  }
}

// -- login ----------------------------------------------------------------------------------------

pg::ReadResult Connection::NextLoginPiece(pg::Piece* piece, turn::Reply* reply) {
  for (;;) {
    const pg::ReadResult result =
        login_slice_.empty() ? pg::ReadResult::kMore : reader_.Next(piece);
    if (result == pg::ReadResult::kPiece) {
      if (piece->first) {
        *reply = machine_.OnReply(*piece);
      }
      if (tracer_ != nullptr) {
        tracer_->Log(&tracer_->replies, *piece);
      }
      return result;
    }
    if (result == pg::ReadResult::kBad) {
      fault_ = reader_.error();
      return result;
    }
    login_slice_ = stream_.TakeInput();
    if (login_slice_.empty()) {
      return pg::ReadResult::kMore;
    }
    reader_.Feed(login_slice_.view());
  }
}

// -- the pump -------------------------------------------------------------------------------------

io::Task<void> Connection::Pump() {
  CHECK(!machine_.starting());
  metrics_->connections.Add(1);
  stream_.NotifyReadable(&event_, kReadable);
  WatchSink();
  if (!login_slice_.empty()) {
    Relay(std::move(login_slice_), true);
  }
  while (!over_) {
    const uint32_t bits = co_await event_.Wait();
    if ((bits & io::Event::kStop) != 0) {
      break;
    }
    if ((bits & kReleased) != 0 && held_.has_value()) {
      Relay(std::move(held_slice_), true);
    }
    Drain();
  }
  stream_.NotifyReadable(nullptr, 0);
  if (leg_.sink != nullptr) {
    leg_.sink->NotifyDrained(nullptr, 0);
  }
  metrics_->connections.Add(-1);
}

void Connection::WatchSink() {
  if (leg_.sink != nullptr) {
    leg_.sink->NotifyDrained(&event_, kSinkDrained);
  }
}

void Connection::Drain() {
  while (!over_ && !held_.has_value() && stream_.has_input()) {
    Relay(stream_.TakeInput(), false);
  }
  if (over_) {
    return;
  }
  if (held_.has_value()) {
    paused_ = true;  // until the next Drain() that holds nothing
    stream_.PauseReceive();
    return;
  }
  if (stream_.ended()) {
    End(stream_.error() == 0 ? "" : "the server's connection broke");
    return;
  }
  const bool over_high = leg_.sink != nullptr && leg_.sink->over_high();
  if (over_high && !paused_) {
    paused_ = true;
    metrics_->pauses.Add();
    stream_.PauseReceive();
  } else if (!over_high && paused_) {
    paused_ = false;
    stream_.ResumeReceive();
  }
}

// Forwards one received slice. `fed`: the reader has it already; login, or what came before a reply
// that was held, was taken from it.
void Connection::Relay(base::Slice slice, bool fed) {
  if (!fed) {
    reader_.Feed(slice.view());
  }
  Run run(slice, leg_.sink);
  if (held_.has_value()) {
    run.Add(*std::exchange(held_, std::nullopt));
  }
  pg::Piece piece;
  pg::ReadResult result;
  while ((result = reader_.Next(&piece)) == pg::ReadResult::kPiece && OnPiece(piece)) {
    if (held_.has_value()) {
      held_slice_ = run.StopBefore(&*held_, &reader_);
      return;
    }
    run.Add(piece);
  }
  run.Forward();
  if (result == pg::ReadResult::kBad) {
    metrics_->mismatches.Add();
    End(std::string(reader_.error()));
  }
}

// False if the connection is over.
bool Connection::OnPiece(const pg::Piece& piece) {
  if (tracer_ != nullptr) {
    tracer_->Log(&tracer_->replies, piece);
  }
  if (!piece.first) {
    return true;
  }
  const turn::Reply reply = machine_.OnReply(piece);
  if (reply.kind == turn::ReplyKind::kPassing) {
    return true;
  }
  if (reply.kind == turn::ReplyKind::kMismatch) {
    metrics_->mismatches.Add();
    End("the server sent a message that nobody asked for");
    return false;
  }
  OnReply(piece, reply);
  if (Holds(piece, reply)) {
    held_ = piece;
  }
  return true;
}

bool Connection::Holds(const pg::Piece& piece, const turn::Reply& reply) {
  return leg_.judge != nullptr &&
         (reply.kind == turn::ReplyKind::kCompleted || reply.kind == turn::ReplyKind::kReady) &&
         leg_.judge->BeforeReply(reply, piece) == turn::Ruling::kHold;
}

void Connection::OnReply(const pg::Piece& piece, const turn::Reply& reply) {
  Note note;
  note.kind = reply.kind;
  note.request = reply.request;
  switch (reply.kind) {
    case turn::ReplyKind::kCompleted:
      metrics_->statements.Add();
      if (leg_.note_bit != 0) {
        note.text = Shortened(pg::ReadCommandTag(piece.body).value_or(""));
      }
      break;
    case turn::ReplyKind::kFailed:
      metrics_->errors.Add();
      if (leg_.note_bit != 0) {
        note.text = Shortened(pg::ReadError(piece.body).sqlstate);
      }
      break;
    case turn::ReplyKind::kReady:
      metrics_->turns.Add();
      note.status = machine_.status();
      if (leg_.ready_bit != 0 && !machine_.owes()) {
        leg_.event->Raise(leg_.ready_bit);
      }
      break;
    case turn::ReplyKind::kEmpty:
    case turn::ReplyKind::kSuspended:
      break;
    case turn::ReplyKind::kPassing:
    case turn::ReplyKind::kAsync:
    case turn::ReplyKind::kMismatch:
      return;
  }
  if (leg_.note_bit != 0) {
    notes_.push_back(std::move(note));
    leg_.event->Raise(leg_.note_bit);
  }
}

void Connection::End(std::string fault) {
  over_ = true;
  fault_ = std::move(fault);
  if (leg_.event != nullptr) {
    leg_.event->Raise(leg_.over_bit);
  }
}

void Connection::TakeNotes(std::vector<Note>* to) {
  to->clear();
  to->swap(notes_);
}

size_t Connection::memory() const {
  return sizeof *this + stream_.memory() + reader_.memory() + machine_.memory();
}

}  // namespace backend
