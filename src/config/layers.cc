#include <algorithm>
#include <set>
#include <utility>

#include "base/status.h"
#include "config/settings.h"
#include "config/text.h"

namespace config {
namespace {

absl::Status At(const Given& given, const absl::Status& status) {
  return status.ok() ? status
                     : base::InvalidArgument(Cat({given.where, ": ", base::Message(status)}));
}

// The settings that choose what is mirrored are one choice under several names.
bool ChoosesMode(const Given& given) {
  for (const std::string_view name : {"mirror-filter", "mirror-all-queries",
                                      "mirror-select-queries", "mirror-ddl-only",
                                      "mirror-dml-only"}) {
    if (given.setting->name == name) {
      const absl::StatusOr<bool> chosen = ParseBoolean(given.text);
      return !chosen.ok() || *chosen;
    }
  }
  return false;
}

absl::Status CheckOneMode(const std::vector<Given>& layer) {
  const Given* first = nullptr;
  for (const Given& given : layer) {
    if (!ChoosesMode(given)) {
      continue;
    }
    if (first != nullptr && first->setting != given.setting) {
      return At(given, base::InvalidArgument(
                           Cat({"contradicts ", first->where,
                                ": both choose what is mirrored, so only one can be given"})));
    }
    first = &given;
  }
  return absl::OkStatus();
}

// What a [[mirror]] table gives beside the server.
absl::Status ApplyOptions(const Given& given, Server* server) {
  for (const ServerOption& option : given.server_options) {
    const absl::Status status = SetMirrorChoice(option.key, option.text, &server->mirror);
    if (!status.ok()) {
      return base::InvalidArgument(Cat({option.where, ": ", base::Message(status)}));
    }
  }
  return absl::OkStatus();
}

absl::Status NameServer(const Given& given, Config* config) {
  if (given.setting->kind != Kind::kServer && given.setting->kind != Kind::kServers) {
    return absl::OkStatus();
  }
  Server& server = given.setting->kind == Kind::kServer ? config->primary : config->mirrors.back();
  server.origin = given.where;
  if (given.server_name.empty()) {
    return absl::OkStatus();
  }
  if (!server.name.empty()) {
    return base::InvalidArgument("the name is given twice, beside the URL and in it");
  }
  if (!IsServerName(given.server_name)) {
    return base::InvalidArgument(Cat({"the name ", Quote(given.server_name),
                                      " is not made of 1 to 63 letters, digits, '_', '-' or '.'"}));
  }
  server.name = given.server_name;
  return absl::OkStatus();
}

}  // namespace

const Setting* FindSetting(std::string_view name) {
  for (const Setting& setting : Settings()) {
    if (setting.name == name || (!setting.alias.empty() && setting.alias == name)) {
      return &setting;
    }
  }
  return nullptr;
}

std::vector<std::string_view> SettingNames() {
  std::vector<std::string_view> names;
  for (const Setting& setting : Settings()) {
    names.push_back(setting.name);
    if (!setting.alias.empty()) {
      names.push_back(setting.alias);
    }
  }
  return names;
}

absl::Status ApplyLayer(const std::vector<Given>& layer, Config* config) {
  RETURN_IF_ERROR(CheckOneMode(layer));
  std::set<const Setting*> seen;
  for (const Given& given : layer) {
    const bool first = seen.insert(given.setting).second;
    if (!first && !given.setting->IsRepeatable()) {
      const std::string_view alias = given.setting->alias;
      return At(given,
                base::InvalidArgument(alias.empty() ? std::string("given twice")
                                                    : Cat({"given twice (", given.setting->name,
                                                           " and ", alias, " are one setting)"})));
    }
    if (first && given.setting->clear != nullptr) {
      given.setting->clear(config);
    }
    RETURN_IF_ERROR(At(given, given.setting->apply(given.text, config)));
    RETURN_IF_ERROR(At(given, NameServer(given, config)));
    if (!given.server_options.empty()) {
      RETURN_IF_ERROR(ApplyOptions(given, &config->mirrors.back()));
    }
  }
  return absl::OkStatus();
}

absl::Status ApplyService(const GivenService& table, Config* config) {
  for (const Service& other : config->services) {
    if (other.name == table.name) {
      return base::InvalidArgument(
          Cat({table.where, ": there is a service ", Quote(table.name), " already"}));
    }
  }
  Config own;
  own.pool = config->pool;
  RETURN_IF_ERROR(ApplyLayer(table.given, &own));
  if (own.primary.host.empty()) {
    return base::InvalidArgument(
        Cat({table.where, ": needs the key primary, the server behind it"}));
  }
  if (own.primary.name.empty()) {
    own.primary.name = table.name;
  }
  Service service;
  service.name = table.name;
  service.primary = std::move(own.primary);
  service.pool = std::move(own.pool);
  config->services.push_back(std::move(service));
  return absl::OkStatus();
}

}  // namespace config
