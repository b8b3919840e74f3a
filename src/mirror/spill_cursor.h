// SpillCursor: reads the records of a record log that is still being appended to, in order, as far
// as they are on stable storage. SpillMark: how far its units have been given to their lanes.
//
// Blocking: for a Worker's thread, one call at a time. It holds one segment in memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "io/file.h"
#include "io/record_format.h"

namespace mirror {

class SpillCursor {
 public:
  explicit SpillCursor(std::string folder) : folder_(std::move(folder)) {}
  SpillCursor(const SpillCursor&) = delete;
  SpillCursor& operator=(const SpillCursor&) = delete;

  // The record `sequence`, good until the next call; those before `end` are on stable storage, and
  // `sequence` is one of them. kDataLoss if it is missing or damaged.
  absl::StatusOr<std::string_view> Read(uint64_t sequence, uint64_t end);
  // Gives back the memory.
  void Forget();

 private:
  absl::Status Load(uint64_t sequence, uint64_t end);
  absl::Status Damaged() const;

  const std::string folder_;
  std::string path_;
  std::string bytes_;
  std::optional<io::SegmentScanner> scanner_;
  uint64_t good_until_ = 0;  // the first record that `bytes_` may not have as it is on the disk
};

struct SpillMark {
  uint64_t handed = 0;  // records up to this one have been read for delivery
  uint64_t done = 0;    // what became of all units of records up to this one is known
};
inline constexpr std::string_view kSpillMarkName = "HANDED";

// In its place, synced.
absl::Status WriteSpillMark(io::File* file, const SpillMark& mark);
// Zeros if there is no file, or it was never written; kDataLoss if it is damaged.
absl::StatusOr<SpillMark> ReadSpillMark(const std::string& folder);

}  // namespace mirror
