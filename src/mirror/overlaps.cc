#include "mirror/overlaps.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "mirror/trace.h"
#include "pg/views.h"
#include "sql/row_key.h"
#include "sql/tables.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

uint64_t Hash(std::string_view text) { return std::hash<std::string_view>()(text) | 1; }

// `word` in lower case.
bool Has(std::string_view text, std::string_view word) {
  const auto same = [](char a, char b) { return sql::Lower(a) == b; };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

// True exactly for a statement that changed or deleted rows that were there.
bool ChangesRows(const Step& step) {
  const std::string_view tag = step.tag;
  if (tag.ends_with(" 0")) {
    return false;
  }
  if (tag.starts_with("INSERT")) {  // ON CONFLICT DO UPDATE
    return Has(TextOf(step), "conflict");
  }
  return tag.starts_with("UPDATE") || tag.starts_with("DELETE") || tag.starts_with("MERGE");
}

// The parameter's value as far as two of them can be compared: a whole number, or its bytes where
// both are binary. Empty: NULL, or what may have other spellings.
std::string ParameterValue(const Step& step, uint32_t number) {
  const std::string whole = std::string(2, '\0') + std::string(step.bind.view());  // two names
  const std::optional<pg::BindView> bind = pg::ReadBind(whole);
  if (!bind.has_value() || number > bind->parameter_count) {
    return {};
  }
  std::string_view rest = bind->parameters;
  std::optional<pg::Value> value;
  for (uint32_t i = 0; i < number; ++i) {
    value = pg::NextValue(&rest);
  }
  if (!value.has_value() || value->null) {
    return {};
  }
  const size_t at = bind->format_count > 1 ? (number - 1) * 2 : 0;
  const bool binary = bind->format_count > 0 && bind->formats.size() > at + 1 &&
                      bind->formats[at + 1] != 0;
  return binary ? "binary " + std::to_string(value->bytes.size()) + " " + std::string(value->bytes)
                : sql::WholeNumber(value->bytes);
}

}  // namespace

bool Overlaps::Meets(const Unit& unit, uint64_t session, sql::LexOptions options) {
  if (unit.block() || !ChangesRows(unit.steps.front())) {
    return false;
  }
  const Step& step = unit.steps.front();
  const std::string_view text = TextOf(step);
  Seen mine;
  mine.acked = unit.place.acked;
  mine.session = session;
  const sql::RowKey key = sql::RowKeyOf(text, options);
  const std::string value =
      key.parameter == 0 ? key.number : ParameterValue(step, key.parameter);
  if (!key.column.empty() && !value.empty()) {
    mine.column = Hash(key.column);
    mine.value = Hash(value);
  }
  bool meets = false;
  for (const std::string& table : sql::WrittenTables(text, options)) {
    mine.table = Hash(table);
    meets = MeetsIn(&buckets_[mine.table / 2 % kBuckets], mine, unit.after) || meets;
  }
  return meets;
}

// From the newest on. Shards come here a little out of order, so the first that is old enough does
// not end the search.
bool Overlaps::MeetsIn(Bucket* bucket, const Seen& mine, uint64_t after) {
  constexpr size_t kOldEnough = 16;
  const std::lock_guard<std::mutex> lock(bucket->mutex);
  std::vector<Seen>& seen = bucket->seen;
  bool meets = false;
  size_t old = 0;
  for (size_t i = 1; i <= seen.size() && old < kOldEnough && !meets; ++i) {
    const Seen& other = seen[(bucket->next + seen.size() - i) % seen.size()];
    const bool apart =
        other.column != 0 && other.column == mine.column && other.value != mine.value;
    old = other.acked > after ? 0 : old + 1;
    meets = old == 0 && other.session != mine.session && other.table == mine.table && !apart;
  }
  if (seen.size() < kSeenMax) {
    seen.push_back(mine);
    bucket->next = seen.size() % kSeenMax;
    return meets;
  }
  meets = meets || seen[bucket->next].acked > after;  // forgotten, and perhaps not the only one
  seen[bucket->next] = mine;
  bucket->next = (bucket->next + 1) % kSeenMax;
  return meets;
}

}  // namespace mirror
