// Borrower: a session's dealings with its pool: asks for a server connection when the client asks
// for something, brings the session's settings to it, and gives it back when nothing of the session
// is left in it.
//
// Owned by the session, on its shard. The connection goes back within the server's pump, at a
// ReadyForQuery that leaves the ledger empty, the transaction status idle, and the session free to
// move: no pins. Before that, settings that the session has changed by SQL are read back, so that
// they are what the server says and not what a text promised (a rollback, a function, RESET).
//
// What a session may leave behind (README, "Pooling"): settings are replayed; LISTEN, temporary
// objects, advisory locks, holdable cursors, SQL's PREPARE, LOAD and session authorization pin it
// to its connection, which is cleaned (Pool::ReturnDirty) when the session ends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/pool.h"
#include "backend/session_settings.h"
#include "io/event.h"
#include "session/statement_names.h"
#include "sql/session_effects.h"

namespace session {

class Borrower final : public backend::Lessee, private backend::NoteTaker {
 public:
  // Bits of `event` that are raised: `changed` when ready(), denied() or barrier() may have
  // changed, `over` when the connection has ended.
  struct Bits {
    uint32_t changed = 0;
    uint32_t over = 0;
    uint32_t drained = 0;  // the server has taken what was queued for it
    uint32_t paused = 0;   // the server is not read because the client does not read; 0: not told
    uint32_t idle = 0;     // with the bit of TellTurns(): outside of a transaction
  };
  Borrower(backend::Pool* pool, io::Event* event, const Bits& bits, io::Stream* client,
           uint64_t session);
  ~Borrower() override;  // ended
  Borrower(const Borrower&) = delete;
  Borrower& operator=(const Borrower&) = delete;

  // `taker` is told of the notes of this lease, if there is one, and of each further one; the
  // requests' ids as ToSession() gives them. It outlives the leases.
  void TellNotes(backend::NoteTaker* taker);
  // From the StartupMessage: they are in force from the first lease on, and again after RESET.
  bool SetAtStart(std::string_view name, std::string_view value);
  // The connection is kept until the end from the next lease on: session mode.
  void KeepForSession(bool keep) { pins_ = keep ? pins_ | kForSession : pins_ & ~kForSession; }
  // In session mode a connection that began with these is borrowed: they are its defaults then, as
  // those of a connection of the client's own would be.
  void StartWith(backend::Parameters startup) { waiter_.startup = std::move(startup); }
  // From now on it asks there. `pool` was joined for it; while it has no connection.
  void MoveTo(backend::Pool* pool);

  // -- the lease --------------------------------------------------------------------------------
  // Asks, unless it has one or has asked.
  void Ask();
  bool waiting() const { return state_ == State::kWaiting; }
  // It has one, which must get the session's settings first.
  bool changing() const { return state_ == State::kChanging; }
  base::Instant since() const { return waiter_.since; }  // when it asked
  // True exactly when the client's frames may go to connection().
  bool ready() const { return state_ == State::kReady; }
  bool has_connection() const { return pooled_ != nullptr; }
  backend::Connection& connection() const { return pooled_->connection; }
  backend::Pooled* pooled() const { return pooled_; }
  // The request's id as the session counts them, over all its leases.
  turn::RequestId ToSession(turn::RequestId request) const { return base_ + request; }
  // True exactly when the turn under way is to be asked again, from TakeRepeat() on, before
  // anything else of the client's; ready() is false until then.
  bool repeating() const { return state_ == State::kRepeating; }
  std::string TakeRepeat();
  bool denied() const { return state_ == State::kDenied; }
  const std::string& sqlstate() const { return sqlstate_; }
  const std::string& why() const { return why_; }
  // The client has been told these of a connection; if it gets one that says otherwise it is told.
  void Told(const backend::Parameters& parameters) { told_ = backend::PrintOf(parameters); }
  // The login needed it and ran nothing in it.
  void GiveBackUnused();
  backend::Pool* pool() const { return pool_; }
  // What it was asked for is no longer wanted, and none of it was forwarded; false if nothing was
  // asked for.
  bool Withdraw();
  // Cancels what the connection runs for this session, if anything; see Pool::Cancel.
  void Cancel(const backend::CancelAsker& asker);
  // The session is over: the connection goes back, cleaned, or is closed.
  void End();

