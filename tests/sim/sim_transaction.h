// SimTransaction: what a PostgreSQL backend does with the writes of its transaction.
//
// One per connection of a SimPostgres. Statements outside of BEGIN and COMMIT, up to the end of
// their Query or to the Sync, are an implicit transaction; a BEGIN among them makes it explicit.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sim {

class SimTransaction {
 public:
  char status() const { return failed_ ? 'E' : explicit_ ? 'T' : 'I'; }
  bool pending() const { return !writes_.empty(); }

  void Write(std::string what) { writes_.push_back(std::move(what)); }
  void Begin() { explicit_ = true; }
  // Ends it; what is committed.
  std::vector<std::string> Commit() {
    std::vector<std::string> writes = failed_ ? std::vector<std::string>() : std::move(writes_);
    Rollback();
    return writes;
  }
  void Rollback() { *this = SimTransaction(); }
  void Fail() {
    failed_ = explicit_;
    if (!explicit_) {
      writes_.clear();
    }
  }
  // False: it is an error.
  bool Savepoint() {
    if (explicit_) {
      savepoints_.push_back(writes_.size());
    }
    return explicit_;
  }
  bool RollbackTo() {
    if (savepoints_.empty()) {
      return false;
    }
    writes_.resize(savepoints_.back());
    failed_ = false;
    return true;
  }
  bool Release() {
    if (savepoints_.empty()) {
      return false;
    }
    savepoints_.pop_back();
    return true;
  }

 private:
  std::vector<std::string> writes_;
  std::vector<size_t> savepoints_;  // all of one name: how many writes there were
  bool explicit_ = false;
  bool failed_ = false;
};

}  // namespace sim
