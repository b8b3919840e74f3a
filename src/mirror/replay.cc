#include "mirror/replay.h"

#include "base/bytes.h"
#include "pg/frame_rules.h"

namespace mirror {
namespace {

constexpr size_t kFlushBytes = 64 * 1024;
constexpr std::string_view kNul{"\0", 1};

}  // namespace

void Replay::Send(const Unit& unit) {
  const bool block = unit.steps.size() > 1 || !unit.prepare.empty();
  if (block) {
    Query("BEGIN");
  }
  for (const Step& step : unit.steps) {
    SendStep(step);
  }
  if (block) {
    Query(unit.prepare.empty() ? std::string_view("COMMIT") : unit.prepare.view());
  }
  Finish();
}

void Replay::SendStep(const Step& step) {
  if (step.extended) {
    SendExtended(step);
    return;
  }
  Query(step.text.view());
  if (step.copy_in) {
    CopyData(step);
  }
}

void Replay::SendExtended(const Step& step) {
  const bool named = step.parse.empty();
  const bool parsed = !named && !parsed_.empty() && parsed_.view().data() == step.parse.data();
  if (!named && !parsed) {
    Frame('P', {kNul, step.parse.view()});
    parsed_ = step.parse;
  }
  Frame('B', {kNul, step.statement, kNul, step.bind.view()});
  std::string limit;
  base::AppendBe32(&limit, step.row_limit);
  Frame('E', {kNul, limit});
  if (step.copy_in) {
    CopyData(step);
  }
  Frame('S', {});
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
  parsed_.Reset();  // a simple Query ends the unnamed statement
  Frame('Q', {text, kNul});
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
    if (note.kind == turn::ReplyKind::kFailed && sqlstate_.empty()) {
      sqlstate_ = note.text.empty() ? "XX000" : note.text;
    }
  }
}

}  // namespace mirror
