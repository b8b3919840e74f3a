// Prepared statements of pooled connections: texts that sessions share, and which of them a server
// connection holds.
//
// StatementTable: one per shard. A statement is one text with its parameter types in one context
// (what else changes its meaning: role, search_path); it has a name on servers that no other
// statement of the process has. Whoever uses one counts as a user, until it lets go.
// Prepared: one per pooled connection: its statements in the order of their last use. Both are
// bounded by who fills them: a session's names, a connection's max_prepared_statements.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "turn/machine.h"

namespace backend {

struct Statement {
  std::string key;   // in the table
  std::string name;  // on servers: "pgbraid_0_1a"
  std::string text;
  std::string types;  // the number of parameter types and their OIDs, as in a Parse message
  uint64_t id = 0;
  uint32_t users = 0;
  bool proven = false;  // true exactly when a server has accepted it
  // Counts the changes of its result type that servers have told of: where it was prepared before
  // the last of them it is prepared anew.
  uint32_t epoch = 1;
};

// What a connection has of a statement.
enum class Held : uint8_t {
  kNo,
  kYes,       // it has it, or will have: its Parse is on its way
  kOutdated,  // under the statement's name it has, or may have, what is to be closed
};

class StatementTable {
 public:
  // `shard`: part of every name.
  explicit StatementTable(uint32_t shard) : shard_(shard) {}
  StatementTable(const StatementTable&) = delete;
  StatementTable& operator=(const StatementTable&) = delete;

  // The statement, with one user more.
  Statement* Use(std::string_view text, std::string_view types, std::string_view context);
  // The same, if a server has accepted it before; else null.
  Statement* UseProven(std::string_view text, std::string_view types, std::string_view context);
  void UseAgain(Statement* statement) { ++statement->users; }
  void LetGo(Statement* statement);
  size_t size() const { return statements_.size(); }

 private:
  const uint32_t shard_;
  uint64_t last_ = 0;
  absl::flat_hash_map<std::string, std::unique_ptr<Statement>> statements_;
};

class Prepared {
 public:
  explicit Prepared(StatementTable* table) : table_(table) {}
  ~Prepared() { Clear(); }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  // Marks its use. After kOutdated comes its Close and a Parse.
  Held Touch(const Statement* statement);
  // Its Parse is request `request` of the connection.
  void Add(Statement* statement, turn::RequestId request);
  // Those of these requests have failed: the connection does not have their statements.
  void OnFailed(turn::RequestId first, turn::RequestId end);
  // Request `request` will run DEALLOCATE ALL, or DISCARD ALL: what is there now will be gone,
  // unless it fails.
  void Doubt(turn::RequestId request);
  // It has run.
  void OnDeallocated();
  // Request `request` uses it: a Bind, or a Describe.
  void OnUse(turn::RequestId request, const Statement* statement);
  // Request `request` has failed because a result type has changed. If that was one of these
  // statements it is outdated now, here and on every other connection of the shard; else null.
  const Statement* OnChanged(turn::RequestId request);
  // Every request so far was answered.
  void Settle();
  // Takes out the one not used for longest, if there are more than `most`; its name. Else "".
  std::string TakeExcess(size_t most);
  void Clear();
  void Drop(const Statement* statement);
  size_t size() const { return places_.size(); }

 private:
  static constexpr size_t kUsesMax = 1024;  // of requests not answered yet
  struct Pending {
    turn::RequestId request = 0;
    uint64_t statement = 0;
    bool again = false;  // it was outdated
  };
  struct Use {
    turn::RequestId request = 0;
    uint64_t statement = 0;
  };
  struct Place {
    Statement* statement = nullptr;
    uint32_t epoch = 0;  // the statement's when it was prepared; 0: outdated in any case
  };
  using Order = std::list<Place>;  // the one used last in front
  // What was there before a DEALLOCATE ALL that has not been answered.
  struct Doubted {
    turn::RequestId request = 0;
    Order order;
  };
  void Erase(Order::iterator place);
  void Restore(Doubted* doubted);

  StatementTable* const table_;
  Order order_;
  absl::flat_hash_map<uint64_t, Order::iterator> places_;
  std::vector<Pending> pending_;  // Parse requests not answered yet, in order
  std::vector<Doubted> doubted_;
  std::vector<Use> uses_;  // of requests not answered yet, in order
};

}  // namespace backend
