// Session: one client's life: start-up packets, login passed through to the server, relay, end.
//
// Owned by its shard (the frame of server::Shard::Serve), on that shard only. Two pumps run at the
// same time: the session's own (Relay) for what the client sends, the server connection's for what
// the server answers; neither waits for the other. Login is sequential and has one deadline.
//
// A session begins by the configuration that is in force then. After a reload a pooled one goes
// over to the new one between transactions (follow.cc); others keep theirs until they leave.
//
// Failure: whatever goes wrong ends this session and its server connection, after telling the
// client with a SQLSTATE where the protocol allows it. Bounds: login_timeout, queue_high both
// ways, the ledger.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cancel.h"
#include "backend/connection.h"
#include "backend/dial.h"
#include "config/config.h"
#include "io/event.h"
#include "io/scope.h"
#include "io/stream.h"
#include "io/task.h"
#include "mirror/mirrors.h"
#include "pg/frame_reader.h"
#include "pg/startup.h"
#include "session/borrower.h"
#include "session/surroundings.h"

namespace session {

class Session {
 public:
  Session(const Surroundings* surroundings, uint64_t id);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // From the accepted descriptor to the closed one. `beyond`: there are as many clients as there
  // may be; this one may bring a cancel, and is refused anything else.
  io::Task<void> Run(int descriptor, bool beyond = false);
  // Asks the session to end when it is between transactions (SIGTERM).
  void Drain();
  // The surroundings' epoch is another one.
  void OnReload() { event_.Raise(kReload); }
  // Lets go of the request that the judge held, and of what stands behind it.
  void ReleaseRequest() { event_.Raise(kReleased); }
  // Likewise of the reply.
  void ReleaseReply() { server().Release(); }
  // A CancelRequest with this session's key has come.
  void OnCancel(const backend::CancelAsker& asker);
  // What it brought itself has been dealt with.
  void OnCancelDone() { event_.Raise(kCancelDone); }
  // Ends it at once, whatever it does (the drain's deadline).
  void Stop();
  // As a trusted PROXY protocol header said, else the other end of the socket.
  io::Address client_address() const { return client_.PeerAddress(); }

 private:
  enum Bits : uint32_t {
    kClientReadable = 1,
    kServerReadable = 2,  // during login; later the connection's own pump reads
    kServerDrained = 4,   // the server has taken what was queued for it
    kServerOver = 8,
    kTurnOver = 16,
    kDrain = 32,
    kReleased = 64,
    kLeaseChanged = 128,
    kReload = 256,
    kWentIdle = 512,  // with kTurnOver: outside of a transaction
    kStalled = 1024,  // the server is not read because the client does not read
    kCancelDone = 2048,
  };
  struct Opening;  // what the start-up packets said
  // After a cancel of what waited for a connection.
  enum class Discarding : uint8_t { kNo, kOne, kToSync };
  // Of the pump in transaction and statement mode.
  struct PooledState {
    std::string gathered;      // the beginning of a long Bind, until its names are in it
    uint32_t bind_length = 0;  // of its body
    std::string doubtful;      // a Bind whose way depends on the frame behind it
    bool gathering = false;
    bool continues = false;  // true exactly when further pieces of a frame are to be forwarded
    bool nameless = false;   // true exactly when of a long Parse its name has not come yet
    Discarding discarding = Discarding::kNo;
  };
  // Of who has timeouts, or may not have transaction blocks.
  struct Turns {
    bool asking = false;  // true exactly when a turn is under way
    char status = 'I';    // at the end of the last turn
    base::Instant asked;  // when the turn began; or when the last one ended
    base::Instant began;  // when the transaction began
  };
  // Which wait ends first.
  struct Patience {
    base::Deadline until = base::Deadline::Never();
    Timeout cause = Timeout::kQueryWait;
  };

