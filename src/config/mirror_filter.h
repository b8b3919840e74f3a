// MirrorFilter: which of a session's statements one mirror is to get.
//
// Plain values, part of a Config, and the patterns that are made of them. Reading a setting is pure
// and happens on the starting thread; errors are kInvalidArgument and read as the end of a sentence
// that starts with the setting's name, without its value. MirrorPatterns is immutable: one per
// shard. Bounds: kPatternMax bytes for a pattern, kPatternTextMax of a text are looked at,
// kMirrorFiltersMax filters that differ.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "sql/classify_cache.h"

namespace config {

inline constexpr size_t kPatternMax = 1024;
inline constexpr size_t kPatternTextMax = 64 * 1024;
inline constexpr size_t kMirrorFiltersMax = 32;

enum class MirrorMode : uint8_t { kWrites, kAll, kReads, kDdl, kDml, kWritesAndReads };
std::string_view Name(MirrorMode mode);

struct MirrorFilter {
  MirrorMode mode = MirrorMode::kWrites;
  std::vector<std::string> include;  // RE2; not empty: statements that match none are left out
  std::vector<std::string> exclude;  // RE2; statements that match one are left out
  double exposure = 1;               // the share of transactions, 0 to 1
  bool operator==(const MirrorFilter&) const = default;
};

// What was given: for all mirrors, or for one.
struct MirrorChoices {
  std::optional<MirrorMode> mode;
  std::optional<double> exposure;
  std::vector<std::string> include;
  std::vector<std::string> exclude;
  bool operator==(const MirrorChoices&) const = default;
  bool empty() const {
    return !mode.has_value() && !exposure.has_value() && include.empty() && exclude.empty();
  }
};

// What `own` leaves open is as in `common`.
MirrorFilter Resolve(const MirrorChoices& own, const MirrorChoices& common);

// `key`: filter, exposure, include or exclude; the last two add to what is there.
bool IsMirrorChoice(std::string_view key);
absl::Status SetMirrorChoice(std::string_view key, std::string_view value, MirrorChoices* choices);

// The patterns of several filters, asked together: two bits for each filter.
class MirrorPatterns final : public sql::Marker {
 public:
  // Their patterns are those that SetMirrorChoice has let pass.
  explicit MirrorPatterns(const std::vector<MirrorFilter>& filters);
  ~MirrorPatterns() override;

  bool any() const { return any_; }
  uint64_t Mark(std::string_view text) const override;

  // What the marks say for the filter at `index`.
  static bool Excluded(uint64_t marks, size_t index) { return (marks >> (2 * index) & 1) != 0; }
  static bool NotIncluded(uint64_t marks, size_t index) {
    return (marks >> (2 * index + 1) & 1) != 0;
  }

 private:
  struct Compiled;
  std::vector<std::unique_ptr<Compiled>> filters_;
  bool any_ = false;
};

}  // namespace config
