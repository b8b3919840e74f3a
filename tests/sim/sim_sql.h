// The SQL of the simulation: statements whose first words mean to pgbraid what they mean to
// PostgreSQL, with a comment that tells the simulated server what to answer.
//
// Values. The comment holds a count and the nonce of the statement.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sim {

// A nonce that says: it is the parameter's first word.
inline constexpr std::string_view kFromParameter = "$1";

enum class Verb : uint8_t {
  kSelect,
  kCopyOut,
  kCopyIn,
  kInsert,
  kDelete,  // always fails
  kBegin,
  kCommit,
  kRollback,
  kSavepoint,
  kRollbackTo,
  kRelease,
  // pgbraid's own, about its markers (mirror/marker.h)
  kMarkInstall,
  kMarkOpen,
  kMark,
  kMarkEnd,
  kMarkTake,
  kMarkHas,
  kMarkClose,
  kOwnState,  // makes a connection somebody's
  kDeallocate,
};

struct Sql {
  Verb verb = Verb::kSelect;
  uint64_t count = 0;  // rows of an answer
  std::string nonce;   // empty: one of pgbraid's own
  std::vector<int64_t> numbers = {};  // of kMark...: the link, and the number if there is one
};

std::string Text(const Sql& sql);
Sql ReadSql(std::string_view text);
// The command tag of one that succeeded.
std::string Tag(const Sql& sql);
// At the semicolons, of which a statement has none but for kMarkInstall, which is one.
std::vector<std::string> SplitSql(const std::string& text);

}  // namespace sim
