// SessionEffects: what a Query's or Parse's text would leave behind in its session once its
// transaction is over, as far as the text tells; transaction pooling decides by it what follows the
// client, what pins it and what is undone.
//
// Pure functions; any thread; linear time, no recursion; what is returned holds at most
// kEffectNamesMax names. Never fails: text that is no SQL has the effects of the SQL it looks like.
// In doubt it says too much: EXPLAIN counts as if it ran what it explains, a branch of CASE as if
// it were taken, PREPARE as if EXECUTE followed.
//
// Not seen: what runs out of a string (the body of DO and of functions, dblink's queries, anything
// that EXECUTE in PL/pgSQL puts together), what functions, triggers, rules and defaults of the
// user's do, and so nextval behind a serial or identity column.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sql/lexer.h"

namespace sql {

enum SessionEffect : uint32_t {
  // -- settings; each of the first two names them in `names` ------------------------------------
  kSets = 1U << 0,       // SET [SESSION] x, SET TIME ZONE, NAMES, SCHEMA, ROLE, XML OPTION, SESSION
                         // AUTHORIZATION or CHARACTERISTICS; set_config('x', ..., false)
  kResets = 1U << 1,     // RESET x, SET x TO DEFAULT, SET TIME ZONE LOCAL, SET NAMES without a name
  kResetsAll = 1U << 2,  // RESET ALL; DISCARD ALL too
  kUnknownSetting = 1U << 3,        // set_config whose name or is_local is no literal, UPDATE of
                                    // pg_settings, or more than kEffectNamesMax settings
  kSessionAuthorization = 1U << 4,  // SET or RESET SESSION AUTHORIZATION: kSets or kResets too
  kLocal = 1U << 5,                 // SET LOCAL, SET TRANSACTION or CONSTRAINTS, set_config with
                                    // true: over with the transaction
  // -- what only this server session has --------------------------------------------------------
  kListens = 1U << 6,        // LISTEN
  kUnlistens = 1U << 7,      // UNLISTEN *; DISCARD ALL too
  kTempObject = 1U << 8,     // CREATE TEMP ..., SELECT INTO TEMP, CREATE ... pg_temp.x, and SET
                             // search_path to pg_temp first; not a table ON COMMIT DROP
  kDiscardsTemp = 1U << 9,   // DISCARD TEMP; DISCARD ALL too
  kAdvisoryLock = 1U << 10,  // pg_advisory_lock, pg_try_advisory_lock and their _shared
  kUnlocks = 1U << 11,       // pg_advisory_unlock and its _shared
  kUnlocksAll = 1U << 12,    // pg_advisory_unlock_all; DISCARD ALL too
  kHoldCursor = 1U << 13,    // DECLARE ... WITH HOLD
  kClosesAll = 1U << 14,     // CLOSE ALL; DISCARD ALL too
  kLoads = 1U << 15,         // LOAD
  kOtherState = 1U << 16,    // setseed, dblink_connect, a backup, a replication origin, a slot that
                             // may be temporary: nothing gives these back
  // -- statements prepared in SQL ---------------------------------------------------------------
  kPrepares = 1U << 17,        // PREPARE name, not PREPARE TRANSACTION
  kExecutes = 1U << 18,        // EXECUTE name
  kDeallocates = 1U << 19,     // DEALLOCATE name
  kDeallocatesAll = 1U << 20,  // DEALLOCATE ALL; DISCARD ALL too
  // -- sequences --------------------------------------------------------------------------------
  kReadsSequence = 1U << 21,  // currval, lastval: answered by the session that used the sequence
  kUsesSequence = 1U << 22,   // nextval, setval
  kDiscardsAll = 1U << 23,    // DISCARD ALL
};

inline constexpr size_t kEffectNamesMax = 64;

struct SessionEffects {
  uint32_t flags = 0;  // of SessionEffect; in what order they happen is not told
  // Settings that kSets and kResets are about, lower case, without repetition: those of PostgreSQL
  // as it spells them ("timezone", "default_transaction_isolation"), the user's as they are
  // written ("app.tenant").
  std::vector<std::string> names;
  std::string deallocate;  // the name, if DEALLOCATE [PREPARE] name is the whole text
};

// All statements of `text` together.
SessionEffects ReadEffects(std::string_view text, LexOptions options = {});

// False only if ReadEffects would find nothing, under any options; costs tens of nanoseconds for a
// short SELECT, INSERT, UPDATE or DELETE.
bool MayHaveEffects(std::string_view text);

}  // namespace sql
