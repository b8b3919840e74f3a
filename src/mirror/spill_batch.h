// SpillBatch: the units that one record of a mirror's spill holds, as bytes and back.
//
// A record is a header that anyone may read, with numbers and the names of the tables that its
// units write, so that what can never be replayed can at least be named; and a body, sealed
// together with the header, with the units and the sessions that they are of. Pure; any thread, but
// the slices of what is opened belong to the thread that calls ParseBatch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/crypto.h"
#include "mirror/gap_ledger.h"
#include "mirror/unit.h"

namespace mirror {

// What the header tells of some units. Bound: kTablesMax tables; beyond it sql::kAnyTable stands
// for the rest.
struct SpillSummary {
  static constexpr size_t kTablesMax = 4096;
  struct Tally {
    uint64_t statements = 0;
    uint64_t transactions = 0;
  };

  void Add(const Unit& unit, absl::Time committed);
  void Add(const SpillSummary& other);
  // What was added before goes: numbers and tables; `first` and `last` stay as far apart as ever.
  void Subtract(const SpillSummary& other);
  // For a ledger: what is lost if all of it is.
  std::vector<Gap> Gaps(Cause cause) const;

  uint64_t units = 0;
  uint64_t statements = 0;
  absl::Time first = absl::InfiniteFuture();
  absl::Time last = absl::InfinitePast();
  std::map<std::string, Tally> tables;

 private:
  void AddTable(const std::string& table, const Tally& tally);
};

// The session that units are of, as far as its lane needs it.
struct SpillOwner {
  uint64_t lane = 0;
  uint64_t session = 0;
  std::string database;
  std::string client;  // as whom it runs statements; empty: as the login
  std::vector<std::pair<std::string, std::string>> parameters;
};

struct SpilledUnit {
  uint64_t lane = 0;
  bool after_state = false;  // its session had set something before it
  Unit unit;
  absl::Time committed;
};

// Makes a record of units, whose owners `owners` are.
class BatchWriter {
 public:
  explicit BatchWriter(const std::vector<SpillOwner>& owners);
  void Add(const SpilledUnit& spilled);
  const SpillSummary& summary() const { return summary_; }
  // `context`: whose spill it is.
  std::string Seal(const base::Seal& seal, std::string_view context) const;

 private:
  std::string body_;
  SpillSummary summary_;
};

// What anyone may read of a record; false: it is none.
bool ReadSummary(std::string_view record, SpillSummary* summary);
// The body; kDataLoss if the key or the context is another one, or a bit is.
absl::StatusOr<std::string> OpenBatch(const base::Seal& seal, std::string_view context,
                                      std::string_view record);
// False: it is no body of this version.
bool ParseBatch(std::string_view body, std::vector<SpillOwner>* owners,
                std::vector<SpilledUnit>* units);

}  // namespace mirror
