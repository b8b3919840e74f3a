#include "mirror/catalogue.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mirror/trace.h"
#include "pg/views.h"
#include "sql/quote.h"
#include "sql/tokens.h"

namespace mirror {
namespace {

// Of a row of TableText().
enum Field : size_t { kPlain, kTriggers, kName, kIdentity, kGenerated, kDefault, kFields };

sql::Token FirstToken(std::string_view text) {
  sql::Lexer lexer(text);
  sql::Token token = lexer.Next();
  while (token.symbol == ';') {
    token = lexer.Next();
  }
  return token;
}

}  // namespace

const PinTable* Catalogue::Find(const std::string& key, uint64_t schema) {
  Follow(schema);
  const auto found = tables_.find(key);
  return found == tables_.end() ? nullptr : &found->second;
}

void Catalogue::Put(const std::string& key, uint64_t schema, PinTable table) {
  Follow(schema);
  if (tables_.size() >= kTablesMax) {
    tables_.clear();
  }
  tables_[key] = std::move(table);
}

void Catalogue::Follow(uint64_t schema) {
  if (schema_ != schema) {
    tables_.clear();
    schema_ = schema;
  }
}

// Old servers lack attgenerated, so it is asked for by its name. A trigger's function may be in any
// language: its text is looked at for what differs between servers.
std::string TableText(const std::vector<std::string>& name) {
  std::string quoted;
  for (const std::string& part : name) {
    quoted += quoted.empty() ? "" : ".";
    quoted += sql::Quote(part, '"');
  }
  if (quoted.find('\\') != std::string::npos) {
    return std::string();  // it would depend on a setting what the text means
  }
  return "SELECT c.relkind IN ('r', 'p') AND NOT c.relhasrules, EXISTS (SELECT 1 FROM "
         "pg_catalog.pg_trigger g JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid WHERE g.tgrelid = "
         "c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 7 = 7 AND p.prosrc "
         "~* 'nextval|random|uuid|now|current_|clock|timestamp|localtime|timeofday'), a.attname, "
         "a.attidentity, pg_catalog.to_jsonb(a) ->> 'attgenerated', "
         "coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), t.typdefault) "
         "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid "
         "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid LEFT JOIN pg_catalog.pg_attrdef d "
         "ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE c.oid = pg_catalog.to_regclass(" +
         sql::Quote(quoted, '\'') + ") AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
}

void TableReader::OnPart(turn::RequestId /*request*/, const pg::Piece& piece) {
  if (piece.first) {
    in_row_ = piece.type == 'D';
    row_.clear();
  }
  if (!in_row_ || bad_) {
    return;
  }
  bytes_ += piece.body.size();
  bad_ = bytes_ > kBytesMax;
  if (bad_) {
    row_ = std::string();
    return;
  }
  row_ += piece.body;
  if (piece.last) {
    OnRow();
  }
}

// Rows of another query, of a setting that was made before, have fewer fields.
void TableReader::OnRow() {
  const std::optional<std::vector<pg::Value>> row = pg::ReadDataRow(row_);
  bad_ = !row.has_value();
  if (bad_ || row->size() < kFields) {
    return;
  }
  const std::vector<pg::Value>& fields = *row;
  table_.known = fields[kPlain].bytes == "t";
  table_.triggers = fields[kTriggers].bytes == "t";
  PinColumn column;
  column.name = fields[kName].bytes;
  column.derived = !fields[kGenerated].null && !fields[kGenerated].bytes.empty();
  column.always = fields[kIdentity].bytes == "a";
  column.fill = fields[kIdentity].bytes.empty() ? FillOf(fields[kDefault].bytes)
                                                : PinColumn::Fill::kSequence;
  bad_ = table_.columns.size() >= Catalogue::kColumnsMax;
  table_.columns.push_back(std::move(column));
}

PinTable TableReader::Take() { return bad_ ? PinTable() : std::move(table_); }

bool ChangesNames(std::string_view text) {
  constexpr std::string_view kNames[] = {"", "all", "search_path", "schema", "role",
                                         "authorization", "session_authorization"};
  constexpr std::string_view kPrepare[] = {"prepare"};
  const PlainSet set = ReadSet(text);
  const std::string& name = set.name == "local" ? set.value : set.name;
  return !sql::IsAnyWord(FirstToken(text), kPrepare) &&
         std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

// What a session makes for itself alone ties it to its connection, and is known by that.
bool ChangesTables(const Step& step) {
  constexpr std::string_view kVerbs[] = {"create", "alter", "drop", "do", "import"};
  const sql::Token verb = FirstToken(TextOf(step));
  const bool own = step.trace == Trace::kHeld && sql::EqualFolded(verb.text, "create");
  return sql::IsAnyWord(verb, kVerbs) && !own;
}

}  // namespace mirror
