#include "mirror/recorder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "pg/body_reader.h"
#include "pg/views.h"
#include "sql/split.h"

namespace mirror {
namespace {

// What a kept frame costs beside its bytes: its place in the queues, roughly.
constexpr int64_t kOverheadBytes = 128;
constexpr uint32_t kItemsMax = 1 << 17;
// Of a frame that cannot be kept: enough for the names at its start, which PostgreSQL cuts at 63.
constexpr size_t kLostPrefixBytes = 160;
constexpr uint32_t kCopyBlockFirst = 8 * 1024;
constexpr uint32_t kCopyBlockMax = 128 * 1024;

bool IsKept(char type) {
  return type == 'Q' || type == 'P' || type == 'B' || type == 'E' || type == 'C';
}

// The server finds out for itself what a parameter is whose type is 0.
constexpr size_t kTypeBytes = 4;

bool IsOwnType(const char* type) { return base::LoadBe32(type) >= pg::kFirstOwnType; }

bool HasOwnTypes(std::string_view types) {
  for (size_t at = 0; at + kTypeBytes <= types.size(); at += kTypeBytes) {
    if (IsOwnType(types.data() + at)) {
      return true;
    }
  }
  return false;
}

// `types`: the end of `parse`.
std::string WithoutOwnTypes(std::string_view parse, std::string_view types) {
  std::string changed(parse);
  for (size_t at = 0; at + kTypeBytes <= types.size(); at += kTypeBytes) {
    if (IsOwnType(types.data() + at)) {
      changed.replace(changed.size() - types.size() + at, kTypeBytes, kTypeBytes, '\0');
    }
  }
  return changed;
}

bool Commits(sql::Control control) {
  return control == sql::Control::kCommit || control == sql::Control::kPrepare;
}

// It lets go of locks that the next transaction's COMMIT may have waited for.
bool EndsPrepared(sql::Control control) {
  return control == sql::Control::kCommitPrepared || control == sql::Control::kRollbackPrepared;
}

}  // namespace

Recorder::Recorder(const RecorderTools& tools, const std::vector<Route>& routes)
    : tools_(tools), transaction_(kItemsMax) {
  for (const Route& route : routes) {
    const uint32_t bit = uint32_t{1} << route.filter;
    auto view = std::find_if(views_.begin(), views_.end(),
                             [bit](const View& other) { return other.bit == bit; });
    if (view == views_.end()) {
      view = views_.insert(view, View{bit, tools.filters->exposure(route.filter), {}});
    }
    view->routes.push_back(route);
    present_ |= bit;
  }
  if (tools_.open != nullptr) {
    tools_.open->insert(this);
  }
}

Recorder::~Recorder() {
  if (tools_.open != nullptr) {
    tools_.open->erase(this);
  }
  OfferLost(Cause::kOutcomeUnknown, MayHaveCommitted());
  while (!requests_.empty()) {
    PopFront();
  }
  for (const View& view : views_) {
    for (const Route& route : view.routes) {
      route.target->End();
    }
  }
}

// Who misses something if what the primary was still to answer has committed: nobody will know. It
// is taken as if all of it had succeeded; a BEGIN among it protects nothing, since the server may
// have swallowed it behind an error, and what follows not.
uint32_t Recorder::MayHaveCommitted() {
  bool block = transaction_.in_block();
  uint32_t writes = 0;
  for (const Item& item : items_) {
    writes |= item.wanted;
  }
  uint32_t may = block ? 0 : writes;
  const auto run = [&](const sql::Statement& facts) {
    if (facts.control == sql::Control::kCommit || facts.control == sql::Control::kPrepare) {
      may |= writes;
      block = false;
    } else if (facts.control == sql::Control::kRollback) {
      block = false;
    } else {
      const uint32_t wanted = Wanted(facts, "", Cause::kNone);
      writes |= wanted;
      may |= block ? 0 : wanted;
    }
  };
  for (Request& request : requests_) {
    for (const Part& part : request.parts) {
      run(part.facts);
    }
    if (request.act == Act::kFunctionCall) {
      run(sql::Statement());  // anything
    } else if (request.act == Act::kExecute) {
      const Portal* const portal = portals_.Find(request.name);
      if (portal != nullptr) {  // else it reads
        run(portal->facts);
      }
    } else {
      Apply(&request);
    }
  }
  return may;
}

// The filters that may want it; 0: it need not be followed. Transaction control is followed for
// all: its text names savepoints and tells AND CHAIN. What EXECUTE does is known when it has run,
// and whether a cursor is needed when something is written by it. What never goes is followed to be
// counted.
uint32_t Recorder::MayWant(const sql::Statement& facts) const {
  if (facts.effect == sql::Effect::kControl || facts.effect == sql::Effect::kExecute ||
      facts.cursor || facts.one_server) {
    return present_;
  }
  return tools_.filters->Wanting(KindOf(facts), facts.marks) & present_;
}

void Recorder::OnRequest(turn::RequestId id, const pg::Piece& piece) {
  if (piece.whole() && IsKept(piece.type)) {
    if (id != 0) {
      OnFrame(id, piece.type, piece.body, Cause::kNone);
    }
    return;
  }
  switch (piece.type) {
    case 'd':
      OnCopyPiece(piece);
      return;
    case 'c':
    case 'f':
      if (piece.first) {
        OnCopyEnd();
      }
      return;
    case 'D':
      if (piece.whole() && id != 0 && tools_.learning == Learning::kKept) {
        OnDescribe(id, piece.body);
      }
      return;
    case 'F':
      if (piece.first && id != 0) {
        Works(&Push(id, Act::kFunctionCall));
      }
      return;
    default:
      if (IsKept(piece.type)) {
        Gather(id, piece);
      }
  }
}

void Recorder::OnAnswered(const pg::Piece& piece) {
  constexpr turn::RequestId kAll = std::numeric_limits<turn::RequestId>::max();
  Confirm(kAll);
  OnRequest(1, piece);
  Confirm(kAll);
}

void Recorder::OnFrame(turn::RequestId id, char type, std::string_view body, Cause lost) {
  if (lost != Cause::kNone) {
    OnLost(id, type, lost);
    return;
  }
  switch (type) {
    case 'Q':
      OnQuery(id, pg::ReadQuery(body).value_or(""));
      break;
    case 'P':
      OnParse(id, body);
      break;
    case 'B':
      OnBind(id, body);
      break;
    case 'E':
      OnExecute(id, body);
      break;
    default:
      OnClose(id, body);
  }
}

// A frame longer than the reader holds: its pieces are put together within the bound.
void Recorder::Gather(turn::RequestId id, const pg::Piece& piece) {
  if (piece.first) {
    gathering_ = id;
    gathered_lost_ = Cause::kNone;
  }
  if (gathering_ == 0) {
    return;
  }
  if (gathered_lost_ == Cause::kNone) {
    const auto bytes = static_cast<int64_t>(piece.body.size());
    if (gathered_charge_.bytes() + bytes > tools_.limits->mirror_transaction_max) {
      gathered_lost_ = Cause::kTooLarge;
    } else if (!gathered_charge_.Take(tools_.held, bytes)) {
      gathered_lost_ = Cause::kOverBudget;
    } else {
      gathered_ += piece.body;
    }
    if (gathered_lost_ != Cause::kNone) {
      gathered_ += piece.body.substr(0, kLostPrefixBytes);
      gathered_.resize(std::min(gathered_.size(), kLostPrefixBytes));
      gathered_.shrink_to_fit();
      gathered_charge_.Release();
    }
  }
  if (piece.last) {
    gathered_charge_.Release();  // what is kept of it is charged as such
    OnFrame(gathering_, piece.type, gathered_, gathered_lost_);
    gathered_ = std::string();
    gathering_ = 0;
  }
}

// A frame that could not be kept stands where it would have stood; `gathered_` is its start.
void Recorder::OnLost(turn::RequestId id, char type, Cause lost) {
  pg::BodyReader names(gathered_);
  const std::string first(type == 'Q' ? std::string_view() : names.String());
  if (type == 'C' || type == 'E') {
    return;  // too long to be understood by the server either
  }
  const Act act = type == 'Q' ? Act::kQuery : type == 'P' ? Act::kParse : Act::kBind;
  Request& request = Push(id, act);
  request.name = first;
  request.kept.lost = lost;
  if (type == 'Q') {
    request.parts.emplace_back();  // of unknown effect: its tag will tell
  } else if (type == 'P') {
    ++parses_[request.name];
  } else {
    request.statement = names.String();
    NoteBound(&request, FactsOf(request.statement));
  }
  Works(&request);
}

void Recorder::OnQuery(turn::RequestId id, std::string_view text) {
  // A backslash means another thing once a SET of standard_conforming_strings has run.
  const bool unsure = !requests_.empty() && text.find('\\') != std::string_view::npos;
  const sql::Statement& facts = tools_.cache->Classify(text, lex_);
  if (!facts.several && MayWant(facts) == 0 && !unsure) {
    return;
  }
  std::vector<Part> parts;
  if (ReadParts(text, facts, &parts) == 0 && !unsure) {
    return;
  }
  Request& request = Push(id, Act::kQuery);
  request.parts = std::move(parts);
  request.lex = lex_;
  request.unsure = unsure;
  Keep(&request.kept, text, tools_.held);
  OnQueryForwarded(&request);
  if (std::any_of(request.parts.begin(), request.parts.end(),
                  [this](const Part& part) { return Listens(part.facts); })) {
    ListenTo(&request);
  }
}

// The statements of `text`, of which `facts` tells, and who may want any of them.
uint32_t Recorder::ReadParts(std::string_view text, const sql::Statement& facts,
                             std::vector<Part>* parts) const {
  const auto add = [&](std::string_view statement, const sql::Statement& its) {
    Part part;
    part.begin = static_cast<uint32_t>(statement.data() - text.data());
    part.length = static_cast<uint32_t>(statement.size());
    part.facts = its;
    parts->push_back(std::move(part));
    return MayWant(its);
  };
  if (!facts.several) {
    return add(text, facts);
  }
  uint32_t wanted = 0;
  sql::Splitter splitter(text, lex_);
  std::string_view statement;
  while (splitter.Next(&statement)) {
    wanted |= add(statement, tools_.cache->Classify(statement, lex_));
  }
  return wanted;
}

void Recorder::OnParse(turn::RequestId id, std::string_view body) {
  const std::optional<pg::ParseView> view = pg::ReadParse(body);
  if (!view.has_value()) {
    return;  // the server refuses it
  }
  const sql::Statement& facts = tools_.cache->Classify(view->text, lex_);
  if (MayWant(facts) == 0) {
    if (MayNameStatement(view->name)) {
      Push(id, Act::kForgetStatement).name = view->name;
    }
    return;
  }
  Request& request = Push(id, Act::kParse);
  request.name = view->name;
  request.facts = facts;
  const std::string_view rest = body.substr(view->name.size() + 1);
  Keep(&request.kept, HasOwnTypes(view->types) ? WithoutOwnTypes(rest, view->types) : rest,
       tools_.names);
  ++parses_[request.name];
}

void Recorder::OnBind(turn::RequestId id, std::string_view body) {
  pg::BodyReader reader(body);
  const std::string_view portal = reader.String();
  const std::string_view statement = reader.String();
  if (reader.failed()) {
    return;
  }
  const sql::Statement* const facts = FactsOf(statement);
  if (facts == nullptr && (sql_prepared_.empty() || !sql_prepared_.contains(statement))) {
    if (MayNamePortal(portal)) {
      Push(id, Act::kForgetPortal).name = portal;
    }
    return;
  }
  Request& request = Push(id, Act::kBind);
  request.name = portal;
  request.statement = statement;
  Keep(&request.kept, reader.rest(), tools_.held);
  NoteBound(&request, facts);
}

// A Bind is being forwarded. `facts`: of its statement, see FactsOf().
void Recorder::NoteBound(Request* request, const sql::Statement* facts) {
  ++binds_[request->name];
  if (facts != nullptr) {
    request->facts = *facts;
  }
}

void Recorder::OnExecute(turn::RequestId id, std::string_view body) {
  const std::optional<pg::ExecuteView> view = pg::ReadExecute(body);
  if (!view.has_value() || !MayNamePortal(view->portal)) {
    return;
  }
  Request& request = Push(id, Act::kExecute);
  request.name = view->portal;
  request.row_limit = view->row_limit;
  const sql::Statement* const facts = FactsOfPortal(view->portal);
  const sql::Control control = facts == nullptr ? sql::Control::kNone : facts->control;
  if (!Commits(control)) {
    Works(&request);
  }
  if (Commits(control) || EndsPrepared(control)) {
    ReserveFor(&request);
  }
  if (facts != nullptr && Listens(*facts)) {
    ListenTo(&request);
  }
}

void Recorder::OnClose(turn::RequestId id, std::string_view body) {
  const std::optional<pg::TargetView> view = pg::ReadTarget(body);
  if (!view.has_value()) {
    return;
  }
  if (view->kind == 'S' && MayNameStatement(view->name)) {
    Push(id, Act::kForgetStatement).name = view->name;
  } else if (view->kind == 'P' && MayNamePortal(view->name)) {
    Push(id, Act::kForgetPortal).name = view->name;
  }
}

// Data of a COPY belongs to the request sent last: the protocol allows nothing in between but Sync
// and Flush. If that was no COPY, the server ignores the data, and so do its answers here.
Recorder::Request* Recorder::CopyTarget() {
  if (requests_.empty()) {
    return nullptr;
  }
  Request& request = requests_.back();
  const bool copies = request.act == Act::kExecute ||
                      std::any_of(request.parts.begin(), request.parts.end(),
                                  [](const Part& part) { return part.facts.copy_in; });
  return copies ? &request : nullptr;
}

void Recorder::OnCopyPiece(const pg::Piece& piece) {
  Request* const request = CopyTarget();
  if (request == nullptr) {
    return;
  }
  if (request->copies.empty() || request->copies.back().ended) {
    request->copies.emplace_back();
  }
  if (request->kept.lost == Cause::kNone) {
    AppendCopy(request, piece.bytes);
  }
}

void Recorder::OnCopyEnd() {
  Request* const request = CopyTarget();
  if (request == nullptr) {
    return;
  }
  if (request->copies.empty() || request->copies.back().ended) {
    request->copies.emplace_back();  // a COPY of nothing
  }
  Copied& copied = request->copies.back();
  copied.ended = true;
  if (copied.stored) {
    UnloadCopy(request);
  }
}

// False if there is no room for more: then nothing of the request is kept.
bool Recorder::AddCopyBlock(Request* request) {
  std::vector<base::Slice>& data = request->copies.back().data;
  const auto most = static_cast<uint32_t>(std::clamp<int64_t>(
      tools_.limits->mirror_transaction_max / 8, kCopyBlockFirst, kCopyBlockMax));
  const uint32_t capacity =
      data.empty() ? kCopyBlockFirst : std::min(most, data.back().block()->capacity * 4);
  Kept& kept = request->kept;
  if (CopyHasMuch(*request, capacity)) {
    UnloadCopy(request);
  }
  if (kept.lost != Cause::kNone) {
    // what could not go to the disk is gone
  } else if (kept.charge.bytes() + capacity > tools_.limits->mirror_transaction_max) {
    kept.lost = Cause::kTooLarge;
  } else if (!Hold(&kept.charge, tools_.held, capacity)) {
    kept.lost = Cause::kOverBudget;
  }
  if (kept.lost == Cause::kNone) {
    data.push_back(base::Slice::WithCapacity(capacity));
    return true;
  }
  for (Copied& copied : request->copies) {
    copied.data.clear();
    copied.stored.Reset();
  }
  kept.charge.Release();
  if (!kept.charge.Take(tools_.held, static_cast<int64_t>(kept.bytes.size()) + kOverheadBytes)) {
    kept.bytes.Reset();  // else it names the table
  }
  return false;
}

void Recorder::AppendCopy(Request* request, std::string_view bytes) {
  std::vector<base::Slice>& data = request->copies.back().data;
  while (!bytes.empty()) {
    if ((data.empty() || data.back().room() == 0) && !AddCopyBlock(request)) {
      return;
    }
    const size_t count = std::min<size_t>(bytes.size(), data.back().room());
    data.back().Append(bytes.substr(0, count));
    bytes.remove_prefix(count);
  }
}

Recorder::Request& Recorder::Push(turn::RequestId id, Act act) {
  Request& request = requests_.emplace_back();
  request.id = id;
  request.act = act;
  request.sent = tools_.loop->now();
  return request;
}

void Recorder::Keep(Kept* kept, std::string_view bytes, base::Credit* credit) {
  const int64_t cost = static_cast<int64_t>(bytes.size()) + kOverheadBytes;
  if (cost > tools_.limits->mirror_transaction_max) {
    kept->lost = Cause::kTooLarge;
  } else if (!Hold(&kept->charge, credit, cost)) {
    kept->lost = Cause::kOverBudget;
  } else {
    kept->bytes = base::Slice::CopyOf(bytes);
  }
}

bool Recorder::MayNameStatement(std::string_view name) const {
  return statements_.Contains(name) || parses_.Contains(name) ||
         (!sql_prepared_.empty() && sql_prepared_.contains(name));
}

bool Recorder::MayNamePortal(std::string_view name) const {
  return portals_.Contains(name) || binds_.Contains(name);
}

// -- order ----------------------------------------------------------------------------------------

// It is being forwarded: what it does may depend on all that was acknowledged before.
void Recorder::Works(Request* request) {
  request->seen = tools_.clock->now();
  request->works = true;
  ++works_;
}

// A COMMIT is being forwarded. Where transactions met, PostgreSQL let the later one go on only when
// the earlier one had committed, so COMMITs are forwarded in the order in which they must be
// applied; their answers come in any order.
void Recorder::ReserveFor(Request* request) {
  if (request->stamp != 0 || (items_.empty() && works_ == 0)) {
    return;
  }
  for (const View& view : views_) {
    for (const Route& route : view.routes) {
      route.target->Expect();
    }
  }
  request->stamp = tools_.clock->Tick();
  ++reserved_;
  for (const View& view : views_) {
    for (const Route& route : view.routes) {
      route.target->Reserve(request->stamp);
    }
  }
}

void Recorder::OnQueryForwarded(Request* request) {
  bool commits = false;
  for (const Part& part : request->parts) {
    const sql::Control control = part.facts.control;
    const bool ends_prepared = EndsPrepared(control);
    commits |= Commits(control) || ends_prepared;
    const bool reads = part.facts.cursor && part.facts.effect == sql::Effect::kRead;
    request->seen = tools_.clock->now();
    const bool works = part.facts.effect != sql::Effect::kControl || ends_prepared;
    if (works && !reads && !request->works) {
      Works(request);
    }
  }
  if (commits) {
    ReserveFor(request);
  }
}

// What `statement` names once all that was forwarded has been answered; null if that is not worth
// following.
const sql::Statement* Recorder::FactsOf(std::string_view statement) const {
  if (parses_.Contains(statement)) {
    for (auto it = requests_.rbegin(); it != requests_.rend(); ++it) {
      if (it->act == Act::kParse && it->name == statement) {
        return &it->facts;
      }
    }
  }
  const Prepared* const prepared = statements_.Find(statement);
  return prepared == nullptr ? nullptr : &prepared->facts;
}

// Likewise of a portal.
const sql::Statement* Recorder::FactsOfPortal(std::string_view portal) const {
  if (binds_.Contains(portal)) {
    for (auto it = requests_.rbegin(); it != requests_.rend(); ++it) {
      if (it->act == Act::kBind && it->name == portal) {
        return &it->facts;
      }
    }
  }
  const Portal* const bound = portals_.Find(portal);
  return bound == nullptr ? nullptr : &bound->facts;
}

}  // namespace mirror
