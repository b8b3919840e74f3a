#include "unit/mirror/converse.h"

#include <algorithm>

#include "base/check.h"
#include "mirror/mirror_metrics.h"
#include "mirror/trace.h"
#include "pg/builders.h"
#include "pg/views.h"
#include "support/pg_messages.h"

namespace mirror {
namespace {

pg::Piece Whole(std::string_view frame) {
  pg::Piece piece;
  piece.type = frame[0];
  piece.first = piece.last = true;
  piece.body_length = static_cast<uint32_t>(frame.size() - pg::kHeaderBytes);
  piece.bytes = frame;
  piece.body = frame.substr(pg::kHeaderBytes);
  return piece;
}

std::string Text(const Step& step) {
  std::string text(TextOf(step));
  if (step.extended && step.bind.empty()) {
    text += " as " + step.statement;
  } else if (step.extended) {
    text += step.statement.empty() ? " <" : text.empty() ? step.statement + " <" : " <";
    // The Bind's body behind its names: no formats, one value, no result formats.
    std::string_view rest = step.bind.view().substr(4);
    text += std::string(pg::NextValue(&rest).value_or(pg::Value{}).bytes) + ">";
    if (step.row_limit != 0) {
      text += " rows " + std::to_string(step.row_limit);
    }
  }
  if (step.copy_in) {
    size_t bytes = 0;
    for (const base::Slice& data : step.copy) {
      bytes += data.size();
    }
    text += " + " + std::to_string(bytes) + " bytes";
  }
  return text;
}

// As they come when the frame is longer than what was read at once.
std::vector<pg::Piece> PiecesOf(std::string_view frame, size_t count) {
  std::vector<pg::Piece> pieces;
  const size_t step = (frame.size() + count - 1) / count;
  for (size_t at = 0; at < frame.size(); at += step) {
    pg::Piece& piece = pieces.emplace_back(Whole(frame));
    piece.first = at == 0;
    piece.bytes = frame.substr(at, step);
    piece.last = at + piece.bytes.size() == frame.size();
    piece.body = piece.first ? piece.bytes.substr(pg::kHeaderBytes) : piece.bytes;
  }
  return pieces;
}

}  // namespace

void Shelf::Offer(Unit unit, Cause lost) {
  raw.push_back(unit);
  if (lost != Cause::kNone) {
    units.push_back("dropped " + std::string(Name(lost)));
    return;
  }
  std::string text;
  for (const Step& step : unit.steps) {
    text += (text.empty() ? "" : "; ") + Text(step);
  }
  if (!unit.prepare.empty()) {
    text += "; " + std::string(unit.prepare.view());
  }
  units.push_back(text);
}

Converse::Converse(base::Limits of, int64_t budget, const config::Config& given, size_t mirrors,
                   uint64_t session)
    : RecordingShard(of, budget, given),
      shelves(mirrors),
      shelf(shelves.front()),
      metrics(mirrors),
      machine(1 << 20, 1) {
  RecorderTools tools = Tools();
  tools.session = session;
  tools.statements_alone = config.mirror_statements_alone;
  if (config.mirror_choices.generated == config::Generated::kPin) {
    tools.learning = Learning::kKept;
  } else if (config.mirror_choices.generated == config::Generated::kTolerate) {
    tools.learning = Learning::kCounted;
  }
  std::vector<Route> routes;
  for (size_t i = 0; i < mirrors; ++i) {
    routes.push_back(Route{&shelves[i], filters.FilterOf(i), &metrics[i]});
  }
  recorder = std::make_unique<Recorder>(tools, routes);
  static_cast<void>(machine.OnReply(Whole(support::Frame('R', support::Be32(0)))));
  static_cast<void>(machine.OnReply(Whole(support::Frame('Z', "I"))));
}

Converse::~Converse() = default;

Converse& Converse::Send(std::string_view frame, size_t pieces) {
  for (const pg::Piece& piece : PiecesOf(frame, pieces)) {
    if (piece.first) {
      CHECK(machine.OnRequest(piece, 1) == turn::RequestResult::kOk);
    }
    recorder->OnRequest(machine.last_request(), piece);
  }
  return *this;
}

Converse& Converse::Query(std::string_view text) {
  return Send(support::Frame('Q', support::CString(text)));
}
Converse& Converse::Parse(std::string_view name, std::string_view text) {
  return Send(support::Frame('P', support::CString(name) + support::CString(text) +
                                      support::Be16(0)));
}
Converse& Converse::Bind(std::string_view portal, std::string_view name, std::string_view value) {
  return Send(support::Frame('B', support::CString(portal) + support::CString(name) +
                                      support::Be16(0) + support::Be16(1) +
                                      support::Value(value) + support::Be16(0)));
}
Converse& Converse::Execute(std::string_view portal, uint32_t rows) {
  return Send(support::Frame('E', support::CString(portal) + support::Be32(rows)));
}
Converse& Converse::CloseStatement(std::string_view name) {
  return Send(support::Frame('C', "S" + support::CString(name)));
}
Converse& Converse::Sync() { return Send(support::Frame('S', "")); }
Converse& Converse::CopyData(std::string_view bytes) { return Send(support::Frame('d', bytes)); }
Converse& Converse::CopyDone() { return Send(support::Frame('c', "")); }
Converse& Converse::OneShot(std::string_view text) {
  return Parse("", text).Bind("", "").Execute();
}

Converse& Converse::Answered(char type, std::string_view body) {
  const std::string frame = support::Frame(type, body);
  recorder->OnAnswered(Whole(frame));
  return *this;
}

Converse& Converse::Part(std::string_view frame, size_t pieces) {
  const turn::Reply reply = machine.OnReply(Whole(frame));
  CHECK(reply.kind == turn::ReplyKind::kPassing);
  for (const pg::Piece& piece : PiecesOf(frame, pieces)) {
    if (recorder->listening()) {
      recorder->OnPart(reply.request, piece);
    }
  }
  return *this;
}

Converse& Converse::Report(std::string_view setting) {
  backend::Note note;
  note.kind = turn::ReplyKind::kAsync;
  note.text = setting;
  recorder->OnNote(note);
  return *this;
}

Converse& Converse::Reply(std::string_view script) {
  while (!script.empty()) {
    const std::string_view part = script.substr(0, script.find('|'));
    script.remove_prefix(std::min(script.size(), part.size() + 1));
    const std::string_view value = part.size() > 2 ? part.substr(2) : std::string_view();
    switch (part[0]) {
      case 'C':
        Answer(support::CommandComplete(value));
        break;
      case 'Z':
        Answer(support::Frame('Z', value));
        break;
      case 'E':
        Answer(support::Frame('E', "SERROR" + std::string(1, '\0') + "VERROR" +
                                       std::string(1, '\0') + "C" + support::CString(value) +
                                       std::string(1, '\0')));
        break;
      case 'G':
        Answer(support::CopyResponse('G', 1));
        break;
      default:
        Answer(support::Frame(part[0], ""));
    }
  }
  return *this;
}

void Converse::Answer(std::string_view frame) {
  const pg::Piece piece = Whole(frame);
  const turn::Reply reply = machine.OnReply(piece);
  CHECK(reply.kind != turn::ReplyKind::kMismatch);
  backend::Note note;
  note.kind = reply.kind;
  note.request = reply.request;
  note.status = machine.status();
  if (reply.kind == turn::ReplyKind::kCompleted) {
    note.text = pg::ReadCommandTag(piece.body).value_or("");
  } else if (reply.kind == turn::ReplyKind::kFailed) {
    note.text = pg::ReadError(piece.body).sqlstate;
  } else if (reply.kind == turn::ReplyKind::kPassing) {
    return;
  }
  recorder->OnNote(note);
}

Converse& Converse::Ask(std::string_view text, std::string_view tags, char status) {
  Query(text);
  while (!tags.empty()) {
    const std::string_view tag = tags.substr(0, tags.find(','));
    tags.remove_prefix(std::min(tags.size(), tag.size() + 1));
    Reply(tag[0] == '!' ? "E:" + std::string(tag.substr(1)) : "C:" + std::string(tag));
  }
  return Reply(std::string("Z:") + status);
}

}  // namespace mirror
