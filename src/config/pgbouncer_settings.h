// What PgBouncer's documented settings (1.25) are in pgbraid: a table.
//
// Constant data; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace config {

// How a value is turned into ours.
enum class BouncerValue : uint8_t {
  kNone,      // there is no equivalent: `note` says why
  kSame,      // as it is, in the type of ours; times are seconds, perhaps with a fraction
  kPositive,  // likewise, but 0 has another meaning: `note` says which
  kSpecial,   // has code of its own in import_pgbouncer.cc
};

struct BouncerSetting {
  std::string_view name;
  BouncerValue value;
  std::string_view ours;          // key of our file
  std::string_view default_text;  // PgBouncer's, where it is not ours; else empty
  std::string_view note;
};

// Of [pgbouncer]; null: PgBouncer does not document it.
const BouncerSetting* FindBouncerSetting(std::string_view name);
// Of a line of [databases].
const BouncerSetting* FindBouncerDatabaseSetting(std::string_view name);

// All of [pgbouncer], to say their defaults where these are not ours.
const BouncerSetting* BouncerSettingsBegin();
const BouncerSetting* BouncerSettingsEnd();

}  // namespace config
