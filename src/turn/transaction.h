// Transaction: what became of each successful statement of a session.
//
// Pure. Owned by whoever records a session's statements (the mirror's recorder, compare), one per
// session, used on its shard. It is told, in the server's order, of every CommandComplete
// (Completed), every ErrorResponse (Failed) and every ReadyForQuery (Ready), and says which of the
// items it was given are now committed, discarded or moved out by PREPARE TRANSACTION. It decides
// by the tag and by the transaction status, never by the client's text; the text only tells a
// ROLLBACK TO from a ROLLBACK, whose tags are equal, and names savepoints.
//
// It never fails. Where it cannot know what became of an item (a savepoint it never saw, more than
// `entries_max` items or savepoints) it says kUnknown, for the whole transaction, at its end;
// items over that bound are not told at all.
// Not seen by anyone outside the server, and so not told: a procedure that commits within and fails
// later (sql::Statement::may_commit says who may). A connection that is lost takes what is pending
// with it: drop the object; if a COMMIT was under way its outcome is unknown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sql/statement.h"

namespace turn {

enum class Fate : uint8_t {
  kCommitted,
  kDiscarded,  // rolled back, to a savepoint or whole
  kPrepared,   // by PREPARE TRANSACTION: COMMIT PREPARED, perhaps of another session, decides
  kUnknown,
};

// Items that met one fate together: of kCommitted, those of one transaction, in order.
struct Unit {
  Fate fate = Fate::kCommitted;
  bool explicit_block = false;  // true exactly when it was a BEGIN ... COMMIT
  bool to_savepoint = false;    // kDiscarded: the transaction goes on
  std::vector<uint64_t> items;
};

class Transaction {
 public:
  // `entries_max`: bound of the items pending and the savepoints, each.
  explicit Transaction(uint32_t entries_max) : entries_max_(entries_max) {}

  // A statement succeeded. `item` names it in what is returned later; 0: nobody wants to know.
  // Transaction control is no item, but COMMIT PREPARED and ROLLBACK PREPARED are.
  // Each of the four calls returns the unit that is now decided, or nullptr; it is valid until
  // the next call.
  const Unit* Completed(uint64_t item, const sql::Statement& statement, std::string_view tag);
  // Before that: what a statement that commits by itself has committed beside itself.
  const Unit* Committing(const sql::Statement& statement, std::string_view tag);
  const Unit* Failed();
  const Unit* Ready(char status);

  // What a ROLLBACK TO has returned holds nevertheless, as part of the transaction that goes on.
  void Keep(uint64_t item) { AddItem(item); }

  // The items at the places [from, from + count) among those pending, with no savepoint in between,
  // are one from now on: the first.
  void Fold(size_t from, size_t count);
  // The place behind the last item at `from` or later with no savepoint in between.
  size_t FoldEnd(size_t from) const;

  // True exactly between BEGIN and the end of its block, as far as replies have told.
  bool in_block() const { return in_block_; }
  size_t pending() const { return pending_.size(); }
  size_t memory() const;  // bytes beyond the object itself

 private:
  struct Savepoint {
    std::string name;
    size_t pending = 0;  // how many items were pending when it was set
  };

  void AddItem(uint64_t item);
  void SetSavepoint(const std::string& name);
  void Release(const std::string& name);
  const Unit* RollbackTo(const std::string& name);
  const Unit* End(Fate fate, bool chain);
  const Unit* Emit(Fate fate, size_t from);
  // The index of the latest savepoint of that name, or savepoints_.size().
  size_t Find(const std::string& name) const;

  std::vector<uint64_t> pending_;
  std::vector<Savepoint> savepoints_;
  Unit unit_;
  uint32_t entries_max_;
  bool in_block_ = false;
  bool failed_ = false;    // true exactly when an error came after the last thing that undoes one
  bool doubtful_ = false;  // true exactly when this transaction's outcome cannot be told
};

}  // namespace turn
