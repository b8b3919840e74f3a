#include "config/load.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "config/command_line.h"
#include "config/settings.h"
#include "config/toml_file.h"

namespace config {
namespace {

std::vector<Given> FromEnvironment(const Environment& environment) {
  std::vector<Given> given;
  for (const Setting& setting : Settings()) {
    if (setting.environment.empty()) {
      continue;
    }
    const auto found = environment.find(setting.environment);
    if (found != environment.end() && !found->second.empty()) {
      given.push_back({.setting = &setting,
                       .text = found->second,
                       .where = std::string(setting.environment),
                       .server_name = ""});
    }
  }
  return given;
}

// The password of a URL: from the ':' behind the scheme's "//" to the last '@', and the options if
// one of them could be a password (its name may be percent-encoded).
void HideInUrl(char* argument) {
  char* url = std::strstr(argument, "://");
  if (url == nullptr) {
    return;
  }
  url += 3;
  char* at = std::strrchr(url, '@');
  char* colon = std::strchr(url, ':');
  if (at != nullptr && colon != nullptr && colon < at) {
    std::fill(colon + 1, at, '*');
  }
  char* question = std::strchr(url, '?');
  if (question != nullptr &&
      (strcasestr(question, "pass") != nullptr || std::strchr(question, '%') != nullptr)) {
    std::fill(question + 1, question + std::strlen(question), '*');
  }
}

// The rest of a key=value string behind "password =": where an odd quote ends is not worth a risk.
void HideInKeyValue(char* argument) {
  char* password = strcasestr(argument, "password");
  if (password == nullptr) {
    return;
  }
  char* equals = password + std::strlen("password");
  equals += std::strspn(equals, " \t\r\n\v\f");
  if (*equals == '=') {
    std::fill(equals + 1, equals + std::strlen(equals), '*');
  }
}

}  // namespace

absl::StatusOr<ParsedCommandLine> Load(int argc, const char* const* argv,
                                       const Environment& environment) {
  ASSIGN_OR_RETURN(const CommandLine line, ReadCommandLine(argc, argv));
  ParsedCommandLine parsed;
  if (line.help || line.version) {
    parsed.action = Action::kPrint;
    parsed.text = line.help ? HelpText() : "pgbraid " PGBRAID_VERSION "\n";
    return parsed;
  }
  TomlFile file;
  if (!line.config_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(line.config_file));
    ASSIGN_OR_RETURN(file, ReadToml(text, line.config_file));
    RETURN_IF_ERROR(ApplyLayer(file.given, &parsed.config));
  }
  RETURN_IF_ERROR(ApplyLayer(FromEnvironment(environment), &parsed.config));
  RETURN_IF_ERROR(ApplyLayer(line.given, &parsed.config));
  for (const GivenService& service : file.services) {
    RETURN_IF_ERROR(ApplyService(service, &parsed.config));
  }
  RETURN_IF_ERROR(ReadAuthenticationFiles(&parsed.config.authentication));
  RETURN_IF_ERROR(Complete(&parsed.config));
  return parsed;
}

Environment ReadEnvironment() {
  Environment environment;
  for (const Setting& setting : Settings()) {
    const std::string name(setting.environment);
    const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
    if (value != nullptr) {
      environment[name] = value;
    }
  }
  return environment;
}

void HideSecrets(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i - 1], "--auth-password") == 0) {
      std::fill(argv[i], argv[i] + std::strlen(argv[i]), '*');
    }
    HideInUrl(argv[i]);
    HideInKeyValue(argv[i]);
  }
}

}  // namespace config
