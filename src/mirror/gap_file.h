// GapFile: the file that keeps a mirror's gap ledger while pgbraid does not run: its text and name.
//
// Pure; any thread. JSON, one object; what is not exactly as FormatGapFile writes it, but for space
// and the order of keys, is kDataLoss. Bound: kGapFileBytesMax and the ledger's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "mirror/gap_ledger.h"

namespace mirror {

inline constexpr size_t kGapFileBytesMax = 16 << 20;

struct GapFile {
  std::string mirror;
  bool clean = false;     // true exactly when the process that wrote it had drained
  absl::Time written;     // whole milliseconds
  // Units that were queued then; nullopt: work went on, so that the number meant nothing.
  std::optional<uint64_t> pending;
  bool folded = false;
  std::vector<Gap> gaps;
};

std::string FormatGapFile(const GapFile& file);
absl::StatusOr<GapFile> ParseGapFile(std::string_view text);

// A mirror's name in a path: bytes that it might stumble over are %XX.
std::string PathName(std::string_view mirror);
// "gap-ledger-<mirror>.json".
std::string GapFileName(std::string_view mirror);

}  // namespace mirror
