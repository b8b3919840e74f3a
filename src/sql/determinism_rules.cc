#include <iterator>

#include "sql/determinism.h"

namespace sql {
namespace {

constexpr DeterminismRule kRules[] = {
    {Rule::kClock, Severity::kDiffers, "clock", "reads the clock",
     "the mirror runs the statement later and reads its own clock",
     "pass the time as a parameter, from the application"},
    {Rule::kRandom, Severity::kDiffers, "random", "asks for a random value",
     "each server draws its own", "draw it in the application and pass it as a parameter"},
    {Rule::kUuid, Severity::kDiffers, "uuid", "makes a UUID", "each server makes its own",
     "make it in the application and pass it as a parameter"},
    {Rule::kSequenceCall, Severity::kDiffers, "sequence-call", "takes a sequence's next value",
     "each server counts by itself; values that sessions take at the same time, or that a rolled "
     "back transaction has taken, are others there",
     "take the value first (SELECT nextval(...)) and pass it as a parameter"},
    {Rule::kSequenceSession, Severity::kDiffers, "sequence-session",
     "asks what the session last took from a sequence",
     "it is what this session took on that server, which may be another value or none",
     "use RETURNING, and pass the value as a parameter"},
    {Rule::kSequenceColumn, Severity::kDiffers, "sequence-column",
     "makes a column whose values come from a sequence",
     "each server counts by itself, so an INSERT that leaves the column out may get another value",
     "name the column in INSERTs with a value from the application, or compare without it"},
    {Rule::kColumnsLeftOut, Severity::kMay, "insert-without-columns",
     "inserts without naming the columns",
     "columns that the values do not reach get their defaults, which may be a sequence, the clock "
     "or a random value",
     "name the columns, generated ones too"},
    {Rule::kDefaultValue, Severity::kMay, "default-value", "asks for a column's default",
     "the default may be a sequence, the clock or a random value", "pass the value as a parameter"},
    {Rule::kInsertSelectOrder, Severity::kMay, "insert-select-order",
     "inserts the rows of a query without ORDER BY",
     "the rows may come in another order, and serial or identity values follow that order",
     "add an ORDER BY over a unique key"},
    {Rule::kLimitOrder, Severity::kDiffers, "limit-order",
     "chooses rows by LIMIT or FETCH FIRST without ORDER BY",
     "which rows come first depends on how they lie on each server's disk",
     "add an ORDER BY over a unique key"},
    {Rule::kSkipLocked, Severity::kDiffers, "skip-locked", "passes over rows that are locked",
     "which rows are locked depends on who runs at the same time, and others do on the mirror",
     "choose the rows in a SELECT of its own, then write by their keys"},
    {Rule::kAggregateOrder, Severity::kMay, "aggregate-order",
     "collects rows, or numbers them, without an order",
     "the rows may come in another order on each server",
     "write ORDER BY within the call, or within OVER (...)"},
    {Rule::kTransactionId, Severity::kDiffers, "transaction-id",
     "asks for a transaction's number, snapshot or place in the log", "each server has its own",
     "pass a value of the application's"},
    {Rule::kRowAddress, Severity::kDiffers, "row-address",
     "uses ctid, xmin, xmax, cmin, cmax or tableoid",
     "where a row lies, and who wrote it, is each server's own", "use a key"},
    {Rule::kServerFact, Severity::kDiffers, "server-fact",
     "asks about the server, the connection or the process",
     "the mirror is another server, and its client is pgbraid",
     "ask in a SELECT of its own and pass the value as a parameter"},
    {Rule::kUser, Severity::kMay, "user", "asks for the user, the database or the schema",
     "the mirror's connection may log in by another name, to another database",
     "log in to the mirror by the same names, or pass the value as a parameter"},
    {Rule::kCopyFile, Severity::kDiffers, "copy-file", "reads a file of the server, or a program",
     "the mirror reads its own file, or runs the program once more", "use COPY ... FROM STDIN"},
    {Rule::kOtherServer, Severity::kDiffers, "other-server", "speaks to another server",
     "a call of its own is left out; within a write the mirror says it once more",
     "do it from the application, or exclude the statement from the mirror"},
    {Rule::kNotify, Severity::kLeftOut, "notify", "listens or notifies",
     "those who listen are connected to the primary", "nothing, if nobody listens on the mirror"},
    {Rule::kLargeObject, Severity::kDiffers, "large-object", "works with large objects",
     "each server gives them numbers of its own, and descriptors live in one transaction",
     "store the bytes in a bytea column"},
    {Rule::kAdvisoryLock, Severity::kMay, "advisory-lock", "takes or gives back an advisory lock",
     "the mirror has locks of its own; a try may succeed on one server and fail on the other",
     "do not let what is written depend on the answer"},
    {Rule::kTemporaryTable, Severity::kMay, "temporary-table", "makes a temporary object",
     "it lives as long as the mirror's connection; when that breaks, what needs the object is "
     "skipped and counted",
     "use an ordinary table, or take the gap ledger for what was missed"},
    {Rule::kTableSample, Severity::kDiffers, "table-sample", "samples a table",
     "which rows are in the sample depends on how they lie on each server's disk",
     "choose rows by a hash of their key"},
    {Rule::kHoldCursor, Severity::kMay, "hold-cursor", "makes a cursor WITH HOLD",
     "it lives as long as the mirror's connection; when that breaks, what needs it is skipped",
     "read within the transaction"},
    {Rule::kCodeBlock, Severity::kMay, "code-block", "runs code",
     "what it does may depend on all that its functions and queries depend on; of other languages "
     "than SQL's own words nothing is seen",
     "write plain statements, or check the code by hand"},
    {Rule::kUnknownFunction, Severity::kMay, "unknown-function",
     "calls a function that is not PostgreSQL's own",
     "its text does not tell what it reads, and a SELECT of it is not mirrored if it is not known "
     "to write",
     "look at its body; add it to writing_functions if it writes"},
    {Rule::kOneServer, Severity::kLeftOut, "one-server",
     "is about one server, its files or its processes", "the mirror's are another matter",
     "do it there yourself if it is wanted"},
    {Rule::kNotUnderstood, Severity::kMay, "not-understood", "is no statement that is known",
     "it is sent to the mirror as a write, and nothing can be said of it", "check it by hand"},
};

constexpr bool InOrder() {
  for (size_t i = 0; i < std::size(kRules); ++i) {
    if (static_cast<size_t>(kRules[i].rule) != i) {
      return false;
    }
  }
  return std::size(kRules) == static_cast<size_t>(Rule::kNotUnderstood) + 1;
}
static_assert(InOrder());

}  // namespace

std::span<const DeterminismRule> DeterminismRules() { return kRules; }

std::string_view SeverityWords(Severity severity) {
  switch (severity) {
    case Severity::kDiffers:
      return "differs";
    case Severity::kMay:
      return "may differ";
    case Severity::kLeftOut:
      return "not mirrored";
  }
  return "";
}

}  // namespace sql
