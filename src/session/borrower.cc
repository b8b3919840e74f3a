#include "session/borrower.h"

#include <algorithm>
#include <utility>

#include "backend/pools.h"
#include "base/fault_point.h"
#include "pg/builders.h"
#include "pg/messages.h"
#include "pg/views.h"

namespace session {
namespace {

// What only the server session has: it cannot follow the client to another one.
constexpr uint32_t kPins = sql::kListens | sql::kTempObject | sql::kAdvisoryLock |
                           sql::kHoldCursor | sql::kPrepares | sql::kLoads | sql::kUnknownSetting |
                           sql::kSessionAuthorization | sql::kOtherState;
constexpr std::string_view kSequencesName = "pgbraid_sequences";
constexpr std::string_view kDiscardSequences = "DISCARD SEQUENCES";
// How a server says that a statement's result type has changed: the text may be in any language.
constexpr std::string_view kChangedState = "0A000";
constexpr std::string_view kChangedRoutine = "RevalidateCachedQuery";

// A value of a DataRow's only row each.
bool ReadRow(std::string_view body, std::vector<std::optional<std::string>>* values) {
  const std::optional<std::vector<pg::Value>> row = pg::ReadDataRow(body);
  if (!row.has_value()) {
    return false;
  }
  values->clear();
  for (const pg::Value& value : *row) {
    values->push_back(value.null ? std::nullopt
                                 : std::optional<std::string>(std::string(value.bytes)));
  }
  return true;
}

}  // namespace

Borrower::Borrower(backend::Pool* pool, io::Event* event, const Bits& bits, io::Stream* client,
                   uint64_t session)
    : pool_(pool),
      event_(event),
      bits_(bits),
      client_(client),
      session_(session),
      names_(&pool->pools()->statements(), session) {
  waiter_.lessee = this;
}

Borrower::~Borrower() {
  CHECK(pooled_ == nullptr && !waiter_.waiting);
  pool_->Leave();
}

// Who waits for the same pool keeps the place in its queue.
void Borrower::MoveTo(backend::Pool* pool) {
  CHECK(pooled_ == nullptr);
  if (pool != pool_) {
    static_cast<void>(Withdraw());
  }
  pool_->Leave();
  pool_ = pool;
}

bool Borrower::SetAtStart(std::string_view name, std::string_view value) {
  const std::string lower = backend::LowerCase(name);
  const bool done = at_start_.Set(lower, value);
  wanted_ = at_start_;
  Remember();
  return done;
}

void Borrower::Remember() {
  context_.clear();
  for (const std::string_view name : {"role", "search_path"}) {
    const std::string* const value = wanted_.Find(name);
    context_ += value == nullptr ? "" : *value;
    context_ += '\0';
  }
  if ((pins_ & sql::kTempObject) != 0) {
    // One may hide a table, which a statement that was prepared before would go on to use.
    context_ += std::to_string(session_) + "." + std::to_string(temporaries_);
  }
}

// -- the lease ------------------------------------------------------------------------------------

void Borrower::Ask() {
  unwanted_ = false;
  if (state_ == State::kFree) {
    state_ = State::kWaiting;
    pool_->Ask(&waiter_);
  }
}

bool Borrower::Withdraw() {
  switch (state_) {
    case State::kWaiting:
      pool_->Forget(&waiter_);
      state_ = State::kFree;
      return true;
    case State::kChanging:
      return !std::exchange(unwanted_, true);
    case State::kReady:
      if (pooled_->connection.machine().owes()) {
        return false;
      }
      GiveBack();
      return true;
    case State::kRepeating:
    case State::kFree:
    case State::kDenied:
      break;
  }
  return false;
}

void Borrower::OnDenied(std::string_view sqlstate, std::string_view message) {
  state_ = State::kDenied;
  sqlstate_ = sqlstate;
  why_ = message;
  event_->Raise(bits_.changed);
}

void Borrower::TellNotes(backend::NoteTaker* taker) {
  notes_ = taker;
  if (taker != nullptr) {
    ListenAs(*taker);
  }
  if (pooled_ != nullptr) {
    pooled_->connection.Lease(MakeLeg());
  }
}

backend::Leg Borrower::MakeLeg() {
  backend::Leg leg;
  leg.sink = client_;
  leg.event = event_;
  leg.over_bit = bits_.over;
  leg.notes = notes_ == nullptr ? nullptr : this;
  leg.pause_bit = bits_.paused;
  leg.owner = session_;
  leg.lessee = this;
  return leg;
}

void Borrower::OnGranted(backend::Pooled* pooled) {
  pooled_ = pooled;
  pooled->connection.Lease(MakeLeg());
  pooled->connection.stream().NotifyDrained(event_, bits_.drained);
  base_ = highest_ - (pooled->connection.machine().oldest() - 1);
  sequences_ours_ = pooled->sequences_of == 0 ||
                    (pooled->sequences_of == session_ && pooled == last_);
  status_ = 'I';
  suspect_ = false;
  cancelled_ = false;
  pooled->repeat.Begin(true);
  Enforce();
}

// A Query of ours; the id of its request, or 0 if there is no room for it.
turn::RequestId Borrower::AskFor(std::string_view query) {
  std::string frame;
  failed_ = false;
  pooled_->unnamed_of = 0;
  if (!pg::AppendQuery(&frame, query) || !pooled_->connection.Ask(frame)) {
    return 0;
  }
  return pooled_->connection.machine().last_request();
}

// The client's frames wait until the settings are the session's: were they sent behind the change
// without waiting, and the change failed, they would run under a stranger's.
void Borrower::Enforce() {
  if (pooled_->in_force == wanted_ || HISTORICAL_BUG("f12-settings-stay-behind")) {
    BeReady();
    return;
  }
  state_ = State::kChanging;
  enforcing_ = AskFor(backend::SettingsChange(pooled_->in_force, wanted_));
  if (enforcing_ == 0) {
    OnDenied("53200", "too many settings");
  }
}

void Borrower::OnEnforced() {
  enforcing_ = 0;
  if (!failed_) {
    pooled_->in_force = wanted_;
    BeReady();
    if (std::exchange(unwanted_, false)) {
      GiveBack();
    }
    return;
  }
  unwanted_ = false;
  // One Query: it was done as a whole or not at all.
  pool_->Return(LetGo());
  OnDenied(std::exchange(sqlstate_, {}), std::exchange(why_, {}));
}

// A connection may lead to another server than the last one, or one with other defaults.
void Borrower::BeReady() {
  const backend::Connection& connection = pooled_->connection;
  if (told_ != 0 && told_ != connection.parameters_print()) {
    std::string text;
    for (const auto& [name, value] : connection.parameters()) {
      static_cast<void>(pg::AppendParameterStatus(&text, name, value));  // a server has sent it
    }
    client_->WriteCopy(text);
  }
  state_ = State::kReady;
  event_->Raise(bits_.changed);
}

// Nobody's answer comes to this session any more.
backend::Pooled* Borrower::LetGo() {
  backend::Connection& connection = pooled_->connection;
  highest_ = base_ + connection.machine().oldest() - 1;
  told_ = told_ == 0 ? 0 : connection.parameters_print();
  connection.stream().NotifyDrained(nullptr, 0);
  pooled_->sequences_of = sequences_ours_ ? session_ : turn::kNobody;
  last_ = pooled_;
  state_ = State::kFree;
  repeat_.clear();
  enforcing_ = reading_id_ = discarding_ = made_to_fail_ = 0;
  return std::exchange(pooled_, nullptr);
}

void Borrower::GiveBack() {
  if (pins_ != 0 || !pooled_->connection.machine().poolable()) {
    return;
  }
  if (suspect_) {
    pool_->ReturnDirty(LetGo());
  } else {
    pool_->Return(LetGo());
  }
}

void Borrower::GiveBackUnused() {
  if (pooled_ != nullptr) {
    GiveBack();
  }
}

void Borrower::End() {
  if (waiting()) {
    Withdraw();
  }
  if (pooled_ == nullptr) {
    return;
  }
  const bool clean = pooled_->connection.machine().poolable() && !pooled_->connection.over();
  backend::Pooled* const pooled = LetGo();
  if (clean) {
    pool_->ReturnDirty(pooled);
  } else {
    pool_->Discard(pooled);
  }
}

void Borrower::Cancel(const backend::CancelAsker& asker) {
  const bool runs = state_ == State::kReady && pooled_->connection.machine().owes();
  const bool ours = runs && pooled_->connection.machine().entries() == 1 && reading_id_ != 0;
  if (runs && !ours) {
    cancelled_ = true;
    pool_->Cancel(pooled_, asker);
  } else {
    asker.Tell();
  }
}

void Borrower::OnNote(const backend::Note& note) {
  backend::Note told = note;
  told.request = ToSession(note.request);
  notes_->OnNote(told);
}

void Borrower::OnPart(turn::RequestId request, const pg::Piece& piece) {
  notes_->OnPart(ToSession(request), piece);
}

// -- what the client runs -------------------------------------------------------------------------

void Borrower::ReadLater(const std::string& name) {
  if (std::find(to_read_.begin(), to_read_.end(), name) == to_read_.end()) {
    to_read_.push_back(name);
  }
}

void Borrower::OnParsed(const sql::SessionEffects& effects) {
  pins_ |= effects.flags & kPins &
           ~(HISTORICAL_BUG("f15-advisory-lock-is-not-seen") ? uint32_t{sql::kAdvisoryLock} : 0u);
  if ((effects.flags & sql::kTempObject) != 0) {
    ++temporaries_;
    Remember();
  }
  if ((effects.flags & sql::kReadsSequence) != 0) {
    pool_->shared()->asks_sequences.store(true, std::memory_order_relaxed);
  }
  for (const std::string& name : effects.names) {
    ReadLater(name);
  }
  if ((effects.flags & sql::kResetsAll) != 0) {
    for (const auto& [name, value] : wanted_.all()) {
      ReadLater(name);
    }
    if (reading_id_ != 0) {  // these are about to be wanted
      for (const std::string& name : reading_) {
        ReadLater(name);
      }
    }
  }
  reset_seen_ = reset_seen_ || (effects.flags & (sql::kResets | sql::kResetsAll)) != 0;
}

void Borrower::OnRun(const sql::SessionEffects& effects, bool simple) {
  OnParsed(effects);
  const bool uses = (effects.flags & (sql::kReadsSequence | sql::kUsesSequence)) != 0;
  if (!sequences_ours_ && (uses || wants_sequences())) {
    DiscardSequences(simple);
  }
  if (!effects.deallocate.empty()) {
    names_.PrepareDeallocate(effects.deallocate, simple, pooled_);
  }
}

bool Borrower::wants_sequences() const {
  return !sequences_ours_ && pool_->shared()->asks_sequences.load(std::memory_order_relaxed);
}

void Borrower::OnRunning(const sql::SessionEffects& effects, turn::RequestId request) {
  if ((effects.flags & (sql::kDeallocatesAll | sql::kDiscardsAll)) != 0 && request != 0) {
    names_.Doubt(request);
    pooled_->prepared.Doubt(request);
  }
  if (!effects.deallocate.empty()) {
    names_.OnDeallocate(effects.deallocate, request);
  }
}

// currval() and lastval() would tell what another session got from its sequences, or this one
// before it had another connection. They fail afterwards, as in a session that has not used the
// sequence. Any statement may use one (a default, a function), so where clients ask for such values
// it is done before the first of a lease.
void Borrower::DiscardSequences(bool simple) {
  if (status_ == 'E') {
    return;  // nothing runs in a failed transaction
  }
  std::string frames;
  pg::BindMessage bind;
  bind.portal = bind.statement = kSequencesName;
  const bool built = pg::AppendParse(&frames, kSequencesName, kDiscardSequences, {}) &&
                     pg::AppendBind(&frames, bind) &&
                     pg::AppendExecute(&frames, kSequencesName, 0) &&
                     pg::AppendClose(&frames, 'P', kSequencesName) &&
                     pg::AppendClose(&frames, 'S', kSequencesName);
  CHECK(built);
  if (simple) {
    pg::AppendSync(&frames);
  }
  sequences_ours_ = pooled_->connection.Ask(frames);
  discarding_ = pooled_->connection.machine().last_request();
}

// -- the connection tells -------------------------------------------------------------------------

void Borrower::OnReady(turn::RequestId request, char status, bool owes) {
  status_ = status;
  if (state_ == State::kRepeating) {
    return;  // more is to be asked
  }
  if (request == enforcing_) {
    OnEnforced();
    return;
  }
  if (request == reading_id_) {
    OnRead();
  }
  if (turn_bit_ != 0) {
    event_->Raise(turn_bit_ | (status == 'I' ? bits_.idle : 0));
  }
  if (owes) {
    return;
  }
  names_.Settle();
  pooled_->prepared.Settle();
  pooled_->repeat.Begin(status == 'I');
  if (KeepStatementsWithin() || status != 'I' || StartReading()) {
    return;
  }
  GiveBack();
}

// True if something was asked for: another ReadyForQuery follows.
bool Borrower::KeepStatementsWithin() {
  std::string frames;
  const uint32_t most = pool_->service().pool.max_prepared_statements;
  for (;;) {
    const std::string name = pooled_->prepared.TakeExcess(most);
    if (name.empty()) {
      break;
    }
    CHECK(pg::AppendClose(&frames, 'S', name));
  }
  if (frames.empty()) {
    return false;
  }
  pg::AppendSync(&frames);
  return pooled_->connection.Ask(frames);
}

bool Borrower::StartReading() {
  if (to_read_.empty() || (pins_ & kForSession) != 0) {
    return false;
  }
  reading_ = std::exchange(to_read_, {});
  values_.clear();
  // A RESET among them goes back to what this client began with, not the connection.
  sources_read_ = std::exchange(reset_seen_, false) && !at_start_.all().empty();
  reading_id_ = AskFor(backend::SettingsQuery(reading_, sources_read_));
  return reading_id_ != 0;
}

void Borrower::OnRead() {
  reading_id_ = 0;
  if (failed_ && sqlstate_ == "57014" && std::exchange(cancelled_, false)) {
    // A cancel that was meant for the client's own request, which had ended: they are read again.
    for (const std::string& name : reading_) {
      ReadLater(name);
    }
    reset_seen_ = reset_seen_ || sources_read_;
    return;
  }
  const size_t columns = sources_read_ ? 2 : 1;
  if (failed_ || values_.size() != reading_.size() * columns) {
    suspect_ = true;
    return;
  }
  for (size_t i = 0; i < reading_.size(); ++i) {
    const std::string& name = reading_[i];
    const std::optional<std::string>& value = values_[i * columns];
    if (!value.has_value()) {
      pooled_->in_force.Reset(name);
      wanted_.Reset(name);
      continue;
    }
    const std::string* const first = at_start_.Find(name);
    const bool reset = sources_read_ && backend::IsReset(values_[i * columns + 1], *value);
    const bool room = pooled_->in_force.Set(name, *value);
    const bool both = wanted_.Set(name, reset && first != nullptr ? *first : *value);
    if (!room || !both) {
      pins_ |= sql::kUnknownSetting;
    }
  }
  Remember();
}

void Borrower::OnHidden(const pg::Piece& piece, const turn::Reply& reply) {
  if (piece.first && reply.kind == turn::ReplyKind::kFailed &&
      (reply.request == enforcing_ || reply.request == reading_id_)) {
    const pg::ErrorView error = pg::ReadError(piece.body);
    sqlstate_ = error.sqlstate;
    why_ = error.message;
  }
  if (piece.type == 'D' && reply.request == reading_id_ && reading_id_ != 0) {
    failed_ = failed_ || !piece.whole() || !ReadRow(piece.body, &values_);
  }
}

void Borrower::OnFailed(turn::RequestId first, turn::RequestId end) {
  suspect_ = names_.OnFailed(first, end) || suspect_;
  pooled_->unnamed_of = turn::kNobody;  // whose it is now depends on what was not looked at
  pooled_->prepared.OnFailed(first, end);
  const auto among = [&](turn::RequestId id) {
    return id != 0 && id >= first && (id < end || id == first);
  };
  failed_ = failed_ || among(enforcing_) || among(reading_id_);
  sequences_ours_ = sequences_ours_ && !among(discarding_);
}

// -- a result type that has changed ---------------------------------------------------------------

void Borrower::OnFrame(const pg::Piece& piece) {
  if (pooled_->repeat.open()) {
    const turn::RequestId request = pooled_->connection.machine().last_request();
    const bool shared = (piece.type == 'B' || piece.type == 'D') && names_.uses_shared();
    pooled_->repeat.OnFrame(piece, request, shared, names_.describes());
  }
}

backend::Fate Borrower::OnError(const pg::Piece& error, turn::RequestId request,
                                std::string* instead) {
  const pg::ErrorView view = pg::ReadError(error.body);
  if (request != 0 && request == made_to_fail_) {
    const pg::ErrorText text{.severity = "ERROR",
                             .sqlstate = kChangedState,
                             .message = "cached plan must not change result type",
                             .routine = kChangedRoutine};
    pg::AppendErrorResponse(instead, text);
    return backend::Fate::kInstead;
  }
  if (view.sqlstate == kChangedState && view.routine == kChangedRoutine) {
    const backend::Statement* const changed = pooled_->prepared.OnChanged(request);
    if (changed != nullptr && Repeats(request)) {
      return backend::Fate::kHidden;
    }
    names_.OnToldOfChange(changed);
    return backend::Fate::kTold;
  }
  return names_.InClientsWords(error, instead) ? backend::Fate::kInstead : backend::Fate::kTold;
}

// The server found, before it ran anything, that a statement that sessions share would answer with
// other columns than when it was prepared. Asked again it is prepared anew: a client that has just
// parsed it, or is told in the same turn what its rows look like, need not know. One that knows
// them from before gets PostgreSQL's error, which is what keeps it from misreading the new ones.
bool Borrower::Repeats(turn::RequestId request) {
  const std::string_view frames = pooled_->repeat.From(request);
  const turn::Machine& machine = pooled_->connection.machine();
  if (frames.empty() || state_ != State::kReady || status_ != 'I' || machine.failed()) {
    return false;
  }
  if (machine.skipping()) {
    // Its Sync is still to come, so one of ours ends the error. The recorder would not see it.
    std::string sync;
    pg::AppendSync(&sync);
    if (notes_ != nullptr || !pooled_->connection.Ask(sync)) {
      return false;
    }
  } else if (machine.entries() == 1) {
    pooled_->connection.HideReady();
  } else {
    return false;
  }
  repeat_ = frames;
  state_ = State::kRepeating;
  pool_->pools()->metrics().repeated.Add();
  event_->Raise(bits_.changed);
  return true;
}

std::string Borrower::TakeRepeat() {
  state_ = State::kReady;
  pooled_->repeat.Close();  // once
  return std::exchange(repeat_, std::string());
}

void Borrower::OnCompleted(turn::RequestId, std::string_view tag) {
  const bool all = tag == "DISCARD ALL";
  if (!all && tag != "DEALLOCATE ALL") {
    return;
  }
  names_.OnDeallocated();
  pooled_->prepared.OnDeallocated();
  pins_ &= ~static_cast<uint32_t>(sql::kPrepares);
  if (all) {
    pins_ &= kForSession;
    pooled_->in_force.Clear();
    wanted_ = at_start_;
    to_read_.clear();
    sequences_ours_ = true;
    suspect_ = false;
    Remember();
  }
}

void Borrower::OnParameter(std::string_view name, std::string_view value, bool hidden) {
  const std::string lower = backend::LowerCase(name);
  if (!backend::IsSettable(lower)) {
    return;
  }
  if (hidden) {
    // As the server writes it: sessions that want the same then say the same.
    if (wanted_.Find(lower) != nullptr) {
      static_cast<void>(wanted_.Set(lower, value));
    }
    return;
  }
  const bool room = pooled_->in_force.Set(lower, value) && wanted_.Set(lower, value);
  if (!room) {
    pins_ |= sql::kUnknownSetting;
  }
}

}  // namespace session
