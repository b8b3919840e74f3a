// The words and function names that Classify, ReadEffects and Splitter know, as enums.
//
// Constant tables; any thread; no allocation, no failure: what is not in a table is kNone.
#pragma once

#include <cstdint>
#include <string_view>

#include "sql/statement.h"

namespace sql {

// clang-format off
#define SQL_WORDS(X)                                                                              \
  X(Abort, "abort") X(All, "all") X(Alter, "alter") X(Analyse, "analyse") X(Analyze, "analyze")   \
  X(And, "and") X(As, "as") X(Atomic, "atomic") X(Authorization, "authorization")                 \
  X(Begin, "begin") X(Binary, "binary") X(Call, "call") X(Case, "case") X(Chain, "chain")         \
  X(Characteristics, "characteristics") X(Checkpoint, "checkpoint") X(Close, "close")             \
  X(Cluster, "cluster") X(Comment, "comment") X(Commit, "commit") X(Constraints, "constraints")   \
  X(Copy, "copy") X(Create, "create") X(Current, "current") X(Cycle, "cycle")                     \
  X(Deallocate, "deallocate") X(Declare, "declare") X(Default, "default") X(Delete, "delete")     \
  X(Discard, "discard") X(Do, "do") X(Drop, "drop") X(End, "end") X(Execute, "execute")           \
  X(Explain, "explain") X(False, "false") X(Fetch, "fetch") X(For, "for") X(From, "from")         \
  X(Function, "function") X(Global, "global") X(Grant, "grant") X(Hold, "hold")                   \
  X(Import, "import") X(Insert, "insert") X(Into, "into") X(Key, "key") X(Listen, "listen")       \
  X(Load, "load") X(Local, "local") X(Lock, "lock") X(Materialized, "materialized")               \
  X(Merge, "merge") X(Move, "move") X(Names, "names") X(No, "no") X(Notify, "notify") X(Of, "of") \
  X(Off, "off") X(On, "on") X(Only, "only") X(Or, "or") X(Prepare, "prepare")                     \
  X(Prepared, "prepared") X(Procedure, "procedure") X(Read, "read") X(Reassign, "reassign")       \
  X(Recursive, "recursive") X(Refresh, "refresh") X(Reindex, "reindex") X(Release, "release")     \
  X(Replace, "replace") X(Reset, "reset") X(Revoke, "revoke") X(Role, "role")                     \
  X(Rollback, "rollback") X(Savepoint, "savepoint") X(Schema, "schema") X(Search, "search")       \
  X(Security, "security") X(Select, "select") X(Session, "session") X(Set, "set")                 \
  X(Share, "share") X(Show, "show") X(Start, "start") X(Stdin, "stdin") X(Stdout, "stdout")       \
  X(System, "system") X(Table, "table") X(Temp, "temp") X(Temporary, "temporary") X(Time, "time") \
  X(To, "to") X(Transaction, "transaction") X(True, "true") X(Truncate, "truncate")               \
  X(Uescape, "uescape") X(Unlisten, "unlisten") X(Unlogged, "unlogged") X(Update, "update")       \
  X(Vacuum, "vacuum") X(Values, "values") X(Verbose, "verbose") X(With, "with") X(Work, "work")   \
  X(Write, "write") X(Xml, "xml") X(Zone, "zone")
// clang-format on

enum class Word : uint8_t {
  kNone,
#define SQL_WORD_ENUMERATOR(name, text) k##name,
  SQL_WORDS(SQL_WORD_ENUMERATOR)
#undef SQL_WORD_ENUMERATOR
};

// The word that an unquoted identifier is, in any case.
Word FindWord(std::string_view identifier);

// What a statement does that begins with `verb`, where the verb decides; kUnknown where it does not
// (COPY, EXPLAIN, PREPARE, DECLARE, transaction control) or is none.
Effect EffectOfVerb(Word verb);

// What calling a function does beyond reading, as its name tells.
enum class Call : uint8_t {
  kNone,
  kWrite,            // changes data that the transaction or the sequence keeps
  kSession,          // changes the session's settings
  kSessionLock,      // takes or releases a session advisory lock
  kTryLock,          // takes a session advisory lock if it is free, which its answer tells
  kTransactionLock,  // takes a transaction advisory lock
  kSessionRead,      // asks for what only this session's server connection knows
  kNotify,           // tells those who listen
  kServer,           // tells the one server to do something
  kOutside,          // has a third server do it
};

// `name`: folded, without its schema.
Call FindCall(std::string_view name);

}  // namespace sql
