// Machine: the turn machine. What a server connection still owes, and what each reply means.
//
// Pure: frames in, small answers out; no allocation while the ledger stays within its first size.
// Owned by a server connection (one per connection), used on its shard only. It is told of every
// frontend frame in the order in which it is forwarded (OnRequest, at the frame's first piece)
// and of every backend frame in the order in which it arrives (OnReply). The ledger has one entry
// per request frame that is owed an answer; entries name the session they belong to (`owner`), so
// that turns of several sessions may follow each other on one connection. It fails by answers
// (kFull, kUnexpected, kMismatch), never otherwise; its bound is `entries_max`.
//
// It models the server (PostgreSQL manual, "Message Flow"; src/backend/tcop/postgres.c):
//  - after an error in the extended protocol everything up to the next Sync is swallowed, a Query
//    or a FunctionCall too; entries are dropped, whether already in the ledger or still to come;
//  - during COPY FROM STDIN the server swallows Sync and Flush: those sent between the Execute and
//    the CopyDone leave the ledger when CopyInResponse arrives, later ones never enter it;
//  - after COPY has failed, CopyData, CopyDone and CopyFail are ignored by the server;
//  - one Query may hold several COPYs; a turn ends at ReadyForQuery and nowhere else;
//  - FunctionCall ends in ReadyForQuery; an error of a Sync (deferred constraints) is followed by
//    its ReadyForQuery;
//  - ParameterStatus, NoticeResponse and NotificationResponse may come anywhere, and are owed by
//    nobody;
//  - replies we make ourselves stand in the ledger in order.
// Where the protocol itself is ambiguous (an error in COPY FROM after a Sync was swallowed: the
// server may or may not have seen that Sync) the machine tolerates both and says so in
// ambiguous(): such a connection is never pooled, and what it tells from then on is a best guess.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pg/frame.h"
#include "turn/ring.h"

namespace turn {

// Names one request frame of a connection; counts up from 1. 0: none.
using RequestId = uint64_t;

// The owner of requests that we make ourselves: their answers are for no session.
inline constexpr uint64_t kNobody = UINT64_MAX;

enum class RequestResult : uint8_t {
  kOk,          // forward it
  kFull,        // the ledger is at its bound: stop reading until replies have come
  kUnexpected,  // not allowed in this phase; PostgreSQL answers FATAL 08P01 (no state was changed)
};

enum class ReplyKind : uint8_t {
  kPassing,    // part of an answer (rows, descriptions, COPY data, authentication)
  kAsync,      // ParameterStatus, NoticeResponse, NotificationResponse
  kCompleted,  // CommandComplete: one statement of `request` succeeded; its tag is the body
  kEmpty,      // EmptyQueryResponse
  kSuspended,  // PortalSuspended: Execute reached its row limit
  kFailed,     // ErrorResponse: `request` failed (0: nobody asked)
  kReady,      // ReadyForQuery: the turn is over; status() is new
  kMismatch,   // nobody asked for this frame: close both sides (08P01)
};

struct Reply {
  ReplyKind kind = ReplyKind::kPassing;
  RequestId request = 0;  // whose answer it is part of; kAsync: 0
  uint64_t owner = 0;     // the session of that request; kAsync: of whoever is served, or 0
};

class Machine {
 public:
  // `entries_max`: bound of the ledger, at least 1. The machine starts in the start-up phase: one
  // entry is owed (the answer to the StartupMessage, up to the first ReadyForQuery), during which
  // only PasswordMessage-type frames ('p') are expected of the client.
  Machine(uint32_t entries_max, uint64_t startup_owner);

  // `piece.first` must be true; called once per frame, before it is forwarded. After failed() a
  // frame is kOk and makes no entry: the error that ended the connection is answer enough.
  RequestResult OnRequest(const pg::Piece& piece, uint64_t owner);
  // The id the last OnRequest gave; 0 if the frame makes no entry (CopyData, a swallowed frame, a
  // Flush: it is owed nothing).
  RequestId last_request() const { return last_request_; }
  // A frame whose first piece was not its last has now been forwarded to its end. Only poolable()
  // depends on it.
  void OnRequestEnd() { frame_open_ = false; }

  // Called once per backend frame at its first piece; CommandComplete and ReadyForQuery must be
  // whole, of an ErrorResponse the severity must be in it (it comes first).
  Reply OnReply(const pg::Piece& piece);

  // A reply of our own (whole frames), to be sent when everything before it has been answered; as
  // the frame it stands for would be, it is swallowed while the server skips to a Sync. kOk or
  // kFull (then nothing was added).
  RequestResult AddOwnReply(std::string frames, uint64_t owner);
  // The id of the entry that the last AddOwnReply made; 0 if the server skips it.
  RequestId last_own_reply() const { return last_own_; }
  // Appends the own replies whose turn has come; true if there were any. After OnReply and after
  // AddOwnReply.
  bool TakeOwnReplies(std::string* to);
  bool has_own_replies() const { return !own_ready_.empty(); }

