// SpillRoot: the folder below which all spills of a process are, and what an earlier process has
// left there.
//
// Made by server/ before the shards, destroyed after them. FOLDER/MIRROR/SHARD is a record log.
// What is left of an earlier process is named in the gap ledgers and removed, unless the operator's
// key opens it: then it waits in Leftovers() to be replayed, under another name. What is damaged is
// named and set aside. Bound: spill_max, all mirrors together.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/credit.h"
#include "base/crypto.h"
#include "config/config.h"
#include "io/file.h"
#include "mirror/gap_ledger.h"
#include "mirror/spill_batch.h"

namespace mirror {

class SpillRoot {
 public:
  // Blocking. The folder is made, for its owner alone, if it is missing; one process has it at a
  // time. `ledgers` are those of the mirrors.
  static absl::StatusOr<std::unique_ptr<SpillRoot>> Open(const config::Config& config,
                                                         const std::vector<GapLedger*>& ledgers);
  SpillRoot(const SpillRoot&) = delete;
  SpillRoot& operator=(const SpillRoot&) = delete;

  std::string FolderFor(std::string_view mirror, uint32_t shard) const;
  // Of a shard's file that has no name once it is made.
  std::string OverflowPath(uint32_t shard, uint64_t number) const;
  const base::Seal& seal() const { return seal_; }
  // True exactly when another process can read what is on the disk: the key is the operator's.
  bool keeps() const { return keeps_; }
  base::CreditPool* disk() { return &disk_; }
  // Folders of logs of `mirror`, one for each earlier process that has left some, oldest first,
  // that the key opens.
  const std::vector<std::string>& Leftovers(const std::string& mirror) { return left_[mirror]; }

  // Removes what Open() has named: once the ledgers are kept.
  void RemoveNamed();
  // A record log that nobody has open, with its folder. Blocking.
  static absl::Status RemoveLog(const std::string& folder);
  // Of what a process has left.
  static absl::StatusOr<std::vector<std::string>> LogsOf(const std::string& generation);
  static absl::Status RemoveGeneration(const std::string& folder);
  // Out of the way, for somebody to look at. Blocking.
  static absl::Status SetAside(const std::string& folder);

 private:
  SpillRoot(const config::Config& config, const std::string& key, io::File lock);
  struct Found {  // of one log
    SpillSummary doubtful;  // may have been delivered
    SpillSummary waiting;
    bool opens = true;  // true exactly when the key fits all that waits
  };
  absl::Status LookAt(GapLedger* ledger);
  absl::Status LookAtLog(const std::string& log, GapLedger* ledger, bool* replays);
  absl::Status Read(const std::string& log, std::string_view mirror, Found* found) const;

  const std::string folder_;
  const bool keeps_;
  const base::Seal seal_;
  const io::File lock_;  // held until this dies
  base::CreditPool disk_;
  std::map<std::string, std::vector<std::string>> left_;
  std::vector<std::string> named_;
};

}  // namespace mirror
