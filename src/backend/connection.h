// Connection: one connection to a PostgreSQL server: its stream, its ledger and its pump.
//
// Owned by whoever dialled it (a session, a mirror's lane), on one shard. The pump is one
// long-lived coroutine that reads the server for as long as the connection lives, leased or not,
// so that an idle connection still hears notices, notifications and its own end. Replies go to the
// sink of the leg that has the lease, in the slices in which they came; what a leg must know it
// finds in notes() after its event was raised.
//
// Back-pressure: the server is not read while more than Limits::queue_high waits for the sink.
// Failure: the server ends the stream, or answers what nobody asked for (a mismatch): over().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend_metrics.h"
#include "backend/lessee.h"
#include "io/event.h"
#include "io/stream.h"
#include "io/task.h"
#include "pg/frame_reader.h"
#include "pg/trace.h"
#include "turn/judge.h"
#include "turn/machine.h"

namespace backend {

// What became of a request, for whoever asked to be told.
struct Note {
  turn::ReplyKind kind = turn::ReplyKind::kPassing;  // kCompleted, kEmpty, kSuspended, kFailed,
                                                     // kReady, kAsync
  turn::RequestId request = 0;
  char status = 0;   // kReady: the transaction status
  std::string text;  // kCompleted: the command tag; kFailed: the SQLSTATE; kAsync: "name=value" of
                     // a setting that decides how texts are read
};

// Who is told what became of requests before the answer is queued for the leg's sink. A pure
// interface, called on the shard, from within the pump.
class NoteTaker {
 public:
  virtual ~NoteTaker() = default;
  virtual void OnNote(const Note& note) = 0;
};

// A lease taking part in turns.
struct Leg {
  io::Stream* sink = nullptr;  // where replies go; null: they are read and dropped
  io::Event* event = nullptr;  // raised for the bits below
  uint32_t note_bit = 0;       // there are notes to take; 0: none are kept
  uint32_t over_bit = 0;       // the connection is over
  uint32_t ready_bit = 0;      // a ReadyForQuery left the ledger empty; 0: not told
  uint32_t turn_bit = 0;       // a ReadyForQuery; 0: not told
  uint32_t idle_bit = 0;       // likewise, of one outside of a transaction
  uint32_t pause_bit = 0;      // the server is not read because of the sink; 0: not told
  uint64_t owner = 0;
  NoteTaker* notes = nullptr;    // told of each note at once; null: nobody
  turn::Judge* judge = nullptr;  // asked before replies are released
  Lessee* lessee = nullptr;      // of a pooled connection
};

// What a server has reported about a session: by ParameterStatus, in the order of their first one.
using Parameters = std::vector<std::pair<std::string, std::string>>;
// Of a list of them, whatever their order; never 0.
uint64_t PrintOf(const Parameters& parameters);

class Connection {
 public:
  // `loop` and `metrics` outlive this. `protocol_log`: every conversation is traced to the log.
  Connection(io::Loop* loop, BackendMetrics* metrics, bool protocol_log);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  io::Stream& stream() { return stream_; }
  turn::Machine& machine() { return machine_; }

  // -- the lease --------------------------------------------------------------------------------
  void Lease(const Leg& leg);
  void EndLease();
  bool leased() const { return leg_.event != nullptr || leg_.lessee != nullptr; }
  // From now on `bit` of the leg's event is raised when a ReadyForQuery leaves the ledger empty.
  void TellWhenReady(uint32_t bit) { leg_.ready_bit = bit; }
  // Likewise at every ReadyForQuery, and `idle` too at one outside of a transaction.
  void TellTurns(uint32_t turn, uint32_t idle) {
    leg_.turn_bit = turn;
    leg_.idle_bit = idle;
  }

  // After its stream was closed, before it was pumped: for another connection to the same server.
  void Renew();

  // -- before the pump runs: login --------------------------------------------------------------
  // The next piece of what the server has sent, its ledger told; kMore: nothing complete is here.
  // `*piece` and what it points to live until the next call.
  pg::ReadResult NextLoginPiece(pg::Piece* piece, turn::Reply* reply);

