#include "config/command_line.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string_view>

#include "base/status.h"
#include "config/text.h"

namespace config {
namespace {

constexpr std::string_view kExamples = R"(
SERVER is a URL, postgres://[USER[:PASSWORD]@]HOST[:PORT][/DBNAME][?OPTION=VALUE&…], or libpq's
"host=HOST port=PORT dbname=DBNAME …". TIME is seconds, or a number with ms, s, m or h. BYTES
takes k, m or g. Flags win over environment variables, and these over the file.

Examples:
  A proxy before one server; clients log in to it with their own names and passwords:
    pgbraid --listen :5432 --primary postgres://10.0.0.5:5432

  The same, with every committed write copied to a second server:
    pgbraid -l :5432 -p postgres://10.0.0.5:5432 \
            -m 'postgres://copy:secret@10.0.0.6:5432/shop?name=shadow'

  The server on this machine, over its Unix socket:
    pgbraid -l 127.0.0.1:6432 -p 'host=/run/postgresql port=5432'

  Everything in a file, one value changed, metrics at http://127.0.0.1:9187/metrics:
    pgbraid --config pgbraid.toml --shards 2 --admin 127.0.0.1:9187

  See what a client and the server say to each other:
    pgbraid -l :6432 -p 'host=127.0.0.1' --log-level debug --log-protocol
)";

std::vector<std::string_view> FlagNames() {
  std::vector<std::string_view> names = SettingNames();
  names.insert(names.end(), {"config", "help", "version"});
  return names;
}

std::string LibraryName(const Setting& setting) {
  std::string name;
  if (setting.letter != 0) {
    name = Cat({"-", std::string(1, setting.letter), ","});
  }
  name += Cat({"--", setting.name});
  if (!setting.alias.empty()) {
    name += Cat({",--", setting.alias});
  }
  return name;
}

void TakeOne(CLI::Option* option) {
  option->expected(1)->allow_extra_args(false)->multi_option_policy(
      CLI::MultiOptionPolicy::TakeAll);
}

absl::Status NeedsValue(std::string_view name) {
  return base::InvalidArgument(Cat({"--", name, " needs a value"}));
}

// Mistakes that the library would read as something else: "--listen=" takes the next argument for
// its value, and "-listen" is "-l isten" to it.
absl::Status CheckShapes(int argc, const char* const* argv) {
  const std::vector<std::string_view> names = FlagNames();
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (argument.starts_with("--") && argument.ends_with("=") &&
        FindSetting(argument.substr(2, argument.size() - 3)) != nullptr) {
      return NeedsValue(argument.substr(2, argument.size() - 3));
    }
    if (argument.size() > 2 && argument[0] == '-' && argument[1] != '-') {
      argument = argument.substr(1, argument.find('=') - 1);
      if (std::find(names.begin(), names.end(), argument) != names.end()) {
        return base::InvalidArgument(Cat({"-", argument, " has one dash; write --", argument}));
      }
    }
  }
  return absl::OkStatus();
}

// `argument` was not understood. Only the name of a flag is repeated: the rest may be a server
// with its password.
absl::Status Unknown(const std::string& argument, int argc, const char* const* argv) {
  if (argument.starts_with("--") && argument.size() > 2) {
    const std::string name = argument.substr(2, argument.find('=') - 2);
    return base::InvalidArgument(
        Cat({"unknown flag ", Quote(Cat({"--", name})), DidYouMean(name, FlagNames(), "--"),
             " (--help lists them all)"}));
  }
  if (argument.starts_with("-") && argument.size() > 1 && argument != "--") {
    return base::InvalidArgument(
        Cat({"unknown flag ", Quote(argument.substr(0, 2)), " (--help lists them all)"}));
  }
  const auto position = std::find(argv + 1, argv + argc, argument) - argv;
  return base::InvalidArgument(
      Cat({"argument ", std::to_string(position),
           " belongs to no flag (not shown, it could hold a "
           "password); every value follows its flag, as in --primary SERVER"}));
}

