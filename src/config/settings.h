// The table of settings: one row is a flag of the command line, a key of the file (with '_' for
// '-'), and perhaps an environment variable. Help, file reader and command line all read it, so a
// setting is added in one place (and in docs/configuration.md, which a test compares).
//
// Constant data and pure functions; errors are kInvalidArgument and start with where the value
// came from.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "config/config.h"

namespace config {

enum class Kind : uint8_t {
  kText,
  kTexts,     // repeatable
  kInteger,   // the file wants a number
  kShare,     // number with or without a point, or text
  kBytes,     // number or text with a unit
  kDuration,  // number of seconds or text with a unit
  kBoolean,
  kServer,   // text, or a table with url and name
  kServers,  // repeatable; its tables may hold what IsMirrorChoice knows too
};

struct Setting {
  std::string_view group;  // heading in --help
  std::string_view name;   // without the dashes in front
  std::string_view alias;  // a second name, or empty
  char letter;             // or 0
  Kind kind;
  std::string_view value;         // the value's name in --help
  std::string_view default_text;  // as in the documentation; "required", "none"
  std::string_view environment;   // or empty
  std::string_view help;
  absl::Status (*apply)(std::string_view text, Config* config);
  bool of_service = false;  // true exactly for what a [[service]] table may also hold
  void (*clear)(Config* config) = nullptr;  // of a repeatable one: forgets what was given

  bool IsRepeatable() const { return kind == Kind::kTexts || kind == Kind::kServers; }
};

// What a server's table holds beside url and name.
struct ServerOption {
  std::string key;
  std::string text;
  std::string where;
};

// A value as it was found, not yet understood.
struct Given {
  const Setting* setting = nullptr;
  std::string text;
  std::string where;        // "--ring-size", "pgbraid.toml:3:12: ring_size"
  std::string server_name;  // of kServer and kServers, if it was given beside the text
  std::vector<ServerOption> server_options{};
};

// A [[service]] table of the file.
struct GivenService {
  std::string name;
  std::string where;  // "pgbraid.toml:3:1: service"
  std::vector<Given> given;
};

std::span<const Setting> Settings();
// By name or alias; null if there is none.
const Setting* FindSetting(std::string_view name);
std::vector<std::string_view> SettingNames();

// The values of one layer (file, environment or flags). A layer that names a repeatable setting
// replaces what earlier layers gave for it.
absl::Status ApplyLayer(const std::vector<Given>& layer, Config* config);

// Adds a service, whose settings are those of `config` but for what the table gives. After the
// layers.
absl::Status ApplyService(const GivenService& table, Config* config);

}  // namespace config