  // -- the pump ---------------------------------------------------------------------------------
  // Runs until the server's stream ends, a mismatch, or Stop(). Spawned once, after login.
  io::Task<void> Pump();
  void Stop() { event_.Raise(io::Event::kStop); }
  bool over() const { return over_; }
  // Since when the server is not read because of the sink; Never() if it is.
  base::Instant stalled_since() const { return stalled_since_; }
  // True exactly when the sink has got the beginning of a message and not its end.
  bool mid_reply() const { return reader_.mid_pieces(); }
  // Why: a mismatch's text, or empty for an ordinary end of the stream.
  const std::string& fault() const { return fault_; }
  // BackendKeyData: what a cancel of this connection needs. Secret empty: the server sent none.
  uint32_t key_pid() const { return key_pid_; }
  const std::string& key_secret() const { return key_secret_; }

  // Lets go of the reply that the judge held, and of what stands behind it.
  void Release() { event_.Raise(kReleased); }

  // The notes kept since the last call, in the order of the replies.
  void TakeNotes(std::vector<Note>* to);

  // -- of a pooled connection -------------------------------------------------------------------
  // From now on ParameterStatus messages are kept. Before the login.
  void KeepParameters() { keeps_parameters_ = true; }
  const Parameters& parameters() const { return parameters_; }
  // Equal for equal parameters, and as good as never for others.
  uint64_t parameters_print() const { return parameters_print_; }
  // Whole frames of our own, for nobody: what they are answered goes to Lessee::OnHidden(). False
  // if the ledger is full; then nothing was sent.
  bool Ask(std::string_view frames);
  // The next ReadyForQuery, owed to the request that is the only one in the ledger, is not for the
  // client: what came before it will be asked again.
  void HideReady() { hidden_ready_ = machine_.oldest(); }
  // Own replies whose turn has come go to the sink. After turn::Machine::AddOwnReply.
  void SendOwnReplies();

  // -- requests ---------------------------------------------------------------------------------
  // Trace of what is forwarded to the server, for --log-protocol.
  void TraceRequest(const pg::Piece& piece);
  size_t memory() const;

 private:
  enum Bits : uint32_t { kReadable = 1, kSinkDrained = 2, kReleased = 4 };

  enum class Way : uint8_t { kPass, kDrop, kEnd };

  void Drain();
  void Relay(base::Slice slice, bool fed);
  bool RelayRun(const base::Slice& slice);
  Way OnPiece(const pg::Piece& piece);
  Way OnHiddenPiece(const pg::Piece& piece, const turn::Reply& reply);
  void OnParameter(const pg::Piece& piece, bool hidden);
  void OnBackendKey(const pg::Piece& piece);
  Way TellLessee(const pg::Piece& piece, const turn::Reply& reply);
  Way OnPassingPart(const pg::Piece& piece, const turn::Reply& reply);
  void SendDeferred();
  void SendInstead();
  bool Holds(const pg::Piece& piece, const turn::Reply& reply);
  void OnReply(const pg::Piece& piece, const turn::Reply& reply);
  void WatchSink();
  void End(std::string fault);

  BackendMetrics* const metrics_;
  io::Stream stream_;
  pg::FrameReader reader_;
  turn::Machine machine_;
  io::Event event_;
  Leg leg_;
  std::vector<Note> notes_;
  base::Slice login_slice_;        // what NextLoginPiece reads from; its rest is the pump's
  base::Slice held_slice_;         // a reply that the judge holds and what is behind it, copied
  std::optional<pg::Piece> held_;  // that reply; true exactly until Release()
  std::string fault_;
  bool paused_ = false;  // true exactly when the server is not read because of the sink
  base::Instant stalled_since_ = base::Instant::Never();
  bool over_ = false;
  bool pumping_ = false;           // true exactly while Pump() runs
  bool keeps_parameters_ = false;
  bool hidden_ = false;  // true exactly when the frame whose pieces are passing is for nobody
  turn::Reply hidden_reply_;       // of that frame
  std::string instead_;   // of an error that was dropped
  std::string deferred_;  // a ParameterDescription, until what follows it has come
  turn::RequestId hidden_ready_ = 0;  // whose ReadyForQuery the client does not get
  turn::RequestId ready_ = 0;      // of a ReadyForQuery that the lessee is to be told of
  Parameters parameters_;
  uint64_t parameters_print_ = 0;
  uint32_t key_pid_ = 0;
  std::string key_secret_;
  struct Tracer;
  std::unique_ptr<Tracer> tracer_;  // only with protocol_log
};

}  // namespace backend
