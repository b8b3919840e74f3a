#include "mirror/replay.h"

#include <utility>

#include "base/bytes.h"
#include "mirror/marker.h"
#include "pg/frame_rules.h"

namespace mirror {
namespace {

constexpr size_t kFlushBytes = 64 * 1024;
constexpr size_t kFramesBytes = 2048;  // holds a transaction of a few small statements
constexpr std::string_view kNul{"\0", 1};
constexpr std::string_view kNoTypes{"\0\0", 2};
constexpr std::string_view kNoParameters{"\0\0\0\0\0\0", 6};  // formats, values, formats

// INSERT's tag has had an object ID before PostgreSQL 12.
bool SameTag(std::string_view one, std::string_view other) {
  constexpr std::string_view kInsert = "INSERT ";
  if (one.starts_with(kInsert) && other.starts_with(kInsert)) {
    one.remove_prefix(one.rfind(' '));
    other.remove_prefix(other.rfind(' '));
  }
  return one == other;
}

std::string_view EndOf(const Unit& unit) {
  return unit.prepare.empty() ? std::string_view("COMMIT") : unit.prepare.view();
}

}  // namespace

void Replay::SendAlone(const Unit& unit, std::string_view mark) {
  const Step& step = unit.steps.front();
  if (!mark.empty() || step.extended || !step.pinned_bind.empty()) {
    SendStatement(step);
    SendMark(mark);
    Frame('S', {});
  } else {
    Frame('Q', {step.text.view(), kNul});
    Expect(&step);
    if (step.copy_in) {
      CopyData(step);
    }
  }
  Finish();
}

void Replay::SendBlock(const Unit& unit, std::string_view mark, bool whole) {
  sent_.reserve(unit.steps.size() + 3);  // BEGIN, the mark, COMMIT
  out_.reserve(kFramesBytes);
  Begin(unit);
  for (const Step& step : unit.steps) {
    SendStatement(step);
  }
  End(unit, mark, whole);
}

void Replay::Begin(const Unit& unit) {
  SendText(unit.begin.empty() ? std::string_view("BEGIN") : unit.begin, nullptr);
}

// Those before have been answered, so nothing looks at them any more.
void Replay::AddAll(std::vector<Step> steps) {
  if (answered()) {
    sent_.clear();
    answered_ = 0;
  }
  steps_ = std::move(steps);
  for (const Step& step : steps_) {
    SendStatement(step);
  }
  Frame('H', {});
  Finish();
}

void Replay::Data(std::string_view bytes) {
  Finish();
  connection_->stream().WriteCopy(bytes);
}

void Replay::EndCopy(const Step& step, bool good) {
  if (good) {
    CopyData(step);
  } else {
    Frame('f', {"pgbraid has lost the data", kNul});
  }
}

void Replay::End(const Unit& unit, std::string_view mark, bool whole) {
  SendMark(mark);
  if (whole) {
    SendText(EndOf(unit), nullptr);
  }
  Frame('S', {});
  Finish();
}

void Replay::SendEnd(const Unit& unit) {
  Query(EndOf(unit));
  Finish();
}

// Without a Sync behind it.
void Replay::SendStatement(const Step& step) {
  if (!step.pinned_bind.empty()) {
    SendPinned(step);
  } else if (step.extended) {
    SendBound(step);
  } else {
    SendText(step.text.view(), &step);
  }
}

// With the values that the primary made up.
void Replay::SendPinned(const Step& step) {
  const bool once = Once(step, step.pinned_parse);
  SendParsed(step.pinned_parse.view(), step.pinned_bind.view(), once);
  Execute(&step, 0);
  if (check_ != nullptr) {
    check_->Expect(connection_->machine().last_request(), &step);
  }
}

void Replay::SendBound(const Step& step) {
  if (step.bind.empty()) {
    // What a transaction that was rolled back has left of the name goes first.
    Frame('C', {"S", step.statement, kNul});
    Frame('P', {step.statement, kNul, step.parse.view()});
    return;
  }
  if (Once(step, step.parse)) {
    SendParsed(step.parse.view(), step.bind.view(), true);
    Execute(&step, step.row_limit);
    return;
  }
  const bool by_name = !step.statement.empty();
  const bool parsed = !by_name && !parsed_.empty() && parsed_.view().data() == step.parse.data();
  if (!by_name && !parsed) {
    Frame('P', {kNul, step.parse.view()});
    parsed_ = step.parse;
  }
  Frame('B', {kNul, step.statement, kNul, step.bind.view()});
  Execute(&step, step.row_limit);
}

// True exactly if `parse` is sent once for the connection.
bool Replay::Once(const Step& step, const base::Slice& parse) {
  const bool once = prepared_ != nullptr && step.named && Parsed::Takes(parse.view());
  relies_ = relies_ || once;
  return once;
}

// Up to the Bind. `once`: the unnamed statement stays what it is.
void Replay::SendParsed(std::string_view parse, std::string_view bind, bool once) {
  if (!once) {
    parsed_.Reset();
    Frame('P', {kNul, parse});
    Frame('B', {kNul, kNul, bind});
    return;
  }
  const Parsed::Use use = prepared_->Take(parse);
  if (use.close) {
    Frame('C', {"S", use.name, kNul});
  }
  if (use.parse) {
    Frame('P', {use.name, kNul, parse});
  }
  Frame('B', {kNul, use.name, kNul, bind});
}

// A Query would be answered by itself, and outside of BEGIN would end with a commit of its own.
void Replay::SendText(std::string_view text, const Step* step) {
  parsed_.Reset();
  Frame('P', {kNul, text, kNul, kNoTypes});
  Frame('B', {kNul, kNul, kNoParameters});
  Execute(step, 0);
}

void Replay::SendMark(std::string_view mark) {
  if (mark.empty()) {
    return;
  }
  mark_begin_ = connection_->machine().last_request() + 1;
  SendParsed(marker::MarkParse(), mark, prepared_ != nullptr);
  Execute(nullptr, 0);
  mark_end_ = connection_->machine().last_request() + 1;
}

void Replay::Execute(const Step* step, uint32_t row_limit) {
  std::string limit;
  base::AppendBe32(&limit, row_limit);
  Frame('E', {kNul, limit});
  Expect(step);
  if (step != nullptr && step->copy_in && !step->stored) {
    CopyData(*step);
  }
}

// The frame sent last is answered by a CommandComplete, if all goes well.
void Replay::Expect(const Step* step) {
  sent_.push_back(Sent{connection_->machine().last_request(), step});
}

// The client's frames as they were; the server takes them without having been asked, also where
// its COPY has failed already.
void Replay::CopyData(const Step& step) {
  Finish();
  for (const base::Slice& data : step.copy) {
    connection_->stream().Write(data);
  }
  Frame('c', {});
}

void Replay::Query(std::string_view text) {
  parsed_.Reset();
  Frame('Q', {text, kNul});
  Expect(nullptr);
}

void Replay::Frame(char type, std::initializer_list<std::string_view> body) {
  size_t length = 0;
  for (const std::string_view part : body) {
    length += part.size();
  }
  if (length + 4 > pg::kLargeMessageLimit) {
    failed_ = true;
  }
  if (failed_) {
    return;
  }
  const size_t begin = out_.size();
  out_ += type;
  base::AppendBe32(&out_, static_cast<uint32_t>(length + 4));
  for (const std::string_view part : body) {
    out_ += part;
  }
  pg::Piece piece;
  piece.type = type;
  piece.first = piece.last = true;
  piece.body_length = static_cast<uint32_t>(length);
  piece.bytes = std::string_view(out_).substr(begin);
  piece.body = piece.bytes.substr(pg::kHeaderBytes);
  if (connection_->machine().OnRequest(piece, 0) != turn::RequestResult::kOk) {
    failed_ = true;
    return;
  }
  connection_->TraceRequest(piece);
  if (out_.size() >= kFlushBytes) {
    Finish();
  }
}

void Replay::Finish() {
  if (!out_.empty()) {
    connection_->stream().WriteCopy(out_);
    out_.clear();
  }
}

void Replay::OnNotes(std::span<const backend::Note> notes) {
  for (const backend::Note& note : notes) {
    if (note.kind == turn::ReplyKind::kFailed) {
      OnFailed(note);
    } else if (note.kind == turn::ReplyKind::kCompleted) {
      OnCompleted(note);
    }
  }
}

const Replay::Sent* Replay::Next(turn::RequestId up_to) const {
  const bool any = answered_ < sent_.size() && sent_[answered_].request <= up_to;
  return any ? &sent_[answered_] : nullptr;
}

void Replay::OnFailed(const backend::Note& note) {
  for (const Sent* sent; (sent = Next(note.request - 1)) != nullptr && sent->step != nullptr;) {
    ++answered_;
  }
  const Step* const step = answered_ < sent_.size() ? sent_[answered_].step : nullptr;
  if (step != nullptr && step->fails() && step->tag.substr(1) == note.text) {
    return;  // as on the primary
  }
  if (sqlstate_.empty()) {
    sqlstate_ = note.text.empty() ? "XX000" : note.text;
    was_ = step == nullptr ? "COMMIT" : step->tag;
    is_ = sqlstate_;
    mark_failed_ = mark_begin_ <= note.request && note.request < mark_end_;
  }
  for (const Sent* sent; (sent = Next(note.request)) != nullptr; ++answered_) {
    if (sent->step == nullptr) {
      tags_.emplace_back();
    }
  }
}

// A frame before it that had no answer of its own has failed, or was swallowed.
void Replay::OnCompleted(const backend::Note& note) {
  while (Next(note.request - 1) != nullptr) {
    ++answered_;
  }
  if (Next(note.request) == nullptr) {
    return;
  }
  const Step* const step = sent_[answered_++].step;
  if (step == nullptr) {
    tags_.push_back(note.text);
  } else if (!step->tag.empty() && !SameTag(step->tag, note.text)) {
    if (!differs_ && sqlstate_.empty()) {
      was_ = step->tag;
      is_ = note.text;
    }
    differs_ = true;
  }
}

}  // namespace mirror
