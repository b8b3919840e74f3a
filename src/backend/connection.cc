#include "backend/connection.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "backend/run.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/log.h"
#include "pg/messages.h"
#include "pg/views.h"

namespace backend {
namespace {

constexpr size_t kParametersMax = 64;  // a server reports about 15

constexpr size_t kNoteTextMax = 63;  // bytes of a tag that are kept; the longest has 40

std::string Shortened(std::string_view text) { return std::string(text.substr(0, kNoteTextMax)); }

// Of a ParameterStatus that tells how the server reads texts from now on: "name=value", else empty.
std::string LexingSetting(const pg::Piece& piece) {
  if (piece.type != static_cast<char>(pg::BackendType::kParameterStatus) || !piece.whole()) {
    return std::string();
  }
  const std::optional<pg::ParameterStatusView> status = pg::ReadParameterStatus(piece.body);
  constexpr std::string_view kSettings[] = {"client_encoding", "standard_conforming_strings",
                                            "DateStyle", "IntervalStyle", "TimeZone"};
  if (!status.has_value() ||
      std::find(std::begin(kSettings), std::end(kSettings), status->name) == std::end(kSettings)) {
    return std::string();
  }
  std::string text(status->name);
  text += '=';
  return Shortened(text += status->value);
}

}  // namespace

uint64_t PrintOf(const Parameters& parameters) {
  uint64_t print = 1;
  for (const auto& [name, value] : parameters) {
    print += absl::HashOf(name, value);
  }
  return print == 0 ? 1 : print;
}

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

void Connection::Renew() {
  CHECK(!pumping_ && !over_);
  const base::Limits& limits = stream_.loop()->limits();
  stream_.Renew();
  login_slice_.Reset();
  reader_ = pg::FrameReader(pg::Side::kBackend, limits.frame_held_max,
                            limits.statement_memory_first);
  machine_ = turn::Machine(limits.ledger_entries_max, 0);
  fault_.clear();
  parameters_.clear();
  key_pid_ = 0;
  key_secret_.clear();
}

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
        OnParameter(*piece, true);
        OnBackendKey(*piece);
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
  pumping_ = true;
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
  pumping_ = false;
  metrics_->connections.Add(-1);
}

void Connection::Lease(const Leg& leg) {
  leg_ = leg;
  if (pumping_) {
    WatchSink();
  }
}

void Connection::EndLease() {
  if (pumping_ && leg_.sink != nullptr) {
    leg_.sink->NotifyDrained(nullptr, 0);
    event_.Raise(kSinkDrained);  // who is read no more because of that sink is read again
    stalled_since_ = base::Instant::Never();
  }
  leg_ = Leg();
  deferred_.clear();
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
    stalled_since_ = event_.loop()->now();
    metrics_->pauses.Add();
    stream_.PauseReceive();
    if (leg_.pause_bit != 0) {
      leg_.event->Raise(leg_.pause_bit);
    }
  } else if (!over_high && paused_) {
    paused_ = false;
    stalled_since_ = base::Instant::Never();
    stream_.ResumeReceive();
  }
}

// Forwards one received slice. `fed`: the reader has it already; login, or what came before a reply
// that was held, was taken from it.
void Connection::Relay(base::Slice slice, bool fed) {
  if (!fed) {
    reader_.Feed(slice.view());
  }
  while (RelayRun(slice)) {
  }
}

// Up to the end of the slice, or of a lease: true if there may be more for another sink.
bool Connection::RelayRun(const base::Slice& slice) {
  Run run(slice, leg_.sink);
  if (held_.has_value()) {
    run.Add(*std::exchange(held_, std::nullopt));
  }
  pg::Piece piece;
  pg::ReadResult result;
  while ((result = reader_.Next(&piece)) == pg::ReadResult::kPiece) {
    const Way way = OnPiece(piece);
    if (way == Way::kEnd) {
      break;
    }
    if (held_.has_value()) {
      held_slice_ = run.StopBefore(&*held_, &reader_);
      return false;
    }
    if (way == Way::kPass) {
      run.Add(piece);
    } else {
      run.Forward();
      SendInstead();
    }
    if (leg_.lessee == nullptr) {
      continue;
    }
    if (machine_.has_own_replies()) {
      run.Forward();
      SendOwnReplies();
    }
    if (ready_ != 0) {
      run.Forward();
      leg_.lessee->OnReady(std::exchange(ready_, 0), machine_.status(), machine_.owes());
      return true;
    }
  }
  run.Forward();
  if (result == pg::ReadResult::kBad) {
    metrics_->mismatches.Add();
    End(std::string(reader_.error()));
  }
  return false;
}

