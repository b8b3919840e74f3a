// Machine: the turn machine. What a server connection still owes, and what each reply means.
//
// Pure: frames in, small answers out; no allocation while the ledger stays within its first size.
// Owned by a server connection (one per connection), used on its shard only. It is told of every
// frontend frame in the order in which it is forwarded (OnRequest, at the frame's first piece)
// and of every backend frame in the order in which it arrives (OnReply). The ledger has one entry
// per request frame that is owed an answer; entries name the session they belong to (`owner`), so
// that turns of several sessions may follow each other on one connection.
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
// ambiguous(): such a connection is never pooled.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pg/frame.h"

namespace turn {

// Names one request frame of a connection; counts up from 1. 0: none.
using RequestId = uint64_t;

enum class RequestResult : uint8_t {
  kOk,          // forward it
  kFull,        // the ledger is at its bound: stop reading until replies have come
  kUnexpected,  // not allowed in this phase; PostgreSQL answers FATAL 08P01 (no state was changed)
};

enum class ReplyKind : uint8_t {
  kPassing,     // part of an answer (rows, descriptions, COPY data, authentication)
  kAsync,       // ParameterStatus, NoticeResponse, NotificationResponse
  kCompleted,   // CommandComplete: one statement of `request` succeeded; its tag is the body
  kEmpty,       // EmptyQueryResponse
  kSuspended,   // PortalSuspended: Execute reached its row limit
  kFailed,      // ErrorResponse: `request` failed (0: nobody asked)
  kReady,       // ReadyForQuery: the turn is over; status() is new
  kMismatch,    // nobody asked for this frame: close both sides (08P01)
};

struct Reply {
  ReplyKind kind = ReplyKind::kPassing;
  RequestId request = 0;  // whose answer it is part of
  uint64_t owner = 0;     // the session of that request; kAsync: of whoever is served, or 0
};

class Machine {
 public:
  // `entries_max`: bound of the ledger. The machine starts in the start-up phase: one entry is
  // owed (the answer to the StartupMessage, up to the first ReadyForQuery), during which only
  // PasswordMessage-type frames ('p') are expected of the client.
  Machine(uint32_t entries_max, uint64_t startup_owner);

  // `piece.first` must be true; called once per frame, before it is forwarded.
  RequestResult OnRequest(const pg::Piece& piece, uint64_t owner);
  // The id the last OnRequest gave; 0 if the frame makes no entry (CopyData, a swallowed frame).
  RequestId last_request() const;

  // Called once per backend frame at its first piece; CommandComplete, ErrorResponse,
  // ReadyForQuery and BackendKeyData must be whole (others need not be).
  Reply OnReply(const pg::Piece& piece);

  // A reply of our own (whole frames), to be sent when everything before it has been answered.
  void AddOwnReply(std::string frames, uint64_t owner);
  // Appends the own replies whose turn has come; true if there were any. After OnReply and after
  // AddOwnReply.
  bool TakeOwnReplies(std::string* to);

  // Transaction status of the last ReadyForQuery: 'I', 'T', 'E'; 0 before the first.
  char status() const;
  bool starting() const;      // true exactly until the first ReadyForQuery
  bool owes() const;          // true exactly when the ledger is not empty
  uint32_t entries() const;
  bool skipping() const;      // true exactly when the server discards until the next Sync
  bool copy_in() const;       // true exactly when the server waits for CopyData
  bool copy_both() const;     // true exactly within START_REPLICATION's CopyBoth
  bool ambiguous() const;
  bool failed() const;        // true exactly after kMismatch, or a FATAL error
  // Empty ledger, idle, nothing ambiguous, no frame half forwarded: may go back to a pool.
  bool poolable() const;
  size_t memory() const;      // bytes of the ledger beyond the object itself