absl::StatusOr<CommandLine> Collect(const CLI::App& app) {
  CommandLine line;
  for (const Setting& setting : Settings()) {
    for (const std::string& text : app.get_option(Cat({"--", setting.name}))->results()) {
      if (text.empty() || text.starts_with("-")) {  // no value starts so: it is the next flag
        return NeedsValue(setting.name);
      }
      line.given.push_back({.setting = &setting,
                            .text = text,
                            .where = Cat({"--", setting.name}),
                            .server_name = ""});
    }
  }
  const std::vector<std::string> files = app.get_option("--config")->results();
  if (files.size() > 1) {
    return base::InvalidArgument("--config: given twice");
  }
  if (!files.empty()) {
    if (files[0].empty() || files[0].starts_with("-")) {
      return NeedsValue("config");
    }
    line.config_file = files[0];
  }
  return line;
}

// "  -l, --listen HOST:PORT", then the help in a column of its own.
void AppendFlag(std::string_view left, std::string_view right, std::string* text) {
  constexpr size_t kColumn = 34;
  *text += left;
  if (left.size() + 2 > kColumn) {
    *text += '\n';
    left = "";
  }
  *text += std::string(kColumn - left.size(), ' ');
  *text += Cat({right, "\n"});
}

}  // namespace

absl::StatusOr<CommandLine> ReadCommandLine(int argc, const char* const* argv) {
  RETURN_IF_ERROR(CheckShapes(argc, argv));
  try {
    CLI::App app;
    app.allow_extras();
    app.set_help_flag("");
    for (const Setting& setting : Settings()) {
      if (setting.kind == Kind::kBoolean) {
        app.add_flag(LibraryName(setting));
      } else {
        TakeOne(app.add_option(LibraryName(setting)));
      }
    }
    TakeOne(app.add_option("-c,--config"));
    const CLI::Option* help = app.add_flag("-h,--help");
    const CLI::Option* version = app.add_flag("-v,--version");
    app.parse(argc, argv);
    if (help->count() > 0 || version->count() > 0) {
      return CommandLine{
          .help = help->count() > 0, .version = help->count() == 0, .config_file = "", .given = {}};
    }
    // First: a flag without its value swallows the next flag, whose value then belongs to nobody.
    ASSIGN_OR_RETURN(CommandLine line, Collect(app));
    const std::vector<std::string> unknown = app.remaining();
    if (!unknown.empty()) {
      return Unknown(unknown.front(), argc, argv);
    }
    return line;
  } catch (const CLI::ParseError& error) {
    // Its text starts with the name of the flag; the rest may repeat an argument.
    const std::string_view what = error.what();
    const std::string_view name = what.substr(0, what.find(':'));
    const std::string_view bare = name.starts_with("--") ? name.substr(2) : std::string_view();
    if (bare == "config" || FindSetting(bare) != nullptr) {
      return NeedsValue(bare);
    }
    return base::InvalidArgument("the command line cannot be understood (--help shows how)");
  }
}

std::string HelpText() {
  std::string text =
      "pgbraid stands between PostgreSQL clients and servers and mirrors what is written.\n\n"
      "Usage: pgbraid --listen HOST:PORT --primary SERVER [--mirror SERVER]... [flags]\n"
      "       pgbraid --config FILE [flags]\n"
      "       pgbraid import-pgbouncer pgbouncer.ini > pgbraid.toml\n"
      "       pgbraid lint FILE|-   which statements will not come out the same on a mirror\n"
      "       pgbraid replay DIRECTORY ...   runs what --capture wrote once more\n";
  std::string_view group;
  for (const Setting& setting : Settings()) {
    if (setting.group != group) {
      group = setting.group;
      text += Cat({"\n", group, ":\n"});
    }
    std::string left = "      ";
    if (setting.letter != 0) {
      left = Cat({"  -", std::string(1, setting.letter), ", "});
    }
    left += Cat({"--", setting.name, setting.value.empty() ? "" : " ", setting.value});
    std::string right = Cat({setting.help, " (", setting.default_text});
    right += setting.alias.empty() ? ")" : Cat({"; also --", setting.alias, ")"});
    right += setting.environment.empty() ? "" : Cat({" [$", setting.environment, "]"});
    AppendFlag(left, right, &text);
  }
  AppendFlag("  -c, --config FILE",
             "read settings from a TOML file; keys are the flags with _ for -", &text);
  AppendFlag("  -h, --help", "print this", &text);
  AppendFlag("  -v, --version", "print the version", &text);
  text += kExamples;
  return text;
}

}  // namespace config
