// Statement: what a statement's text tells, without parsing it whole.
//
// A value: made by Classify() (classify.h) from the tokens of one statement, owned by whoever asked
// (or by ClassifyCache). Only what the text proves: what a statement really did is in its
// CommandComplete tag and the transaction status. Never fails: what is not understood is kUnknown,
// which everyone treats as a write.
#pragma once

#include <cstdint>
#include <string>

namespace sql {

// What the statement is for its transaction.
enum class Control : uint8_t {
  kNone,
  kBegin,             // BEGIN, START TRANSACTION
  kCommit,            // COMMIT, END (AND CHAIN too)
  kRollback,          // ROLLBACK, ABORT (AND CHAIN too)
  kSavepoint,         // SAVEPOINT name
  kRelease,           // RELEASE [SAVEPOINT] name
  kRollbackTo,        // ROLLBACK TO [SAVEPOINT] name
  kPrepare,           // PREPARE TRANSACTION
  kCommitPrepared,    // COMMIT PREPARED
  kRollbackPrepared,  // ROLLBACK PREPARED
};

// What it does, as far as the text proves it; if several fit, the first of kControl ... kExecute,
// then kOther, and kRead only if nothing else fits.
enum class Effect : uint8_t {
  kControl,  // transaction control, see Control
  kDdl,      // CREATE (CREATE TABLE AS too), ALTER, DROP, GRANT, REVOKE, COMMENT, SECURITY LABEL,
             // REASSIGN, IMPORT FOREIGN SCHEMA, REINDEX, CLUSTER
  kWrite,    // INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY FROM, CALL, DO, SELECT INTO, REFRESH
             // MATERIALIZED VIEW, writing CTEs, calls of nextval, setval, lo_... and their like
  kSession,  // SET, RESET, DISCARD, PREPARE, DEALLOCATE, LOAD, set_config(...), session locks
  kExecute,  // EXECUTE of a statement prepared in SQL: its effect is that statement's
  kRead,     // SELECT, VALUES, TABLE, SHOW, EXPLAIN, DECLARE, FETCH, MOVE, CLOSE, COPY TO STDOUT
  kOther,    // no rows change, but one server is told to do something: LOCK, LISTEN, UNLISTEN,
             // NOTIFY, VACUUM, ANALYZE, CHECKPOINT, ALTER SYSTEM, COPY TO a file or program,
             // calls of pg_notify, pg_terminate_backend, pg_switch_wal, dblink and their like
  kUnknown,  // no word we know, text that ends within a token, or `several`
};

// EXPLAIN without ANALYZE reads; with ANALYZE it is what it explains.
struct Statement {
  Effect effect = Effect::kUnknown;
  Control control = Control::kNone;
  Effect prepared = Effect::kUnknown;  // PREPARE: the effect that EXECUTE will have; the flags
                                       // below are then those of the statement prepared
  bool empty = false;                  // nothing but gaps and semicolons (effect kRead)
  bool several = false;       // more than one statement: use Splitter; nothing else is filled
  bool copy_in = false;       // COPY ... FROM STDIN: CopyData follows
  bool temporary = false;     // names an object that lives as long as the session: TEMP, pg_temp.x,
                              // a cursor WITH HOLD; a temporary table's bare name does not show it
  bool session_lock = false;  // takes or releases a session advisory lock
  bool locking = false;       // FOR UPDATE or SHARE, LOCK, a transaction's advisory lock: no reader
                              // can do it
  bool session_read = false;  // asks for what only this session's server connection knows: currval,
                              // lastval, FETCH, MOVE, CLOSE
  bool local = false;      // ends with the transaction: SET LOCAL, SET TRANSACTION or CONSTRAINTS
  bool objects = false;    // kWrite, but of objects as such: SELECT INTO, TRUNCATE
  bool one_server = false;  // kOther that means this server, its files or its processes and no
                            // other's: ALTER SYSTEM, CHECKPOINT, COPY TO a file or program, calls
                            // of pg_terminate_backend, pg_switch_wal and their like; or that a
                            // third server does: dblink. kSession of which only the answer tells
                            // what was done: pg_try_advisory_lock
  bool read_only = false;  // BEGIN, START TRANSACTION or SET TRANSACTION with READ ONLY
  bool chain = false;      // COMMIT or ROLLBACK AND CHAIN
  bool commits = false;     // outside of a transaction block commits what came before it, and
                            // itself: CREATE INDEX CONCURRENTLY and its like, which refuse a block
  bool may_commit = false;  // likewise, perhaps, and before it may fail: CALL, DO
  bool cursor = false;      // DECLARE, FETCH, MOVE, CLOSE, or a write WHERE CURRENT OF
  uint64_t marks = 0;      // what the Marker of a ClassifyCache says of the text; else 0
  std::string name;        // savepoint, SQL-prepared statement (of CREATE TABLE AS EXECUTE too) or
                           // cursor, folded and cut to 63 bytes as PostgreSQL does; empty:
                           // DEALLOCATE ALL, CLOSE ALL
};

// True exactly for what a copy of the session elsewhere must also run to stay equal: kDdl, kWrite,
// kSession, kExecute, kUnknown. Not kRead, not kControl (who copies follows transactions by
// outcome) and not kOther, statement by statement: LOCK holds only until the transaction's end and
// changes no rows; LISTEN, UNLISTEN and NOTIFY speak to clients of the one server; VACUUM, ANALYZE,
// CHECKPOINT and ALTER SYSTEM are each server's own housekeeping.
inline bool WritesOrKeepsState(const Statement& statement) {
  switch (statement.effect) {
    case Effect::kDdl:
    case Effect::kWrite:
    case Effect::kSession:
    case Effect::kExecute:
    case Effect::kUnknown:
      return true;
    case Effect::kControl:
    case Effect::kRead:
    case Effect::kOther:
      return false;
  }
  return true;
}

}  // namespace sql
