// ImportPgbouncer: pgbouncer.ini as a file of ours, with a list of what has no equivalent.
//
// The subcommand `pgbraid import-pgbouncer FILE`; on the starting thread, nothing is kept. A file
// that PgBouncer would not read is an error with file and line. Where a default of PgBouncer's
// differs from ours, the file says it. Notes hold no value that could be a password; `toml` does.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace config {

struct Imported {
  std::string toml;                // the notes are in it, as comments
  std::vector<std::string> notes;  // "pgbouncer.ini:12: pkt_buf: …"
};

absl::StatusOr<Imported> ImportPgbouncer(const std::string& path);

}  // namespace config
