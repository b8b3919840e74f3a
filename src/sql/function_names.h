// FunctionNames: functions that write although their names do not tell so.
//
// A value, part of the configuration; any thread. Names only: which function a call finds is for
// the server's search_path to say, so a call without a schema may mean any of that name.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sql {

class FunctionNames {
 public:
  // `name`: as SQL writes it, with its schema or without: audit, app.audit, "Odd Name"; without one
  // it means that name in every schema. False: it is no name.
  bool Add(std::string_view name);
  // Both as they are after folding. `schema`: empty where the call names none.
  bool Contains(std::string_view schema, std::string_view name) const;
  bool empty() const { return names_.empty(); }
  void clear() { names_.clear(); }
  bool operator==(const FunctionNames&) const = default;

 private:
  std::vector<std::pair<std::string, std::string>> names_;  // schema or empty, and name
};

}  // namespace sql
