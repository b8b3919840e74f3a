// Catalogue: what a mirror's tables are like, as far as pinning values has to know.
//
// Owned by a Shadow, on its shard. A table is looked up once, by name and by what decides what the
// name means; what is known is forgotten when a mirrored statement may have changed it (`schema`, a
// number that grows then). Bound: kTablesMax tables, beyond which all are forgotten, and
// kColumnsMax columns of one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backend/connection.h"
#include "mirror/pin.h"
#include "mirror/unit.h"

namespace mirror {

class Catalogue {
 public:
  static constexpr size_t kTablesMax = 1024;
  static constexpr size_t kColumnsMax = 1600;  // PostgreSQL's own bound

  // Null: it is to be looked up.
  const PinTable* Find(const std::string& key, uint64_t schema);
  void Put(const std::string& key, uint64_t schema, PinTable table);

 private:
  void Follow(uint64_t schema);

  std::unordered_map<std::string, PinTable> tables_;
  uint64_t schema_ = 0;
};

// The query whose rows TableReader reads; empty: the name cannot be asked for.
std::string TableText(const std::vector<std::string>& name);

// Reads them off a connection's answers, while it is told of them. Bound: kBytesMax.
class TableReader final : public backend::NoteTaker {
 public:
  static constexpr size_t kBytesMax = 1024 * 1024;

  TableReader() { hears_parts_ = true; }
  void OnNote(const backend::Note& /*note*/) override {}
  void OnPart(turn::RequestId request, const pg::Piece& piece) override;
  // Not known if there was no row, or something else than a row.
  PinTable Take();

 private:
  void OnRow();

  PinTable table_;
  std::string row_;
  size_t bytes_ = 0;
  bool in_row_ = false;
  bool bad_ = false;
};

// Of a setting's text: whether names may mean other tables behind it.
bool ChangesNames(std::string_view text);
// Of a statement: whether tables may be others behind it, for everybody.
bool ChangesTables(const Step& step);

}  // namespace mirror
