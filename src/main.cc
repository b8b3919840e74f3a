// pgbraid: reads flags, environment and file, then runs the server; nothing else.
#include <cstdio>
#include <string>

#include "base/log.h"
#include "base/status.h"
#include "config/load.h"
#include "server/server.h"

namespace {

int Fail(const absl::Status& status, int code) {
  const std::string text(base::Message(status));
  std::fprintf(stderr, "pgbraid: %s\n", text.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const absl::StatusOr<config::ParsedCommandLine> parsed =
      config::Load(argc, argv, config::ReadEnvironment());
  if (!parsed.ok()) {
    return Fail(parsed.status(), config::kExitUsage);
  }
  if (parsed->action == config::Action::kPrint) {
    std::fputs(parsed->text.c_str(), stdout);
    return 0;
  }
  config::HideSecrets(argc, argv);
  if (const absl::Status log = base::StartLog(parsed->config.log_level, parsed->config.log_format);
      !log.ok()) {
    return Fail(log, 1);
  }
  const absl::Status ran = server::Run(parsed->config);
  base::FlushLog();
  return ran.ok() ? 0 : Fail(ran, 1);
}
