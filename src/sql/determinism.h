// Determinism: what in a statement may come out otherwise on a mirror than on the primary.
//
// Pure; any thread; linear time and memory in the text (one statement at a time), no recursion but
// into the code of a DO. Cannot fail; text that is no SQL has the findings of the SQL it looks
// like. Only what the text tells: triggers, column defaults, rules and the bodies of the user's
// functions are not seen, which is why rules say "may" where those could matter. docs/lint.md lists
// the rules; the table is in determinism.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sql/function_names.h"
#include "sql/lexer.h"

namespace sql {

enum class Rule : uint8_t {
  kClock,
  kRandom,
  kUuid,
  kSequenceCall,
  kSequenceSession,
  kSequenceColumn,
  kColumnsLeftOut,
  kDefaultValue,
  kInsertSelectOrder,
  kLimitOrder,
  kSkipLocked,
  kAggregateOrder,
  kTransactionId,
  kRowAddress,
  kServerFact,
  kUser,
  kCopyFile,
  kOtherServer,
  kNotify,
  kLargeObject,
  kAdvisoryLock,
  kTemporaryTable,
  kTableSample,
  kHoldCursor,
  kCodeBlock,
  kUnknownFunction,
  kOneServer,
  kNotUnderstood,
};

enum class Severity : uint8_t {
  kDiffers,  // it will come out otherwise, but by luck
  kMay,      // it depends on what the text does not tell
  kLeftOut,  // a mirror does not get it at all
};

// "differs", "may differ", "not mirrored".
std::string_view SeverityWords(Severity severity);

struct DeterminismRule {
  Rule rule;
  Severity severity;
  std::string_view id;      // what people write: "clock"
  std::string_view words;   // what was found, for a list of findings
  std::string_view why;     // why the copy comes out otherwise
  std::string_view remedy;  // what to do
};

// Every rule, in the order of the enum.
std::span<const DeterminismRule> DeterminismRules();

struct Finding {
  Rule rule;
  std::string name;  // of the function or word that it is about, folded; may be empty
  bool operator==(const Finding&) const = default;
};

// Of one statement, in the order of the text, each pair of rule and name once. What only reads has
// findings only of kinds that do more than read. `writing`: as for Classify(); may be null.
std::vector<Finding> FindNondeterminism(std::string_view statement, LexOptions options = {},
                                        const FunctionNames* writing = nullptr);

// The statement with $ for each constant and one space between tokens, so that texts that differ
// only in those are one; at most `bytes_max` bytes and "..." behind them. Shows no values.
std::string Outline(std::string_view statement, size_t bytes_max, LexOptions options = {});

}  // namespace sql