  // -- what the client runs ---------------------------------------------------------------------
  StatementNames& names() { return names_; }
  // Before a frame is forwarded that parses it. It may be run later, by a frame that does not say
  // so.
  void OnParsed(const sql::SessionEffects& effects);
  // True exactly if OnRun() is to be told of whatever runs next: it may use a sequence, whose value
  // the client may ask for.
  bool wants_sequences() const;
  // Before a frame is forwarded that runs it. `simple`: it is a Query.
  void OnRun(const sql::SessionEffects& effects, bool simple);
  // After it: request `request` runs it.
  void OnRunning(const sql::SessionEffects& effects, turn::RequestId request);
  // From now on `bit` is raised at every ReadyForQuery; 0: not.
  void TellTurns(uint32_t bit) { turn_bit_ = bit; }
  // A frame that cannot be read as a whole: what it leaves behind is not known.
  void OnUnread() { suspect_ = true; }
  // Request `request` was made to fail: its client knows only rows of another type.
  void OnMadeToFail(turn::RequestId request) { made_to_fail_ = request; }
  // A frame of the client's was forwarded, or answered.
  void OnFrame(const pg::Piece& piece);
  void PinForRawStatements() { pins_ |= kRawStatements; }
  bool pinned() const { return pins_ != 0; }
  // What else than its text changes a statement's meaning.
  const std::string& context() const { return context_; }
  const backend::SessionSettings& wanted() const { return wanted_; }
  // The status of the last ReadyForQuery.
  char status() const { return status_; }

  // -- backend::Lessee --------------------------------------------------------------------------
  void OnGranted(backend::Pooled* pooled) override;
  void OnDenied(std::string_view sqlstate, std::string_view message) override;
  void OnReady(turn::RequestId request, char status, bool owes) override;
  void OnHidden(const pg::Piece& piece, const turn::Reply& reply) override;
  void OnFailed(turn::RequestId first, turn::RequestId end) override;
  backend::Fate OnError(const pg::Piece& error, turn::RequestId request,
                        std::string* instead) override;
  bool MayRepeat(turn::RequestId request) const override {
    return !pooled_->repeat.From(request).empty();
  }
  void OnCompleted(turn::RequestId request, std::string_view tag) override;
  void OnParameter(std::string_view name, std::string_view value, bool hidden) override;
  void OnNote(const backend::Note& note) override;
  void OnPart(turn::RequestId request, const pg::Piece& piece) override;
  void OnConnectionOver() override {}  // the leg's event tells

 private:
  enum class State : uint8_t {
    kFree,      // no connection, none asked for
    kWaiting,   // asked for
    kChanging,  // it has one; a query of ours that must come first is under way
    kReady,     // the client's frames may go to it
    kRepeating,  // some of them are to go to it again first
    kDenied,    // it will not get one
  };
  enum Pin : uint32_t { kForSession = 1u << 31, kRawStatements = 1u << 30 };

  backend::Leg MakeLeg();
  turn::RequestId AskFor(std::string_view query);
  void Enforce();
  void OnEnforced();
  void BeReady();
  bool Repeats(turn::RequestId request);
  void ReadLater(const std::string& name);
  bool StartReading();
  void OnRead();
  void DiscardSequences(bool simple);
  void GiveBack();
  backend::Pooled* LetGo();
  bool KeepStatementsWithin();
  void Remember();

  backend::Pool* pool_;
  io::Event* const event_;
  const Bits bits_;
  io::Stream* const client_;
  const uint64_t session_;
  backend::Pool::Waiter waiter_;
  backend::Pooled* pooled_ = nullptr;
  StatementNames names_;
  backend::SessionSettings at_start_;
  backend::SessionSettings wanted_;
  std::string context_;
  std::vector<std::string> to_read_;  // settings to be read back before the connection goes back
  bool reset_seen_ = false;           // among them some that may have been reset
  bool sources_read_ = false;         // so `reading_` is with where each value comes from
  std::vector<std::string> reading_;  // of the query that is under way
  std::vector<std::optional<std::string>> values_;
  turn::RequestId enforcing_ = 0;   // our query that the client's frames wait for
  turn::RequestId made_to_fail_ = 0;
  turn::RequestId discarding_ = 0;  // our request that makes the sequences ours
  turn::RequestId reading_id_ = 0;  // our query for the settings
  bool failed_ = false;         // true exactly when an error was among the answers to it
  bool unwanted_ = false;       // true exactly when nobody waits for what is enforced
  bool cancelled_ = false;      // a cancel was sent in this lease
  uint32_t pins_ = 0;
  uint32_t temporaries_ = 0;  // objects that were made, or may have been
  backend::NoteTaker* notes_ = nullptr;
  uint32_t turn_bit_ = 0;
  std::string repeat_;  // the client's frames that are to be sent again
  bool suspect_ = false;   // something ran in this lease that was not read
  bool sequences_ours_ = false;  // true exactly when the connection has no other's or older values
  const backend::Pooled* last_ = nullptr;  // what was leased before, perhaps long gone
  char status_ = 'I';
  uint64_t told_ = 0;  // print of the parameters that the client knows; 0: not told yet
  turn::RequestId base_ = 0;
  turn::RequestId highest_ = 0;  // as the session counts them
  State state_ = State::kFree;
  std::string sqlstate_;
  std::string why_;
};

}  // namespace session