  io::Task<bool> Enter(bool beyond);
  bool FindService(Opening* opening);
  void RefuseService();
  io::Task<bool> LogIn(Opening* opening, base::Deadline deadline);
  // -- proxy.cc: the PROXY protocol --------------------------------------------------------------
  bool ExpectsProxyHeader() const;
  io::Task<bool> TakeProxyHeader(base::Deadline deadline);
  // -- opening.cc: start-up packets, cancel, connecting ------------------------------------------
  io::Task<bool> ReadOpening(Opening* opening, base::Deadline deadline);
  bool Negotiate(Opening* opening, const pg::StartupPacket& packet);
  bool OffersTls() const;
  io::Task<bool> Secure(Opening* opening, base::Deadline deadline);
  bool MayBePlain(const Opening* opening);
  io::Task<void> Cancel(const Opening* opening);
  io::Task<void> CancelOwn();
  io::Task<void> Deliver(const backend::CancelTarget* target);
  io::Task<void> CancelPooled(backend::CancelTarget target);
  std::string StartupFor(const pg::StartupPacket& packet) const;
  void OpenRecorder(const Opening* opening);
  // -- login.cc: the server's own authentication, passed through ---------------------------------
  io::Task<bool> Connect(const Opening* opening, base::Deadline deadline);
  io::Task<bool> Login(const Opening* opening, base::Deadline deadline);
  bool RefusesPlain(const pg::Piece& piece);
  io::Task<void> ConnectOtherWay(const Opening* opening, base::Deadline deadline);
  void NewServer();
  bool RelayLoginReplies();
  bool RelayLoginRequests();
  bool OnLoginReply(const pg::Piece& piece);
  bool StrikeChannelBinding(const pg::Piece& piece, std::string* instead);
  void KeepRest(const Opening* opening);
  bool OnBackendKey(const pg::Piece& piece);
  // -- welcome.cc: pgbraid's own login to the server, and what the client is told ----------------
  io::Task<std::optional<Identity>> Admit(Opening* opening, base::Deadline deadline);
  backend::LoginFacts LoginTo(const config::Service& service, backend::LoginFacts client) const;
  io::Task<bool> EnterPooled(Opening* opening, base::Deadline deadline);
  bool CountIn(const config::Service& service, std::string_view user, bool within_limits);
  void CountOut();
  bool TakeSettings(const Opening& opening);
  void StartAsTheClient(const Opening& opening);
  io::Task<bool> AwaitConnection(base::Deadline deadline);
  io::Task<bool> Welcome(Opening* opening, base::Deadline deadline);
  void GiveKey(uint32_t version);
  // -- pooled_relay.cc: the client's pump where connections are borrowed for a transaction --------
  enum class Step : uint8_t { kForward, kDone, kWait, kEnd };
  class Pieces;
  io::Task<void> RelayPooled();
  void OnPooledInput();
  void ForwardPooled(base::Slice slice, bool fed);
  void RepeatTurn();
  Step OnPooledPiece(const pg::Piece& piece, Pieces* to);
  Step OnContinued(const pg::Piece& piece, Pieces* to);
  void ReadLongName(const pg::Piece& piece);
  Step WithoutServer(const pg::Piece& piece);
  Step WithServer(const pg::Piece& piece, Pieces* to);
  Step OnQueryText(const pg::Piece& piece, Pieces* to);
  Step OnStatementFrame(const pg::Piece& piece, Pieces* to);
  Step OnBindNames(const pg::Piece& piece, Pieces* to);
  Step ForwardGathered(const pg::Piece& start);
  Step ResolveDoubt(char next, Pieces* to);
  Step Rewritten(const pg::Piece& piece, StatementNames::Way way);
  Step DiscardCancelled(const pg::Piece& piece);
  bool MayDrainPooled() const;
  // -- timeouts.cc: of who is logged in ----------------------------------------------------------
  static bool WatchesTurns(const config::PoolSettings& pool);
  absl::Duration StallTimeout() const;
  void StartTurns();
  void NoteAsked(char type);
  void NoteTurnOver(uint32_t bits);
  Patience NextPatience();
  void OnTimes(uint32_t bits);
  void GiveUp(Timeout cause);
  // -- follow.cc: another configuration -----------------------------------------------------------
  bool outdated() const { return epoch_.number() != around_->epoch.number(); }
  const config::Service* ServiceNow();
  bool MayGoOn(const config::Service& service) const;
  bool Follow();
  void FollowBetweenTransactions();
  // -- relay.cc: the client's pump ---------------------------------------------------------------
  io::Task<void> Relay();
  void OnClientInput();
  void Forward(base::Slice slice, bool fed);
  bool OnRequest(const pg::Piece& piece);
  static bool Completes(char type, bool before);
  bool OutcomeUnknown();
  bool Holds(const pg::Piece& piece);
  void LeaseOwn();
  bool MirrorsAreFull();
  base::Deadline NextLook() const;
  void WatchServer();
  bool MayDrain();
  void OnServerOver();
  // -- session.cc --------------------------------------------------------------------------------
  void Refuse(std::string_view sqlstate, std::string_view message);
  void Violation(std::string_view message);
  io::Task<void> Finish();
  const base::Limits& limits() const { return loop_->limits(); }
  // While there is a connection: borrowed, or the session's own.
  bool has_server() const {
    return borrower_ == nullptr ? own_server_ != nullptr : borrower_->has_connection();
  }
  backend::Connection& server() {
    return borrower_ == nullptr ? *own_server_ : borrower_->connection();
  }
  bool pools_transactions() const;