Connection::Way Connection::OnPiece(const pg::Piece& piece) {
  if (tracer_ != nullptr) {
    tracer_->Log(&tracer_->replies, piece);
  }
  if (!piece.first) {
    if (hidden_) {
      leg_.lessee->OnHidden(piece, hidden_reply_);
    }
    return hidden_ ? Way::kDrop : Way::kPass;
  }
  const turn::Reply reply = machine_.OnReply(piece);
  hidden_ = false;
  if (reply.owner == turn::kNobody && leg_.lessee != nullptr) [[unlikely]] {
    return OnHiddenPiece(piece, reply);
  }
  if (reply.kind == turn::ReplyKind::kPassing) {
    return piece.type == 't' || !deferred_.empty() ? OnPassingPart(piece, reply) : Way::kPass;
  }
  if (reply.kind == turn::ReplyKind::kMismatch) {
    metrics_->mismatches.Add();
    End("the server sent a message that nobody asked for");
    return Way::kEnd;
  }
  OnReply(piece, reply);
  if (keeps_parameters_) {
    OnParameter(piece, false);
    if (TellLessee(piece, reply) == Way::kDrop) {
      return Way::kDrop;
    }
  }
  if (Holds(piece, reply)) {
    held_ = piece;
  }
  return Way::kPass;
}

// A server describes a statement's parameters before it finds that it cannot describe its rows. The
// client is not to be told twice, nor of types that change with the rows.
Connection::Way Connection::OnPassingPart(const pg::Piece& piece, const turn::Reply& reply) {
  SendDeferred();
  if (piece.type != 't' || leg_.lessee == nullptr || !piece.whole() ||
      !leg_.lessee->MayRepeat(reply.request)) {
    return Way::kPass;
  }
  deferred_ = piece.bytes;
  return Way::kDrop;
}

// Nothing of the run is written later: a piece that was dropped ended it.
void Connection::SendDeferred() {
  if (!deferred_.empty() && leg_.sink != nullptr) {
    leg_.sink->WriteCopy(deferred_);
  }
  deferred_.clear();
}

void Connection::SendInstead() {
  if (!instead_.empty() && leg_.sink != nullptr) {
    leg_.sink->WriteCopy(instead_);
  }
  instead_.clear();
}

// An answer to a request made for nobody. Two things in it are for the client all the same: a
// notification, and an error for which the server swallows what the client has asked.
Connection::Way Connection::OnHiddenPiece(const pg::Piece& piece, const turn::Reply& reply) {
  if (piece.type == static_cast<char>(pg::BackendType::kNotificationResponse)) {
    return Way::kPass;
  }
  OnParameter(piece, true);
  if (reply.kind == turn::ReplyKind::kFailed) {
    leg_.lessee->OnFailed(reply.request, machine_.oldest());
    if (machine_.failed() || machine_.oldest() > reply.request) {
      return Way::kPass;
    }
  }
  if (reply.kind == turn::ReplyKind::kReady) {
    ready_ = reply.request;
  }
  hidden_ = true;
  hidden_reply_ = reply;
  leg_.lessee->OnHidden(piece, reply);
  return Way::kDrop;
}

void Connection::OnParameter(const pg::Piece& piece, bool hidden) {
  if (!keeps_parameters_ || !piece.whole() ||
      piece.type != static_cast<char>(pg::BackendType::kParameterStatus)) {
    return;
  }
  const std::optional<pg::ParameterStatusView> status = pg::ReadParameterStatus(piece.body);
  if (!status.has_value()) {
    return;
  }
  const auto known = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const auto& p) { return p.first == status->name; });
  if (known != parameters_.end()) {
    known->second = status->value;
  } else if (parameters_.size() < kParametersMax) {
    parameters_.emplace_back(status->name, status->value);
  }
  parameters_print_ = PrintOf(parameters_);
  if (leg_.lessee != nullptr) {
    leg_.lessee->OnParameter(status->name, status->value, hidden);
  }
}

