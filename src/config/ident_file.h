// IdentMaps: which certificate's name may log in as which user: lines of a map's name, the
// certificate's name and the user's, as in pg_ident.conf (PostgreSQL manual, section 21.2).
//
// Immutable once read; any thread. A certificate's name that starts with '/' is a regular
// expression (RE2: linear in time; it may match a part, as in PostgreSQL, so anchor it), and \1 in
// the user's name is what its first group matched. One bad line refuses the file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace config {

class IdentMaps {
 public:
  IdentMaps();
  ~IdentMaps();
  IdentMaps(const IdentMaps&);
  IdentMaps& operator=(const IdentMaps&);
  IdentMaps(IdentMaps&&) noexcept;
  IdentMaps& operator=(IdentMaps&&) noexcept;

  static absl::StatusOr<IdentMaps> Parse(std::string_view text, std::string_view file);
  // True exactly when a line of `map` lets the certificate's name `name` be `user`. Exact, also in
  // case.
  bool Allows(std::string_view map, std::string_view name, std::string_view user) const;
  bool Has(std::string_view map) const;

 private:
  struct Line;
  std::vector<Line> lines_;
};

}  // namespace config
