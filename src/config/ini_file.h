// The lines of PgBouncer's configuration file: sections, KEY = VALUE, %include, comments; and the
// KEY=VALUE pairs of a connection string in it.
//
// Called by import-pgbouncer, on the starting thread; nothing is kept. One bad line refuses the
// file; errors name file and line and do not repeat it, for it may hold a password.
// Bounds: 16 MiB of a file, 10 files within each other, 100,000 lines in all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace config {

struct IniLine {
  std::string section;  // without the brackets
  std::string key;      // of [databases], without its quotes
  std::string value;
  std::string where;  // "pgbouncer.ini:12"
};

// With included files in place. Their paths are relative to the current directory.
absl::StatusOr<std::vector<IniLine>> ReadIniFile(const std::string& path);

struct IniPair {
  std::string key;
  std::string value;
};

// KEY=VALUE pairs with blanks between them; a value may stand in single quotes, '' is one in it.
// `where` is for the error.
absl::StatusOr<std::vector<IniPair>> ReadIniPairs(std::string_view text, std::string_view where);

}  // namespace config
