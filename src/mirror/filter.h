// Filters: which of a session's successful statements go to which mirrors.
//
// Pure; one per shard, made of the configuration, which keeps its number within
// config::kMirrorFiltersMax; it outlives the recorders. It decides by kind and by patterns, for all
// filters at once: bit i of a mask is filter i. What keeps session state goes to every mirror, or
// what comes later would mean something else there.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/mirror_filter.h"
#include "sql/statement.h"

namespace mirror {

// What a statement is to a filter.
enum class Kind : uint8_t {
  kControl,    // BEGIN and its like: who mirrors follows transactions by their outcome. Never goes
  kPrepared,   // COMMIT or ROLLBACK PREPARED: always goes, as PREPARE TRANSACTION does
  kState,      // SET, PREPARE, temporary objects: always goes, unless a pattern excludes it
  kLock,       // a session's advisory lock or unlock that does nothing else: always goes
  kDdl,        // objects: CREATE, ALTER, DROP, GRANT, TRUNCATE, SELECT INTO
  kDml,        // rows: INSERT, UPDATE, DELETE, MERGE, COPY FROM, CALL, DO, nextval(), REFRESH
  kRead,
  kOther,      // LISTEN, NOTIFY, VACUUM, ANALYZE, LOCK
  kOneServer,  // no other server's business: ALTER SYSTEM, pg_terminate_backend(); or done on a
               // third one: dblink_exec(); or by an answer: pg_try_advisory_lock(). Never goes
  kUnknown,    // could be any write
};
inline constexpr size_t kKinds = 10;

// EXECUTE counts as a write: whoever knows what was prepared asks for that instead.
Kind KindOf(const sql::Statement& facts);
// For a statement whose text was not kept: what its tag tells.
Kind KindOfTag(std::string_view tag);

class Filters {
 public:
  // Of the configured mirrors, equal ones together.
  explicit Filters(const config::Config& config);
  Filters(const Filters&) = delete;
  Filters& operator=(const Filters&) = delete;

  // Of the mirror at `index` in the configuration.
  size_t FilterOf(size_t index) const { return of_mirror_[index]; }
  double exposure(size_t filter) const { return filters_[filter].exposure; }
  // Of the capture, if there is one.
  size_t capture() const { return of_mirror_.back(); }
  // For the cache that classifies; null if nothing is to be marked.
  const sql::Marker* marker() const { return patterns_.any() ? &patterns_ : nullptr; }

  // The filters that want a statement. `marks`: those of its text.
  uint32_t Wanting(Kind kind, uint64_t marks) const {
    const uint32_t mask = wanting_[static_cast<size_t>(kind)];
    return marks == 0 ? mask : mask & ~Blocking(kind, marks);
  }

 private:
  static uint32_t Blocking(Kind kind, uint64_t marks);

  std::vector<size_t> of_mirror_;  // and behind them of the capture
  std::vector<config::MirrorFilter> filters_;
  config::MirrorPatterns patterns_;
  std::array<uint32_t, kKinds> wanting_{};
};

// True exactly for the given share of all numbers: the transaction `number` of a session is in the
// sample of whoever has that exposure. What a smaller one has, a larger one has too.
bool InSample(double exposure, uint64_t session, uint64_t number);

}  // namespace mirror
