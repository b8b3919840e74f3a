// Statement: what a statement's text tells, without parsing it whole.
//
// Made by Classify() (classify.h) from the tokens of one statement. Only what the text proves:
// what a statement really did is in its CommandComplete tag and the transaction status.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

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

// What it does to data, as far as the text proves it; the first that fits, from the top.
enum class Effect : uint8_t {
  kControl,   // transaction control, see Control
  kDdl,       // CREATE, ALTER, DROP, GRANT, COMMENT, TRUNCATE?no: see kWrite, REINDEX, ...
  kWrite,     // INSERT, UPDATE, DELETE, MERGE, TRUNCATE, COPY FROM, CALL, DO, writing CTEs,
              // SELECT INTO, CREATE TABLE AS is kDdl, EXPLAIN ANALYZE of a write, nextval/setval
  kSession,   // SET, RESET, DISCARD, PREPARE, DEALLOCATE, set_config(...), session locks
  kExecute,   // EXECUTE of a statement prepared in SQL: its effect is that statement's
  kRead,      // SELECT, VALUES, TABLE, SHOW, EXPLAIN, FETCH, COPY TO
  kOther,     // LISTEN, NOTIFY, VACUUM, ANALYZE, CHECKPOINT, LOCK, CURSOR commands ...
  kUnknown,   // no word we know: treated as a write by whoever must be safe
};

struct Statement {
  Effect effect = Effect::kUnknown;
  Control control = Control::kNone;
  bool copy_in = false;         // COPY ... FROM STDIN: CopyData follows
  bool temporary = false;       // creates or drops a temporary object: pins a session
  bool session_lock = false;    // takes or releases a session advisory lock
  bool local = false;           // SET LOCAL
  bool chain = false;           // COMMIT or ROLLBACK AND CHAIN
  std::string name;             // savepoint or SQL-prepared statement, folded as PostgreSQL does
  bool mirrored_by_default() const;
};

}  // namespace sql