  const Surroundings* const around_;
  io::Loop* const loop_;
  const uint64_t id_;
  io::Event event_;
  io::Stream client_;
  backend::Epoch epoch_;  // by which this client is served
  std::string database_;  // that it asked for, from the StartupMessage on
  std::string user_;      // that it is, where pgbraid let it in
  const config::Service* service_ = nullptr;  // in epoch_, from the StartupMessage on
  std::unique_ptr<backend::Connection> own_server_;  // where the login passes through
  std::unique_ptr<Borrower> borrower_;               // where pgbraid logs in
  std::unique_ptr<PooledState> pooled_;              // in transaction and statement mode
  std::unique_ptr<Turns> turns_;                     // only if somebody watches them
  io::Scope pumps_;
  pg::FrameReader reader_;
  base::Slice client_slice_;  // what login reads the client's frames from; its rest is the relay's
  // A frame that the judge holds; it and what is behind it are in client_slice_, copied.
  std::optional<pg::Piece> waiting_;
  backend::Dialled server_address_;
  std::string cancel_secret_;
  uint32_t cancel_pid_ = 0;
  std::vector<std::string> counted_;  // keys under which this client is counted
  std::unique_ptr<mirror::Recorder> recorder_;
  turn::RequestId request_ = 0;  // of the frame whose pieces are passing
  std::string refused_;         // login: what a server said that will be dialled again, with TLS
  bool heard_ = false;          // login: true exactly when the server has said something
  turn::RequestId doubt_ = 0;    // the last that may have committed something when it was run
  bool complete_ = true;  // true exactly when a ReadyForQuery will follow what was asked last
  bool asked_ = false;          // login: true exactly when the server waits for the client's answer
  bool authenticated_ = false;  // true exactly when the server has said so
  base::Instant mirror_waits_from_;  // while its input is held back because a mirror is full
  bool paused_ = false;         // true exactly when the client is not read because of the server
  bool draining_ = false;
  bool ended_ = false;        // true exactly when nothing more is to be relayed
  bool leaving_ = false;      // true exactly when the client has sent Terminate
  bool half_closed_ = false;  // true exactly when the client's end was passed on
  bool cancels_ = false;      // true exactly when what the own server runs is to be cancelled
};

}  // namespace session
