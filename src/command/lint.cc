#include "command/lint.h"

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "command/capture_reader.h"
#include "command/input.h"
#include "sql/determinism.h"
#include "sql/script.h"

namespace command {
namespace {

constexpr size_t kOutlineBytes = 200;

constexpr std::string_view kHelp =
    R"(pgbraid lint tells which statements will not come out the same on a mirror, and what to do.

Usage: pgbraid lint [--format text|json] [--writing-functions NAMES] FILE
       pgbraid lint [flags] DIRECTORY       reads what --capture wrote
       pgbraid lint -                       reads the standard input

FILE is an SQL script as psql reads it. Each distinct statement is named once, by its line, with $
in place of its constants. The rules are explained in docs/lint.md.

  --format text|json          how findings are printed (text)
  --writing-functions NAMES   functions known to write, separated by commas (none)
  --help                      print this

Exit status: 0 nothing was found, 1 something was, 2 it could not be done.

Examples:
  Before a mirror is set up, the statements of an application:
    pgbraid lint queries.sql

  What the server has seen, most frequent first:
    psql -AtXc "SELECT query || ';' FROM pg_stat_statements ORDER BY calls DESC" | pgbraid lint -

  What production has run (pgbraid --capture /var/tmp/monday ...):
    pgbraid lint /var/tmp/monday

  The rules that a schema breaks, for a script:
    pg_dump --schema-only shop | pgbraid lint --format json - | jq -r '.findings[].rule' | sort -u
)";

struct Options {
  bool help = false;
  bool json = false;
  std::string path;
  sql::FunctionNames writing;
};

absl::Status AddNames(std::string_view list, sql::FunctionNames* names) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (!names->Add(list.substr(0, comma))) {
      return base::InvalidArgument("--writing-functions: this is no list of names");
    }
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  return absl::OkStatus();
}

// `argument` is a flag; `value` what follows it, or null.
absl::Status TakeFlag(std::string_view argument, const std::string_view* value, Options* options) {
  if (argument != "--format" && argument != "--writing-functions") {
    return base::InvalidArgument("unknown flag " + std::string(argument) +
                                 " (pgbraid lint --help lists them all)");
  }
  if (value == nullptr) {
    return base::InvalidArgument(std::string(argument) + " needs a value");
  }
  if (argument == "--writing-functions") {
    return AddNames(*value, &options->writing);
  }
  if (*value != "text" && *value != "json") {
    return base::InvalidArgument("--format is text or json");
  }
  options->json = *value == "json";
  return absl::OkStatus();
}

absl::StatusOr<Options> ReadOptions(std::span<const std::string_view> arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (argument.starts_with("-") && argument != "-") {
      const size_t equal = argument.find('=');
      const bool joined = equal != std::string_view::npos;
      const std::string_view value = joined                     ? argument.substr(equal + 1)
                                     : i + 1 < arguments.size() ? arguments[i + 1]
                                                                : std::string_view();
      const bool given = joined || i + 1 < arguments.size();
      RETURN_IF_ERROR(TakeFlag(argument.substr(0, equal), given ? &value : nullptr, &options));
      i += joined ? 0 : 1;
    } else if (!options.path.empty()) {
      return base::InvalidArgument("lint reads one file at a time");
    } else {
      options.path = argument;
    }
  }
  if (options.path.empty()) {
    return base::InvalidArgument("lint needs a file, or - (pgbraid lint --help shows how)");
  }
  return options;
}

struct Found {
  std::string outline;
  size_t line = 0;
  uint64_t times = 1;
  std::vector<sql::Finding> findings;
};

struct Reading {
  uint64_t statements = 0;
  std::vector<Found> found;  // distinct, in the order of the script
  std::string complaints;    // of a capture that is not whole
};

// Looks at statements and keeps what was found, the distinct ones once.
class Collector {
 public:
  explicit Collector(const sql::FunctionNames* writing) : writing_(writing) {}

  void Add(std::string_view statement, size_t line) {
    ++reading_.statements;
    std::vector<sql::Finding> findings = sql::FindNondeterminism(statement, {}, writing_);
    if (findings.empty()) {
      return;
    }
    const auto [entry, fresh] =
        known_.try_emplace(sql::Outline(statement, statement.size() * 2), reading_.found.size());
    if (fresh) {
      reading_.found.push_back({.outline = sql::Outline(statement, kOutlineBytes),
                                .line = line,
                                .findings = std::move(findings)});
    } else {
      ++reading_.found[entry->second].times;
    }
  }
  Reading Take() { return std::move(reading_); }