void Connection::OnBackendKey(const pg::Piece& piece) {
  if (!piece.whole() || piece.type != static_cast<char>(pg::BackendType::kBackendKeyData)) {
    return;
  }
  if (const std::optional<pg::BackendKeyView> key = pg::ReadBackendKey(piece.body)) {
    key_pid_ = key->pid;
    key_secret_ = key->secret;
  }
}

// What a lessee must know of the answer to a request of its own.
Connection::Way Connection::TellLessee(const pg::Piece& piece, const turn::Reply& reply) {
  if (leg_.lessee == nullptr) {
    return Way::kPass;
  }
  if (reply.kind == turn::ReplyKind::kReady) {
    ready_ = reply.request;
    return ready_ == hidden_ready_ ? Way::kDrop : Way::kPass;
  }
  if (reply.kind == turn::ReplyKind::kFailed) {
    leg_.lessee->OnFailed(reply.request, machine_.oldest());
    const Fate fate = leg_.lessee->OnError(piece, reply.request, &instead_);
    if (fate == Fate::kHidden) {
      deferred_.clear();
    }
    SendDeferred();
    return fate == Fate::kTold ? Way::kPass : Way::kDrop;
  }
  if (reply.kind == turn::ReplyKind::kCompleted) {
    leg_.lessee->OnCompleted(reply.request, pg::ReadCommandTag(piece.body).value_or(""));
  }
  return Way::kPass;
}

bool Connection::Ask(std::string_view frames) {
  std::string_view rest = frames;
  while (!rest.empty()) {
    const size_t length = 1 + base::LoadBe32(rest.data() + 1);
    pg::Piece piece;
    piece.type = rest[0];
    piece.first = piece.last = true;
    piece.bytes = rest.substr(0, length);
    piece.body = piece.bytes.substr(pg::kHeaderBytes);
    piece.body_length = static_cast<uint32_t>(piece.body.size());
    if (machine_.OnRequest(piece, turn::kNobody) != turn::RequestResult::kOk) {
      return false;
    }
    TraceRequest(piece);
    stream_.WriteCopy(piece.bytes);
    rest.remove_prefix(length);
  }
  return true;
}

void Connection::SendOwnReplies() {
  std::string frames;
  if (machine_.TakeOwnReplies(&frames) && leg_.sink != nullptr) {
    leg_.sink->WriteCopy(frames);
  }
}

bool Connection::Holds(const pg::Piece& piece, const turn::Reply& reply) {
  return leg_.judge != nullptr &&
         (reply.kind == turn::ReplyKind::kCompleted || reply.kind == turn::ReplyKind::kReady) &&
         leg_.judge->BeforeReply(reply, piece) == turn::Ruling::kHold;
}

void Connection::OnReply(const pg::Piece& piece, const turn::Reply& reply) {
  const bool tells_notes = leg_.notes != nullptr || leg_.note_bit != 0;
  Note note;
  note.kind = reply.kind;
  note.request = reply.request;
  switch (reply.kind) {
    case turn::ReplyKind::kCompleted:
      metrics_->statements.Add();
      if (tells_notes) {
        note.text = Shortened(pg::ReadCommandTag(piece.body).value_or(""));
      }
      break;
    case turn::ReplyKind::kFailed:
      metrics_->errors.Add();
      if (tells_notes) {
        note.text = Shortened(pg::ReadError(piece.body).sqlstate);
      }
      break;
    case turn::ReplyKind::kReady:
      metrics_->turns.Add();
      note.status = machine_.status();
      if (leg_.ready_bit != 0 && !machine_.owes()) {
        leg_.event->Raise(leg_.ready_bit);
      }
      if (leg_.turn_bit != 0) {
        leg_.event->Raise(leg_.turn_bit | (note.status == 'I' ? leg_.idle_bit : 0));
      }
      break;
    case turn::ReplyKind::kEmpty:
    case turn::ReplyKind::kSuspended:
      break;
    case turn::ReplyKind::kAsync:
      note.text = tells_notes ? LexingSetting(piece) : std::string();
      if (note.text.empty()) {
        return;
      }
      break;
    case turn::ReplyKind::kPassing:
    case turn::ReplyKind::kMismatch:
      return;
  }
  if (leg_.notes != nullptr) {
    leg_.notes->OnNote(note);
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
  if (leg_.lessee != nullptr) {
    leg_.lessee->OnConnectionOver();
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
