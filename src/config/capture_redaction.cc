#include "config/capture_redaction.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>
#include <utility>

#include "base/status.h"
#include "sql/lexer.h"
#include "sql/tokens.h"

namespace config {
namespace {

struct TypeRow {
  std::string_view name;
  uint32_t oid;
};

// pg_type.dat; none of these numbers ever changes.
constexpr TypeRow kTypes[] = {
    {"bit", 1560},    {"bool", 16},       {"bpchar", 1042},    {"bytea", 17},
    {"char", 18},     {"cidr", 650},      {"date", 1082},      {"float4", 700},
    {"float8", 701},  {"inet", 869},      {"int2", 21},        {"int4", 23},
    {"int8", 20},     {"interval", 1186}, {"json", 114},       {"jsonb", 3802},
    {"macaddr", 829}, {"money", 790},     {"name", 19},        {"numeric", 1700},
    {"text", 25},     {"time", 1083},     {"timestamp", 1114}, {"timestamptz", 1184},
    {"timetz", 1266}, {"uuid", 2950},     {"varbit", 1562},    {"varchar", 1043},
    {"xml", 142},
};

absl::Status AddType(std::string_view text, std::vector<uint32_t>* oids) {
  const auto* row = std::find_if(std::begin(kTypes), std::end(kTypes),
                                 [&](const TypeRow& type) { return type.name == text; });
  if (row != std::end(kTypes)) {
    oids->push_back(row->oid);
    return absl::OkStatus();
  }
  uint32_t oid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), oid);
  if (error != std::errc() || end != text.data() + text.size() || oid == 0) {
    return base::InvalidArgument("is no list of types, as text,bytea,17");
  }
  oids->push_back(oid);
  return absl::OkStatus();
}

// One to three names with dots between them; `*token` is then what follows them.
bool ReadColumn(sql::Lexer* lexer, sql::Token* token, sql::ColumnName* name) {
  for (int parts = 1; parts <= 3; ++parts) {
    if (!sql::IsName(*token) || sql::IsUnicodeName(*token) || !token->terminated) {
      return false;
    }
    name->schema = std::exchange(name->table, std::exchange(name->column, IdentifierName(*token)));
    *token = lexer->Next();
    if (token->symbol != '.') {
      return true;
    }
    *token = lexer->Next();
  }
  return false;
}

}  // namespace

absl::Status AddTypes(std::string_view list, std::vector<uint32_t>* oids) {
  for (;;) {
    const size_t comma = list.find(',');
    RETURN_IF_ERROR(AddType(list.substr(0, comma), oids));
    if (comma == std::string_view::npos) {
      return absl::OkStatus();
    }
    list.remove_prefix(comma + 1);
  }
}

absl::Status AddColumns(std::string_view list, std::vector<sql::ColumnName>* columns) {
  sql::Lexer lexer(list);
  for (;;) {
    sql::Token token = lexer.Next();
    sql::ColumnName name;
    const bool read = ReadColumn(&lexer, &token, &name);
    if (!read || (token.kind != sql::TokenKind::kEnd && token.symbol != ',')) {
      return base::InvalidArgument("is no list of columns, as ssn,users.email,hr.staff.salary");
    }
    columns->push_back(std::move(name));
    if (token.kind == sql::TokenKind::kEnd) {
      return absl::OkStatus();
    }
  }
}

}  // namespace config
