#include "turn/transaction.h"

#include "base/check.h"

namespace turn {
namespace {

// Statements that refuse to run inside a transaction, of either kind, and have committed by the
// time they complete, whatever follows before the next Sync.
bool CommitsItself(const sql::Statement& statement, std::string_view tag) {
  if (statement.commits) return true;
  for (const std::string_view own :
       {"VACUUM", "CREATE DATABASE", "DROP DATABASE", "CREATE TABLESPACE", "DROP TABLESPACE",
        "ALTER SYSTEM", "COMMIT PREPARED", "ROLLBACK PREPARED"}) {
    if (tag == own) return true;
  }
  return false;
}

}  // namespace

const Unit* Transaction::Completed(uint64_t item, const sql::Statement& statement,
                                   std::string_view tag) {
  if (tag == "BEGIN" || tag == "START TRANSACTION") {
    // What an implicit transaction has done so far becomes part of the block.
    in_block_ = true;
    return nullptr;
  }
  if (tag == "COMMIT") return End(Fate::kCommitted, statement.chain);
  if (tag == "PREPARE TRANSACTION") return End(Fate::kPrepared, false);
  if (tag == "ROLLBACK") {
    if (statement.control == sql::Control::kRollbackTo) return RollbackTo(statement.name);
    return End(Fate::kDiscarded, statement.chain);
  }
  if (tag == "SAVEPOINT") {
    SetSavepoint(statement.name);
    return nullptr;
  }
  if (tag == "RELEASE") {
    Release(statement.name);
    return nullptr;
  }
  AddItem(item);
  return !in_block_ && CommitsItself(statement, tag) ? End(Fate::kCommitted, false) : nullptr;
}

const Unit* Transaction::Committing(const sql::Statement& statement, std::string_view tag) {
  return !in_block_ && CommitsItself(statement, tag) ? End(Fate::kCommitted, false) : nullptr;
}

const Unit* Transaction::Failed() {
  // An explicit block waits for its ROLLBACK (or ROLLBACK TO, which saves what is before it);
  // whether we are in one after this error, only ReadyForQuery tells: a failed COMMIT ends it.
  failed_ = true;
  return nullptr;
}

const Unit* Transaction::Ready(char status) {
  const bool failed = failed_;
  failed_ = false;
  if (status == 'I') return End(failed ? Fate::kDiscarded : Fate::kCommitted, false);
  in_block_ = true;
  return nullptr;
}

void Transaction::AddItem(uint64_t item) {
  if (item == 0) return;
  if (pending_.size() >= entries_max_) {
    doubtful_ = true;
    return;
  }
  pending_.push_back(item);
}

void Transaction::Fold(size_t from, size_t count) {
  DCHECK(count > 0 && from + count <= FoldEnd(from));
  const auto first = pending_.begin() + static_cast<ptrdiff_t>(from) + 1;
  pending_.erase(first, first + static_cast<ptrdiff_t>(count - 1));
  for (Savepoint& savepoint : savepoints_) {
    savepoint.pending -= savepoint.pending > from ? count - 1 : 0;
  }
}

size_t Transaction::FoldEnd(size_t from) const {
  for (const Savepoint& savepoint : savepoints_) {  // in the order in which they were set
    if (savepoint.pending > from) return savepoint.pending;
  }
  return pending_.size();
}

size_t Transaction::Find(const std::string& name) const {
  for (size_t i = savepoints_.size(); i > 0; --i) {
    if (savepoints_[i - 1].name == name) return i - 1;
  }
  return savepoints_.size();
}

void Transaction::SetSavepoint(const std::string& name) {
  if (savepoints_.size() >= entries_max_) {
    doubtful_ = true;
    return;
  }
  savepoints_.push_back(Savepoint{name, pending_.size()});
}

void Transaction::Release(const std::string& name) {
  const size_t index = Find(name);
  if (index == savepoints_.size()) {
    doubtful_ = true;
    return;
  }
  savepoints_.resize(index);  // those set after it go with it; the items stay
}

const Unit* Transaction::RollbackTo(const std::string& name) {
  failed_ = false;
  const size_t index = Find(name);
  if (doubtful_ || index == savepoints_.size()) {  // perhaps a later one of that name is not known
    doubtful_ = true;
    return nullptr;
  }
  unit_.explicit_block = true;
  unit_.to_savepoint = true;
  savepoints_.resize(index + 1);  // it stays, and may be gone back to again
  return Emit(Fate::kDiscarded, savepoints_[index].pending);
}

const Unit* Transaction::End(Fate fate, bool chain) {
  unit_.explicit_block = in_block_;
  unit_.to_savepoint = false;
  // A transaction that was rolled back whole has no doubt about it.
  const Fate told = doubtful_ && fate != Fate::kDiscarded ? Fate::kUnknown : fate;
  in_block_ = chain;
  failed_ = false;
  doubtful_ = false;
  savepoints_.clear();
  return Emit(told, 0);
}

// The items from index `from` on are decided.
const Unit* Transaction::Emit(Fate fate, size_t from) {
  DCHECK(from <= pending_.size());
  if (from == pending_.size()) return nullptr;
  unit_.fate = fate;
  if (from == 0) {
    unit_.items.clear();
    unit_.items.swap(pending_);
  } else {
    unit_.items.assign(pending_.begin() + static_cast<ptrdiff_t>(from), pending_.end());
    pending_.resize(from);
  }
  return &unit_;
}

size_t Transaction::memory() const {
  return (pending_.capacity() + unit_.items.capacity()) * sizeof(uint64_t) +
         savepoints_.capacity() * sizeof(Savepoint);
}

}  // namespace turn
