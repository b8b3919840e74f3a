#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "mirror/recorder.h"
#include "mirror/trace.h"

namespace mirror {
namespace {

constexpr size_t kNamingBytes = 4096;    // kept of a statement's text that is lost
constexpr std::string_view kFailedTag = "!";  // and its SQLSTATE: the tag of a Step that failed

// Of a statement that was to commit by itself and found that it could not: it has done nothing.
constexpr std::string_view kInATransaction = "25001";

// Due to the moment, not to the statement: the mirror would not answer so.
bool Passes(std::string_view sqlstate) {
  for (const std::string_view of : {"08", "40", "53", "55", "57", "58", "XX", "F0"}) {
    if (sqlstate.starts_with(of)) {
      return true;
    }
  }
  return false;
}

template <typename Item>
uint32_t WantedOf(std::span<Item> items) {
  uint32_t wanted = 0;
  for (const Item& item : items) {
    wanted |= item.wanted;
  }
  return wanted;
}

void Uncount(Names<uint32_t>* names, const std::string& name) {
  uint32_t* const count = names->Find(name);
  CHECK(count != nullptr);
  if (--*count == 0) {
    names->Erase(name);
  }
}

}  // namespace

void Recorder::OnNote(const backend::Note& note) {
  switch (note.kind) {
    case turn::ReplyKind::kCompleted:
    case turn::ReplyKind::kSuspended:
    case turn::ReplyKind::kEmpty:
      OnDone(note);
      break;
    case turn::ReplyKind::kFailed:
      OnFailed(note);
      break;
    case turn::ReplyKind::kReady:
      OnReady(note);
      break;
    case turn::ReplyKind::kAsync:
      SetLexing(note.text.substr(0, note.text.find('=')),
                note.text.substr(note.text.find('=') + 1));
      break;
    case turn::ReplyKind::kPassing:
    case turn::ReplyKind::kMismatch:
      break;
  }
}

// -- requests -------------------------------------------------------------------------------------

// Those before `before` have succeeded, unless an error made the server swallow them.
void Recorder::Confirm(turn::RequestId before) {
  while (!requests_.empty() && requests_.front().id < before) {
    if (!skipping_) {
      Apply(&requests_.front());
    }
    PopFront();
  }
}

void Recorder::PopFront() {
  const Request& request = requests_.front();
  if (request.act == Act::kParse) {
    Uncount(&parses_, request.name);
  } else if (request.act == Act::kBind) {
    Uncount(&binds_, request.name);
  }
  works_ -= request.works ? 1 : 0;
  if (request.returns) {
    StopListening();
  }
  if (request.stamp != 0) {
    --reserved_;
    for (const View& view : views_) {
      for (const Route& route : view.routes) {
        route.target->Release(request.stamp);
      }
    }
  }
  requests_.pop_front();
}

void Recorder::Apply(Request* request) {
  switch (request->act) {
    case Act::kParse: {
      Prepared& prepared = statements_[request->name];
      prepared.parse = std::move(request->kept);
      prepared.facts = std::move(request->facts);
      prepared.reading = Reading();
      break;
    }
    case Act::kBind:
      ApplyBind(request);
      break;
    case Act::kForgetStatement:
      statements_.Erase(request->name);
      sql_prepared_.erase(request->name);
      break;
    case Act::kForgetPortal:
      portals_.Erase(request->name);
      break;
    case Act::kQuery:
    case Act::kExecute:
    case Act::kFunctionCall:
    case Act::kDescribeStatement:
    case Act::kDescribePortal:
      break;  // have answers of their own
  }
}

void Recorder::ApplyBind(Request* request) {
  const Prepared* const prepared = statements_.Find(request->statement);
  Portal portal;
  portal.bind = std::move(request->kept);
  if (prepared != nullptr) {
    portal.parse = prepared->parse.bytes;
    portal.named = !request->statement.empty();
    portal.reading = prepared->reading;
    portal.facts = prepared->facts;
    portal.described.bytes = prepared->described.bytes;
    if (prepared->parse.lost != Cause::kNone) {
      portal.bind.lost = prepared->parse.lost;
    }
  } else if (const auto in_sql = sql_prepared_.find(request->statement);
             in_sql != sql_prepared_.end()) {
    portal.statement = request->statement;
    portal.facts = in_sql->second;
  } else {
    portals_.Erase(request->name);
    return;
  }
  portals_[request->name] = std::move(portal);
}

// -- answers --------------------------------------------------------------------------------------

void Recorder::OnDone(const backend::Note& note) {
  Confirm(note.request);
  if (requests_.empty() || requests_.front().id != note.request) {
    OnUnfollowed(note);
    return;
  }
  Time();
  Request& request = requests_.front();
  if (request.act == Act::kExecute) {
    if (note.kind != turn::ReplyKind::kEmpty) {
      OnExecuteDone(&request, note);
    }
    PopFront();
  } else if (note.kind == turn::ReplyKind::kCompleted) {
    OnQueryDone(&request, note.text);
  }
}

// How long the first request's answer took. The server does one thing after the other.
void Recorder::Time() {
  const base::Instant now = tools_.loop->now();
  took_ = now - std::max(requests_.front().sent, answered_at_);
  answered_at_ = now;
}

// What only reads, or is each server's own business. VACUUM and its like commit what came before
// them.
void Recorder::OnUnfollowed(const backend::Note& note) {
  if (note.kind == turn::ReplyKind::kCompleted) {
    LeftOut(0);
  }
  if (note.kind == turn::ReplyKind::kCompleted && transaction_.pending() > 0) {
    OnUnit(transaction_.Completed(0, sql::Statement(), note.text), base::Slice(), Cause::kNone);
  }
}

// The k-th CommandComplete belongs to the k-th statement.
void Recorder::OnQueryDone(Request* request, std::string_view tag) {
  if (request->unsure && request->completed == 0 && request->lex != lex_ &&
      request->kept.lost == Cause::kNone) {
    const std::string_view text = request->kept.bytes.view();
    request->parts.clear();
    ReadParts(text, tools_.cache->Classify(text, lex_), &request->parts);
  }
  if (request->completed >= request->parts.size()) {
    return;
  }
  const Part& part = request->parts[request->completed++];
  Item item = MakeItem(*request, part);
  if (Wanted(part.facts, tag, item.lost) != 0) {
    item.charge = std::move(request->kept.charge);  // the first one carries it for all
  }
  if (part.facts.copy_in) {
    TakeCopy(request, &item);
  }
  Learn(part.facts, *request, &item);
  item.alone = request->parts.size() == 1 && (part.facts.commits || part.facts.may_commit);
  Completed(std::move(item), part.facts, tag);
}

void Recorder::TakeCopy(Request* request, Item* item) {
  item->step.copy_in = true;
  if (request->copies_taken < request->copies.size()) {
    Copied& copied = request->copies[request->copies_taken++];
    item->step.copy = std::move(copied.data);
    item->step.stored = std::move(copied.stored);
  }
}

void Recorder::OnExecuteDone(Request* request, const backend::Note& note) {
  Portal* const portal = portals_.Find(request->name);
  if (portal == nullptr) {
    OnUnfollowed(note);
    return;
  }
  if (portal->item != 0) {
    ExecutedAgain(*request, *portal, note);
    return;
  }
  Item item = MakeItem(request, portal);
  item.alone = portal->facts.commits || portal->facts.may_commit;
  if (note.kind == turn::ReplyKind::kSuspended) {
    item.step.row_limit = request->row_limit;
  }
  Learn(portal->facts, *request, &item);
  const sql::Statement facts = portal->facts;  // DISCARD ALL and its like end the portal
  const uint64_t serial = Completed(std::move(item), facts, note.text);
  if (Portal* const still = portals_.Find(request->name)) {
    still->item = serial;
  }
}

Recorder::Item Recorder::MakeItem(const Request& request, const Part& part) {
  Item item;
  item.seen = request.seen;
  item.step.sent = request.sent;
  item.lost = request.kept.lost;
  if (!request.kept.bytes.empty()) {
    item.step.text = request.kept.bytes.Sub(part.begin, part.length);
  }
  return item;
}

Recorder::Item Recorder::MakeItem(Request* request, Portal* portal) {
  Item item;
  item.seen = request->seen;
  item.step.sent = request->sent;
  item.step.extended = true;
  item.step.parse = portal->parse;
  item.step.named = portal->named;
  item.step.statement = portal->statement;
  item.step.bind = portal->bind.bytes;
  item.charge = std::move(portal->bind.charge);
  item.lost = portal->bind.lost;
  if (item.lost == Cause::kNone && !item.charge.Take(tools_.held, portal->parse.size())) {
    item.lost = Cause::kOverBudget;
  }
  if (item.lost == Cause::kNone && !portal->parse.empty() && !portal->facts.commits &&
      !portal->facts.may_commit) {
    AddReading(portal->reading, &item);
  }
  if (portal->facts.copy_in) {
    if (request->kept.lost != Cause::kNone) {
      item.lost = request->kept.lost;
    } else if (!item.charge.Take(tools_.held, request->kept.charge.bytes())) {
      item.lost = Cause::kOverBudget;
    }
    request->kept.charge.Release();
    TakeCopy(request, &item);
  }
  return item;
}

// A portal that was suspended goes on: the mirror fetches as many rows in one Execute.
void Recorder::ExecutedAgain(const Request& request, const Portal& portal,
                             const backend::Note& note) {
  const auto item = std::find_if(items_.rbegin(), items_.rend(), [&](const Item& other) {
    return other.serial == portal.item;
  });
  if (item == items_.rend() || item->step.row_limit == 0) {
    return;
  }
  if (note.kind == turn::ReplyKind::kCompleted) {
    item->step.row_limit = 0;
  } else {
    item->step.row_limit += request.row_limit;
  }
}

void Recorder::OnFailed(const backend::Note& note) {
  if (note.request == 0) {
    return;  // nobody's: the connection ends
  }
  Confirm(note.request);
  skipping_ = true;
  if (!requests_.empty() && requests_.front().id == note.request) {
    OnPartlyDone(&requests_.front(), note.text);
    PopFront();
  }
  if (!transaction_.in_block()) {
    const auto last = std::find_if(items_.rbegin(), items_.rend(),
                                   [](const Item& item) { return item.alone; });
    OfferInDoubt(std::span<Item>(items_).first(static_cast<size_t>(items_.rend() - last)));
  }
  OnUnit(transaction_.Failed(), base::Slice(), Cause::kNone);
}

// What failed outside of a transaction block and may have committed some of its work before. Where
// it would fail on the mirror in the same way it goes there, and is expected to; else nobody knows
// what it has done.
void Recorder::OnPartlyDone(Request* request, std::string_view sqlstate) {
  Item item;
  const sql::Statement* facts = nullptr;
  if (request->act == Act::kQuery && request->parts.size() == 1 && request->completed == 0) {
    facts = &request->parts.front().facts;
    item = MakeItem(*request, request->parts.front());
    item.charge = std::move(request->kept.charge);
  } else if (Portal* const portal = portals_.Find(request->name);
             request->act == Act::kExecute && portal != nullptr) {
    facts = &portal->facts;
    if (facts->commits || facts->may_commit) {
      item = MakeItem(request, portal);
    }
  }
  const bool may = facts != nullptr && (facts->commits || facts->may_commit);
  if (!may || transaction_.in_block() || (facts->commits && sqlstate == kInATransaction)) {
    return;
  }
  item.wanted = Wanted(*facts, "", item.lost);
  if (item.wanted == 0) {
    return;
  }
  item.step.tag = std::string(kFailedTag) + std::string(sqlstate);
  item.step.trace = Trace::kHeld;
  if (Passes(sqlstate) || !items_.empty()) {
    item.alone = true;
    AddItem(std::move(item));
    OfferInDoubt(items_);
    transaction_.Keep(last_serial_);
    return;
  }
  Unit alone;
  alone.commits = true;
  OfferItems(std::span<Item>(&item, 1), alone, Cause::kNone);
}

// Nobody knows what became of them; what the transaction does later does not matter any more.
void Recorder::OfferInDoubt(std::span<Item> items) {
  if (WantedOf(items) == 0) {
    return;
  }
  for (Item& item : items) {
    items_bytes_ -= item.charge.bytes();
    item.lost = Cause::kOutcomeUnknown;
  }
  OfferItems(items, Unit(), Cause::kNone);
  for (Item& item : items) {
    item.wanted = 0;
  }
}

void Recorder::OnReady(const backend::Note& note) {
  reading_unsure_ = false;
  Confirm(note.request);
  if (!requests_.empty() && requests_.front().id == note.request) {
    if (requests_.front().act == Act::kFunctionCall && !skipping_) {
      Item item;
      item.seen = requests_.front().seen;
      item.step.sent = requests_.front().sent;
      item.lost = Cause::kFunctionCall;
      item.wanted = Wanted(sql::Statement(), "", Cause::kNone);
      LeftOut(item.wanted);
      const uint64_t place = item.wanted == 0 ? 0 : AddItem(std::move(item));
      OnUnit(transaction_.Completed(place, sql::Statement(), ""), base::Slice(), Cause::kNone);
    }
    PopFront();
  }
  skipping_ = false;
  took_ = absl::ZeroDuration();
  OnUnit(transaction_.Ready(note.status), base::Slice(), Cause::kNone);
  if (note.status == 'I') {
    portals_.Clear();  // they end with their transaction
    OnTransactionOver();
  }
}

// -- items ----------------------------------------------------------------------------------------

// The serial of the item it made, or 0.
uint64_t Recorder::Completed(Item&& item, const sql::Statement& facts, std::string_view tag) {
  const sql::Statement& meant = Meant(facts);
  const Kind kind = KindOf(meant);
  MarkTrace(meant, tag, &item.step);
  item.wanted = Wanted(facts, tag, item.lost);
  item.kept = kind == Kind::kState || kind == Kind::kLock || kind == Kind::kPrepared ||
              meant.temporary || meant.session_lock || tag == "LISTEN" || tag == "UNLISTEN";
  const bool perhaps = facts.cursor && OnCursor(facts, tag, &item);
  if (kind != Kind::kControl) {
    LeftOut(item.wanted);
  }
  if (kind == Kind::kOneServer) {
    for (const View& view : views_) {
      for (const Route& route : view.routes) {
        route.metrics->outside_statements.Add();
      }
    }
  }
  item.step.tag = tag;
  item.took = took_;
  item.step.answered = tools_.loop->now();
  block_.Note(facts, tag, TextOf(item.step), lex_, transaction_.in_block());
  base::Slice prepare;
  if (facts.control == sql::Control::kPrepare && item.lost == Cause::kNone) {
    const std::string_view text = TextOf(item.step);
    const base::Slice& from = item.step.extended ? item.step.parse : item.step.text;
    prepare = from.Sub(0, static_cast<uint32_t>(text.size()));
  }
  if (facts.effect == sql::Effect::kSession) {
    OnSession(facts, tag, TextOf(item.step));
  }
  AddPrepared(facts, &item);
  OnUnit(transaction_.Committing(facts, tag), base::Slice(), Cause::kNone);
  const Cause lost = item.lost;
  const uint64_t serial = item.wanted != 0 || perhaps ? AddItem(std::move(item)) : 0;
  const turn::Unit* const unit = transaction_.Completed(serial, facts, tag);
  OnUnit(unit, prepare, lost);
  block_.OnEnd(facts.chain);
  if (unit == nullptr && tag == "PREPARE TRANSACTION") {
    Unit sent;  // COMMIT PREPARED, perhaps of another session, asks for it
    sent.place.is_explicit = true;
    sent.prepare = prepare;
    OfferItems({}, sent, lost);
  }
  return serial;
}

// EXECUTE is what was prepared, patterns and all.
const sql::Statement& Recorder::Meant(const sql::Statement& facts) const {
  if (facts.effect != sql::Effect::kExecute) {
    return facts;
  }
  if (const auto in_sql = sql_prepared_.find(facts.name); in_sql != sql_prepared_.end()) {
    return in_sql->second;
  }
  const Prepared* const prepared = statements_.Find(facts.name);
  return prepared == nullptr ? facts : prepared->facts;
}

// The filters that want a statement that succeeded.
uint32_t Recorder::Wanted(const sql::Statement& facts, std::string_view tag, Cause lost) const {
  if (tag == "DEALLOCATE" && statements_.Contains(facts.name)) {
    return 0;  // the mirror does not have the names of Parse
  }
  const sql::Statement& meant = Meant(facts);
  Kind kind = KindOf(meant);
  if (kind == Kind::kUnknown && lost != Cause::kNone) {
    kind = KindOfTag(tag);
  }
  // All that PREPARE has made is known, and all of Parse that anybody wants: the rest reads.
  if (meant.effect == sql::Effect::kExecute && !sql_prepared_missed_ &&
      KindOfTag(tag) == Kind::kRead) {
    kind = Kind::kRead;
  }
  return tools_.filters->Wanting(kind, meant.marks) & present_;
}

// A statement has succeeded that only `wanted` will get.
void Recorder::LeftOut(uint32_t wanted) {
  if (wanted == present_) {
    return;
  }
  for (const View& view : views_) {
    if ((view.bit & wanted) != 0) {
      continue;
    }
    for (const Route& route : view.routes) {
      route.metrics->filtered_statements.Add();
    }
  }
}

// What it leaves behind is told all the same, with its tag, and, if its text is not long, which
// tables it writes.
void Recorder::LoseStep(Item* item) {
  const std::string_view text = TextOf(item->step);
  Step lost;
  lost.trace = item->step.trace == Trace::kSet ? Trace::kLost : item->step.trace;
  lost.tag = std::move(item->step.tag);
  item->charge.Release();
  const int64_t bytes = static_cast<int64_t>(text.size()) + recording::kStepBytes;
  const bool names = !text.empty() && text.size() <= kNamingBytes;
  if (names && item->charge.Take(tools_.held, bytes)) {
    lost.text = base::Slice::CopyOf(text);
  }
  item->step = std::move(lost);
  item->around.reset();
}

// Its serial, by which the transaction knows it.
uint64_t Recorder::AddItem(Item&& item) {
  item.serial = ++last_serial_;
  if (items_.empty()) {
    began_ = tools_.loop->now();
  }
  if (HasMuch(item.charge.bytes())) {
    Unload();
  }
  ++loose_;
  if (item.lost == Cause::kNone && !Hold(&item.charge, tools_.held, recording::kStepBytes)) {
    item.lost = Cause::kOverBudget;
  }
  if (item.lost == Cause::kNone &&
      items_bytes_ + item.charge.bytes() > tools_.limits->mirror_transaction_max) {
    item.lost = Cause::kTooLarge;
  }
  if (item.lost != Cause::kNone) {
    LoseStep(&item);
  }
  items_bytes_ += item.charge.bytes();
  items_.push_back(std::move(item));
  return last_serial_;
}

// -- units ----------------------------------------------------------------------------------------

void Recorder::OnUnit(const turn::Unit* unit, const base::Slice& prepare, Cause lost) {
  if (unit == nullptr) {
    return;
  }
  const auto first = std::lower_bound(
      items_.begin(), items_.end(), unit->items.front(),
      [](const Item& item, uint64_t serial) { return item.serial < serial; });
  const std::span<Item> items(first, items_.end());
  for (const Item& item : items) {
    items_bytes_ -= item.charge.bytes();
  }
  Unit sent;
  sent.place.is_explicit = unit->explicit_block;
  sent.took = took_;
  if (unit->explicit_block) {
    sent.begin = block_.begin();
    sent.read_only = block_.read_only();
  }
  std::vector<Item> stay;
  switch (unit->fate) {
    case turn::Fate::kCommitted:
      OfferRuns(items, sent);
      break;
    case turn::Fate::kPrepared:
      sent.prepare = prepare;
      OfferItems(items, sent, lost);
      break;
    case turn::Fate::kDiscarded:
      if (unit->to_savepoint) {
        std::copy_if(std::move_iterator(items.begin()), std::move_iterator(items.end()),
                     std::back_inserter(stay), [&](const Item& item) {
                       return HoldsThroughRollback(item, items.front().serial);
                     });
      } else {
        OfferSurvivors(items);
      }
      break;
    case turn::Fate::kUnknown:
      OfferLost(Cause::kOutcomeUnknown, WantedOf(items));
      break;
  }
  items_.erase(first, items_.end());
  for (Item& item : stay) {
    items_bytes_ += item.charge.bytes();
    transaction_.Keep(item.serial);
    items_.push_back(std::move(item));
  }
  if (items_.empty()) {
    overflow_.Reset();  // the next transaction has a file of its own
    loose_ = 0;
    stuck_bytes_ = 0;
  }
}

}  // namespace mirror
