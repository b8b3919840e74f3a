#include "sim/sim_sql.h"

#include <algorithm>
#include <sstream>

#include "base/check.h"

namespace sim {
namespace {

struct Form {
  Verb verb;
  std::string_view before;  // the comment
  std::string_view after;
  std::string_view tag;
};
constexpr std::string_view kInstall = "\nSELECT pg_catalog.pg_advisory_xact_lock(";
// One that begins as another stands before it.
constexpr Form kForms[] = {
    {Verb::kSelect, "select ", " rows", "SELECT "},
    {Verb::kCopyOut, "copy t to stdout ", "", "COPY "},
    {Verb::kCopyIn, "copy t from stdin ", "", "COPY 1"},
    {Verb::kInsert, "insert ", " into t values ($1)", "INSERT 0 1"},
    {Verb::kDelete, "delete ", " from t", ""},
    {Verb::kBegin, "begin ", "", "BEGIN"},
    {Verb::kCommit, "commit ", "", "COMMIT"},
    {Verb::kRollbackTo, "rollback ", " to s", "ROLLBACK"},
    {Verb::kRollback, "rollback ", "", "ROLLBACK"},
    {Verb::kSavepoint, "savepoint ", " s", "SAVEPOINT"},
    {Verb::kRelease, "release ", " s", "RELEASE"},
};

// What pgbraid asks a mirror for itself.
constexpr Form kOwn[] = {
    {Verb::kBegin, "BEGIN", "", ""},
    {Verb::kCommit, "COMMIT", "", ""},
    {Verb::kRollback, "ROLLBACK", "", ""},
    {Verb::kMarkInstall, kInstall, "", "GRANT"},
    {Verb::kMarkOpen, "WITH old AS (DELETE FROM pgbraid.", "", "INSERT 0 1"},
    {Verb::kMark, "SELECT pgbraid.mirror_mark($1, $2)", "", "SELECT 1"},
    {Verb::kMarkEnd, "SELECT pg_catalog.pg_terminate_backend(", "", "SELECT 1"},
    {Verb::kMarkTake, "UPDATE pgbraid.mirror_marker SET", "", "UPDATE "},
    {Verb::kMarkHas, "SELECT 1 FROM pgbraid.mirror_marker WHERE", "", "SELECT "},
    {Verb::kOwnState, "SET SESSION AUTHORIZATION ", "", "SET"},
    {Verb::kOwnState, "RESET ", "", "RESET"},
    {Verb::kDeallocate, "DEALLOCATE ALL", "", "DEALLOCATE ALL"},
    {Verb::kOwnState, "DISCARD SEQUENCES", "", "DISCARD SEQUENCES"},
    {Verb::kMarkClose, "DELETE FROM pgbraid.mirror_marker WHERE", "", "DELETE 1"},
};

const Form& FormOf(Verb verb) {
  for (const Form& form : kForms) {
    if (form.verb == verb) {
      return form;
    }
  }
  for (const Form& form : kOwn) {
    if (form.verb == verb) {
      return form;
    }
  }
  CHECK(false);
}

// All that is written as (1)::bigint.
std::vector<int64_t> Numbers(std::string_view text) {
  std::vector<int64_t> numbers;
  for (size_t end = 0; (end = text.find(")::bigint", end)) != std::string_view::npos; ++end) {
    const size_t begin = text.rfind('(', end) + 1;
    numbers.push_back(std::stoll(std::string(text.substr(begin, end - begin))));
  }
  return numbers;
}

Sql ReadOwn(std::string_view text) {
  for (const Form& form : kOwn) {
    if (text.starts_with(form.before)) {
      return Sql{.verb = form.verb, .nonce = {}, .numbers = Numbers(text)};
    }
  }
  CHECK(false);
}

}  // namespace

std::string Text(const Sql& sql) {
  const Form& form = FormOf(sql.verb);
  std::string text(form.before);
  text += "/* " + std::to_string(sql.count) + " " + sql.nonce + " */";
  return text += form.after;
}

Sql ReadSql(std::string_view text) {
  Sql sql;
  const size_t open = text.find("/*");
  if (open == std::string_view::npos) {
    return ReadOwn(text);
  }
  const size_t close = text.find("*/");
  std::istringstream words(std::string(text.substr(open + 2, close - open - 2)));
  words >> sql.count >> sql.nonce;
  for (const Form& form : kForms) {
    if (text.starts_with(form.before) && text.substr(close + 2).starts_with(form.after)) {
      sql.verb = form.verb;
      return sql;
    }
  }
  CHECK(false);
}

std::string Tag(const Sql& sql) {
  const bool counts = sql.verb == Verb::kSelect || sql.verb == Verb::kCopyOut ||
                      sql.verb == Verb::kMarkTake || sql.verb == Verb::kMarkHas;
  return std::string(FormOf(sql.verb).tag) + (counts ? std::to_string(sql.count) : "");
}

std::vector<std::string> SplitSql(const std::string& text) {
  if (text.starts_with(kInstall)) {
    return {text};
  }
  std::vector<std::string> statements;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ';');) {
    statements.push_back(part.substr(std::min(part.find_first_not_of(' '), part.size())));
  }
  return statements;
}

}  // namespace sim