  // Transaction status of the last ReadyForQuery: 'I', 'T', 'E'; 0 before the first.
  char status() const { return status_; }
  bool starting() const { return status_ == 0; }  // true exactly until the first ReadyForQuery
  bool owes() const { return !kinds_.empty(); }   // true exactly when the ledger is not empty
  uint32_t entries() const { return kinds_.size(); }
  // The request at the head of the ledger; if it is empty, the next one to come. After an error
  // those from Reply::request up to this one were answered by it, or will not be answered.
  RequestId oldest() const { return head_id_; }
  // True exactly when the server discards until the next Sync, which has not been sent.
  bool skipping() const { return skipping_; }
  // True exactly when the server waits for CopyData, and neither CopyDone nor CopyFail was sent.
  bool copy_in() const { return head_.phase == Phase::kCopyIn && !head_.client_done; }
  // True exactly within START_REPLICATION's CopyBoth.
  bool copy_both() const { return head_.phase == Phase::kCopyBoth; }
  bool ambiguous() const { return ambiguous_; }
  bool failed() const { return failed_; }  // true exactly after kMismatch, or a fatal error
  // Empty ledger, idle, nothing ambiguous, no frame half forwarded: may go back to a pool.
  bool poolable() const;
  size_t memory() const;  // bytes of the ledger beyond the object itself

 private:
  enum class Kind : uint8_t {
    kStartup,
    kQuery,
    kParse,
    kBind,
    kDescribe,
    kExecute,
    kClose,
    kSync,
    kFunctionCall,
    kBadFlush,  // a Flush with a body: owed an ErrorResponse
    kCopyEnd,   // CopyDone or CopyFail sent before we knew of a COPY; owed nothing
    kOwn,       // a reply of our own
    kNothing,   // was swallowed by the server; kept so that ids stay in step
  };
  // Where the answer to the head of the ledger stands.
  enum class Phase : uint8_t {
    kOpen,      // between statements
    kRows,      // Query: RowDescription was seen, its CommandComplete not yet
    kCopyOut,   // until the server's CopyDone
    kCopyIn,    // until CommandComplete or ErrorResponse
    kCopyBoth,  // until both sides have sent CopyDone
    kReady,     // an ErrorResponse was seen; only ReadyForQuery may follow
  };
  struct Head {
    Phase phase = Phase::kOpen;
    bool answered = false;        // Query, FunctionCall: may be followed by ReadyForQuery
    bool described = false;       // Describe: ParameterDescription was seen
    // COPY in, both: CopyDone or CopyFail was sent, or a frame that COPY does not survive.
    bool client_done = false;
    bool server_done = false;     // COPY both: CopyDone was received
    bool swallowed = false;       // COPY in: a Sync (or a malformed Flush) was sent before its end
    uint32_t scanned = 1;         // entries of the ledger already searched for this head's COPYs
  };
  struct OwnerRun {
    uint64_t owner = 0;
    uint32_t entries = 0;
  };

  RequestResult Add(Kind kind, uint64_t owner);
  RequestResult OnSync(uint64_t owner);
  RequestResult OnBadFlush(uint64_t owner);
  RequestResult OnCopyEnd(uint64_t owner);
  static bool FitsCopy(Kind kind);
  void Pop();
  void Settle();
  void DropToSync();
  void BeginCopyFromClient(Phase phase);

  Reply HeadReply(ReplyKind kind) const;
  Reply Done(ReplyKind kind);
  Reply Unasked(ReplyKind tolerated);
  Reply OnError(const pg::Piece& piece);
  Reply OnReady(const pg::Piece& piece);
  Reply OnPart(char type);
  Reply OnQueryPart(char type);
  Reply OnExecutePart(char type);
  Reply OnCopyPart(char type);
  bool CopyMayEnd() const;

  Ring<Kind, 16> kinds_;      // the ledger, oldest first
  Ring<OwnerRun, 2> owners_;  // of the same entries, run-length
  Head head_;
  RequestId head_id_ = 1;  // of kinds_[0]; those behind it count up
  RequestId last_request_ = 0;
  RequestId last_own_ = 0;
  uint64_t served_owner_ = 0;  // of the entry last answered: whom a tolerated reply goes to
  uint32_t entries_max_;
  char status_ = 0;
  bool skipping_ = false;
  bool ambiguous_ = false;
  bool failed_ = false;
  bool frame_open_ = false;  // true exactly when the last request's end has not been seen
  Ring<std::string, 1> own_;  // the replies of the kOwn entries, oldest first
  std::string own_ready_;     // those whose turn has come
};

}  // namespace turn
