// pgbraid: reads flags, environment and file, then runs the server; or one of its subcommands.
#include <unistd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault_point.h"
#include "base/log.h"
#include "base/status.h"
#include "command/lint.h"
#include "command/replay.h"
#include "config/import_pgbouncer.h"
#include "config/load.h"
#include "config/reload.h"
#include "server/server.h"

namespace {

int Fail(const absl::Status& status, int code) {
  const std::string text(base::Message(status));
  std::fprintf(stderr, "pgbraid: %s\n", text.c_str());
  return code;
}

// pgbraid import-pgbouncer FILE: our file to stdout, what has no equivalent to stderr.
int Import(int argc, char** argv) {
  if (argc != 3 || argv[2][0] == '-') {
    return Fail(base::InvalidArgument("usage: pgbraid import-pgbouncer pgbouncer.ini"),
                config::kExitUsage);
  }
  const absl::StatusOr<config::Imported> imported = config::ImportPgbouncer(argv[2]);
  if (!imported.ok()) {
    return Fail(imported.status(), config::kExitUsage);
  }
  std::fputs(imported->toml.c_str(), stdout);
  for (const std::string& note : imported->notes) {
    std::fprintf(stderr, "%s\n", note.c_str());
  }
  return 0;
}

int Print(const command::Outcome& outcome) {
  std::fwrite(outcome.out.data(), 1, outcome.out.size(), stdout);
  std::fwrite(outcome.err.data(), 1, outcome.err.size(), stderr);
  return std::fflush(stdout) == 0 ? outcome.code : command::kExitFailed;
}

void WriteError(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

command::Console StandardError() {
  return {.terminal = isatty(STDERR_FILENO) == 1, .write = WriteError};
}

// The server's password does not stay where other users of the machine can read it.
int Replay(int argc, char** argv) {
  const std::vector<std::string> copies(argv + 2, argv + argc);
  const std::vector<std::string_view> arguments(copies.begin(), copies.end());
  config::HideSecrets(argc, argv);
  return Print(command::Replay(arguments, StandardError()));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "import-pgbouncer") {
    return Import(argc, argv);
  }
  if (argc > 1 && std::string_view(argv[1]) == "lint") {
    return Print(command::Lint(std::vector<std::string_view>(argv + 2, argv + argc)));
  }
  if (argc > 1 && std::string_view(argv[1]) == "replay") {
    return Replay(argc, argv);
  }
  const absl::StatusOr<config::ParsedCommandLine> parsed =
      config::Load(argc, argv, config::ReadEnvironment());
  if (!parsed.ok()) {
    return Fail(parsed.status(), config::kExitUsage);
  }
  if (parsed->action == config::Action::kPrint) {
    std::fputs(parsed->text.c_str(), stdout);
    return 0;
  }
  const config::Reloader reloader(argc, argv);
  config::HideSecrets(argc, argv);
  if (const absl::Status log = base::StartLog(parsed->config.log_level, parsed->config.log_format);
      !log.ok()) {
    return Fail(log, 1);
  }
  base::WarnOfHistoricalBug();
  const absl::Status ran = server::Run(parsed->config, reloader);
  base::FlushLog();
  return ran.ok() ? 0 : Fail(ran, 1);
}
