// SessionSettings: configuration parameters of a session that differ from its connection's
// defaults, and the SQL that brings a connection from one session's to another's.
//
// A plain value: of a session what it wants, of a pooled connection what is in force. Names are in
// lower case. Bound: kSettingsMax; a session that sets more is pinned to its connection.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace backend {

class SessionSettings {
 public:
  static constexpr size_t kSettingsMax = 256;

  // False if there are too many.
  bool Set(std::string_view name, std::string_view value);
  void Reset(std::string_view name);
  void Clear();
  // Null if it has none.
  const std::string* Find(std::string_view name) const;
  bool empty() const { return settings_.empty(); }
  const std::vector<std::pair<std::string, std::string>>& all() const { return settings_; }
  // Equal exactly for equal settings.
  const std::string& print() const { return print_; }
  bool operator==(const SessionSettings& other) const { return print_ == other.print_; }

 private:
  void Print();
  std::vector<std::pair<std::string, std::string>> settings_;  // sorted by name
  std::string print_;
};

// Statements after which a connection in `from` is in `to`; empty if there is nothing to do. They
// are one Query, all or nothing, and right whatever standard_conforming_strings and search_path
// are.
std::string SettingsChange(const SessionSettings& from, const SessionSettings& to);

// A query with one row whose columns are the values of `names` in force (NULL: no such setting).
// `sources`: behind each is where it comes from, as pg_settings has it (NULL: it is not there).
std::string SettingsQuery(const std::vector<std::string>& names, bool sources = false);
// True exactly for one that nobody has set in the session, or that was reset since. `value`: for
// the role, which pg_settings does not have.
bool IsReset(const std::optional<std::string>& source, std::string_view value);

// False for what a server reports and nobody can set.
bool IsSettable(std::string_view name);
std::string LowerCase(std::string_view text);

}  // namespace backend