 private:
  const sql::FunctionNames* const writing_;
  std::map<std::string, size_t, std::less<>> known_;  // whole outline to index in reading_.found
  Reading reading_;
};

absl::StatusOr<Reading> ReadScript(const Options& options) {
  ASSIGN_OR_RETURN(const std::string script, ReadInput(options.path));
  Collector collector(&options.writing);
  sql::ScriptReader reader(script);
  std::string statement;
  size_t line = 0;
  while (reader.Next(&statement, &line)) {
    collector.Add(statement, line);
  }
  return collector.Take();
}

// A capture's "lines" are its transactions.
absl::StatusOr<Reading> ReadCapture(const Options& options) {
  ASSIGN_OR_RETURN(const std::unique_ptr<CaptureReader> reader, CaptureReader::Open(options.path));
  Collector collector(&options.writing);
  mirror::Captured captured;
  size_t transactions = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader->Next(&captured));
    if (!more) {
      break;
    }
    transactions += captured.kind == mirror::Captured::Kind::kUnit ? 1 : 0;
    for (const mirror::Step& step : captured.unit.steps) {
      const std::string_view text = step.extended ? step.parse.view() : step.text.view();
      collector.Add(text.substr(0, text.find('\0')), transactions);
    }
  }
  Reading reading = collector.Take();
  reading.complaints = reader->Complaints();
  return reading;
}

const sql::DeterminismRule& RuleOf(const sql::Finding& finding) {
  return sql::DeterminismRules()[static_cast<size_t>(finding.rule)];
}

std::string AsText(const std::string& path, const Reading& reading) {
  std::string text;
  size_t count = 0;
  for (const Found& found : reading.found) {
    text +=
        (path == "-" ? "stdin" : path) + ":" + std::to_string(found.line) + ": " + found.outline;
    text += found.times > 1 ? " (" + std::to_string(found.times) + " times)\n" : "\n";
    for (const sql::Finding& finding : found.findings) {
      const sql::DeterminismRule& rule = RuleOf(finding);
      text += "  " + std::string(sql::SeverityWords(rule.severity)) + " [" + std::string(rule.id) +
              "] " + std::string(rule.words);
      text += finding.name.empty() ? "" : " (" + finding.name + ")";
      text += ": " + std::string(rule.why) + "\n    do: " + std::string(rule.remedy) + "\n";
      ++count;
    }
  }
  return text + std::to_string(reading.statements) + " statements read, " +
         std::to_string(reading.found.size()) + " distinct ones with " + std::to_string(count) +
         " findings\n";
}

std::string AsJson(const Reading& reading) {
  base::JsonWriter json;
  json.BeginObject();
  json.Key("statements");
  json.Unsigned(reading.statements);
  json.Key("findings");
  json.BeginArray();
  for (const Found& found : reading.found) {
    for (const sql::Finding& finding : found.findings) {
      const sql::DeterminismRule& rule = RuleOf(finding);
      const std::pair<std::string_view, std::string_view> members[] = {
          {"statement", found.outline}, {"rule", rule.id},
          {"name", finding.name},       {"severity", sql::SeverityWords(rule.severity)},
          {"what", rule.words},         {"why", rule.why},
          {"remedy", rule.remedy}};
      json.BeginObject();
      json.Key("line");
      json.Unsigned(found.line);
      json.Key("times");
      json.Unsigned(found.times);
      for (const auto& [key, value] : members) {
        json.Key(key);
        json.String(value);
      }
      json.EndObject();
    }
  }
  json.EndArray();
  json.EndObject();
  return json.text() + "\n";
}

Outcome Failed(const absl::Status& status) {
  return {.code = kExitFailed,
          .out = "",
          .err = "pgbraid: " + std::string(base::Message(status)) + "\n"};
}

}  // namespace

Outcome Lint(std::span<const std::string_view> arguments) {
  const absl::StatusOr<Options> options = ReadOptions(arguments);
  if (!options.ok()) {
    return Failed(options.status());
  }
  if (options->help) {
    return {.code = 0, .out = std::string(kHelp), .err = ""};
  }
  std::error_code error;
  const bool is_capture = std::filesystem::is_directory(options->path, error);
  const absl::StatusOr<Reading> reading = is_capture ? ReadCapture(*options) : ReadScript(*options);
  if (!reading.ok()) {
    return Failed(reading.status());
  }
  return {.code = reading->found.empty() ? 0 : kExitFound,
          .out = options->json ? AsJson(*reading) : AsText(options->path, *reading),
          .err = reading->complaints};
}

}  // namespace command
