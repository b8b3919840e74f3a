#include "mirror/recorder.h"
#include "pg/views.h"

namespace mirror {

// Of what the client sends: whether the rows of its answer are of use.
bool Recorder::Listens(const sql::Statement& facts) const {
  return tools_.learning == Learning::kKept && facts.returning &&
         facts.effect == sql::Effect::kWrite;
}

void Recorder::ListenTo(Request* request) {
  request->returns = true;
  ++heard_.requests;
  hears_parts_ = true;
}

// One of them goes, and what its answer has left.
void Recorder::StopListening() {
  --heard_.requests;
  hears_parts_ = heard_.requests > 0;
  heard_.in_part = false;
  heard_.rows.Clear();
}

void Recorder::OnDescribe(turn::RequestId id, std::string_view body) {
  const std::optional<pg::TargetView> view = pg::ReadTarget(body);
  if (!view.has_value() || (view->kind != 'S' && view->kind != 'P')) {
    return;
  }
  const bool statement = view->kind == 'S';
  const sql::Statement* const facts =
      statement ? FactsOf(view->name) : FactsOfPortal(view->name);
  if (facts == nullptr || !Listens(*facts)) {
    return;
  }
  Request& request = Push(id, statement ? Act::kDescribeStatement : Act::kDescribePortal);
  request.name = view->name;
  ListenTo(&request);
}

// A part of an answer tells that what was asked before has been answered.
void Recorder::OnPart(turn::RequestId request, const pg::Piece& piece) {
  if (piece.first) {
    heard_.in_part = false;
    if (piece.type != 'T' && piece.type != 'D') {
      return;
    }
    Confirm(request);
    if (requests_.empty() || requests_.front().id != request || !requests_.front().returns) {
      return;
    }
    const Request& front = requests_.front();
    const bool query = front.act == Act::kQuery;
    heard_.in_part = !query || (front.completed < front.parts.size() &&
                                Listens(front.parts[front.completed].facts));
  }
  if (!heard_.in_part) {
    return;
  }
  heard_.rows.Add(piece, tools_.held);
  std::string described;
  const bool whole = piece.last && requests_.front().act != Act::kQuery;
  if (whole && heard_.rows.TakeDescription(&described)) {
    OnDescribed(requests_.front(), described);
    heard_.rows.Clear();
  }
  heard_.in_part = heard_.in_part && !piece.last;
}

void Recorder::OnDescribed(const Request& request, std::string_view body) {
  Kept* kept = nullptr;
  if (request.act == Act::kDescribeStatement) {
    Prepared* const prepared = statements_.Find(request.name);
    kept = prepared == nullptr ? nullptr : &prepared->described;
  } else if (request.act == Act::kDescribePortal) {
    Portal* const portal = portals_.Find(request.name);
    kept = portal == nullptr ? nullptr : &portal->described;
  }
  if (kept != nullptr && kept->bytes.empty()) {
    Keep(kept, body, tools_.names);
  }
}

// Of a statement that has succeeded: what it has returned goes with it, or why it does not.
void Recorder::Learn(const sql::Statement& facts, const Request& request, Item* item) {
  const sql::Statement& meant = Meant(facts);
  Step& step = item->step;
  if (tools_.learning == Learning::kOff || !meant.returning ||
      meant.effect != sql::Effect::kWrite || item->lost != Cause::kNone) {
    return;
  }
  if (tools_.learning == Learning::kCounted) {
    step.unpinned = Unpinned::kTolerated;
    return;
  }
  if (&meant != &facts) {
    step.unpinned = Unpinned::kShape;  // EXECUTE
    return;
  }
  if (step.row_limit != 0) {
    step.unpinned = Unpinned::kRows;  // there are more
    return;
  }
  const Portal* const portal = portals_.Find(request.name);
  const bool described = request.act == Act::kExecute && portal != nullptr;
  step.unpinned = heard_.rows.Take(
      described ? portal->described.bytes.view() : std::string_view(), lex_, &step.returned);
  if (step.returned.empty() || item->charge.Take(tools_.held, PinBytes(step))) {
    return;
  }
  step.returned.Reset();
  step.unpinned = Unpinned::kTooLarge;
}

}  // namespace mirror
