#include "config/toml_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/status.h"
#include "config/text.h"

namespace config {
namespace {

constexpr std::string_view kServiceKey = "service";

// Where a key or value begins.
std::string At(std::string_view name, const toml::source_region& source) {
  return Cat(
      {name, ":", std::to_string(source.begin.line), ":", std::to_string(source.begin.column)});
}

std::string Underscored(std::string_view name) {
  std::string key(name);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a point";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
    case toml::node_type::none:
      break;
  }
  return "nothing";
}

std::string_view WantedType(Kind kind) {
  switch (kind) {
    case Kind::kText:
      return "a string";
    case Kind::kTexts:
      return "a string or an array of strings";
    case Kind::kInteger:
      return "an integer";
    case Kind::kShare:
      return "a number from 0 to 1";
    case Kind::kBytes:
      return "an integer of bytes or a string such as \"64k\"";
    case Kind::kDuration:
      return "an integer of seconds or a string such as \"500ms\"";
    case Kind::kBoolean:
      return "true or false";
    case Kind::kServer:
      return "a string or a table with url and name";
    case Kind::kServers:
      return "a string, a table with url and name, or an array of these";
  }
  return "";
}

// Turns the top table into Givens, in the order of the file, or finds the first error in it.
class Reader {
 public:
  explicit Reader(std::string_view name) : name_(name) {}

  absl::StatusOr<TomlFile> Read(const toml::table& table);

 private:
  using Entry = std::pair<const toml::key*, const toml::node*>;
  static std::vector<Entry> InOrder(const toml::table& table);
  absl::Status ReadServices(const toml::node& node);
  absl::Status ReadService(const toml::node& node);
  absl::Status ReadSetting(std::string_view key, const Setting& setting, const toml::node& node);
  absl::Status ReadServer(std::string_view key, const Setting& setting, const toml::node& node);
  absl::Status ReadOption(std::string_view key, const toml::key& member, const toml::node& value,
                          std::vector<ServerOption>* options) const;
  absl::Status ReadScalar(std::string_view key, const Setting& setting, const toml::node& node);
  absl::Status WrongType(std::string_view key, const Setting& setting,
                         const toml::node& node) const;
  absl::Status UnknownKey(const toml::key& key, const std::vector<std::string_view>& known) const;
  void Add(std::string_view key, const Setting& setting, const toml::node& node, std::string text,
           std::string server_name = "", std::vector<ServerOption> options = {});

  const std::string_view name_;
  std::vector<Given> given_;
  std::vector<GivenService> services_;
};

// The library sorts by key; people read from the top.
std::vector<Reader::Entry> Reader::InOrder(const toml::table& table) {
  std::vector<Entry> entries;
  for (auto&& [key, node] : table) {
    entries.emplace_back(&key, &node);
  }
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.first->source().begin < b.first->source().begin;
  });
  return entries;
}

// The keys that a table may hold, as they are written.
std::vector<std::string> Keys(bool of_service) {
  std::vector<std::string> keys = {std::string(of_service ? "name" : kServiceKey)};
  for (const Setting& setting : Settings()) {
    if (of_service && !setting.of_service) {
      continue;
    }
    keys.push_back(Underscored(setting.name));
    if (!setting.alias.empty()) {
      keys.push_back(Underscored(setting.alias));
    }
  }
  return keys;
}

const Setting& SettingOf(std::string_view key) {
  std::string name(key);
  std::replace(name.begin(), name.end(), '_', '-');
  return *FindSetting(name);
}

absl::StatusOr<TomlFile> Reader::Read(const toml::table& table) {
  const std::vector<std::string> keys = Keys(false);
  const std::vector<std::string_view> known(keys.begin(), keys.end());
  for (const auto& [key, node] : InOrder(table)) {
    if (key->str() == kServiceKey) {
      RETURN_IF_ERROR(ReadServices(*node));
      continue;
    }
    if (std::find(known.begin(), known.end(), key->str()) == known.end()) {
      return UnknownKey(*key, known);
    }
    RETURN_IF_ERROR(ReadSetting(key->str(), SettingOf(key->str()), *node));
  }
  return TomlFile{.given = std::move(given_), .services = std::move(services_)};
}

absl::Status Reader::ReadServices(const toml::node& node) {
  if (!node.is_array()) {
    return base::InvalidArgument(
        Cat({At(name_, node.source()), ": service: wants tables, each headed [[service]]"}));
  }
  for (const toml::node& element : *node.as_array()) {
    RETURN_IF_ERROR(ReadService(element));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadService(const toml::node& node) {
  if (!node.is_table()) {
    return base::InvalidArgument(
        Cat({At(name_, node.source()), ": service: wants a table, not ", TypeName(node)}));
  }
  const std::vector<std::string> keys = Keys(true);
  const std::vector<std::string_view> known(keys.begin(), keys.end());
  GivenService service;
  service.where = Cat({At(name_, node.source()), ": service"});
  std::vector<Given> outer = std::move(given_);
  given_.clear();
  for (const auto& [key, value] : InOrder(*node.as_table())) {
    if (std::find(known.begin(), known.end(), key->str()) == known.end()) {
      return UnknownKey(*key, known);
    }
    if (key->str() != "name") {
      RETURN_IF_ERROR(ReadSetting(key->str(), SettingOf(key->str()), *value));
    } else if (value->is_string()) {
      service.name = value->as_string()->get();
    } else {
      return base::InvalidArgument(Cat({At(name_, value->source()),
                                        ": name: wants a string, not ", TypeName(*value)}));
    }
  }
  service.given = std::exchange(given_, std::move(outer));
  if (service.name.empty()) {
    return base::InvalidArgument(
        Cat({service.where, ": needs the key name, the database that clients ask for"}));
  }
  services_.push_back(std::move(service));
  return absl::OkStatus();
}

absl::Status Reader::UnknownKey(const toml::key& key,
                                const std::vector<std::string_view>& known) const {
  return base::InvalidArgument(Cat({At(name_, key.source()), ": unknown key ", Quote(key.str()),
                                    DidYouMean(Underscored(key.str()), known)}));
}

absl::Status Reader::WrongType(std::string_view key, const Setting& setting,
                               const toml::node& node) const {
  return base::InvalidArgument(Cat({At(name_, node.source()), ": ", key, ": wants ",
                                    WantedType(setting.kind), ", not ", TypeName(node)}));
}

void Reader::Add(std::string_view key, const Setting& setting, const toml::node& node,
                 std::string text, std::string server_name,
                 std::vector<ServerOption> options) {
  given_.push_back({.setting = &setting,
                    .text = std::move(text),
                    .where = Cat({At(name_, node.source()), ": ", key}),
                    .server_name = std::move(server_name),
                    .server_options = std::move(options)});
}

absl::Status Reader::ReadSetting(std::string_view key, const Setting& setting,
                                 const toml::node& node) {
  if (!setting.IsRepeatable() || !node.is_array()) {
    return ReadScalar(key, setting, node);
  }
  for (const toml::node& element : *node.as_array()) {
    if (element.is_array()) {
      return WrongType(key, setting, element);
    }
    RETURN_IF_ERROR(ReadScalar(key, setting, element));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadScalar(std::string_view key, const Setting& setting,
                                const toml::node& node) {
  const bool number = setting.kind == Kind::kInteger || setting.kind == Kind::kBytes ||
                      setting.kind == Kind::kDuration || setting.kind == Kind::kShare;
  const bool text = setting.kind != Kind::kInteger && setting.kind != Kind::kBoolean;
  if (text && node.is_string()) {
    Add(key, setting, node, node.as_string()->get());
  } else if (number && node.is_integer()) {
    Add(key, setting, node, std::to_string(node.as_integer()->get()));
  } else if (setting.kind == Kind::kShare && node.is_floating_point()) {
    Add(key, setting, node, NumberText(node.as_floating_point()->get()));
  } else if (setting.kind == Kind::kBoolean && node.is_boolean()) {
    Add(key, setting, node, node.as_boolean()->get() ? "true" : "false");
  } else if ((setting.kind == Kind::kServer || setting.kind == Kind::kServers) && node.is_table()) {
    return ReadServer(key, setting, node);
  } else {
    return WrongType(key, setting, node);
  }
  return absl::OkStatus();
}

// A value of a [[mirror]] table that is neither url nor name: a text, a number for exposure, an
// array of texts for patterns.
absl::Status Reader::ReadOption(std::string_view key, const toml::key& member,
                                const toml::node& value,
                                std::vector<ServerOption>* options) const {
  const bool share = member.str() == "exposure";
  const bool patterns = member.str() == "include" || member.str() == "exclude";
  const auto add = [&](const toml::node& at, std::string text) {
    options->push_back({.key = std::string(member.str()),
                        .text = std::move(text),
                        .where = Cat({At(name_, at.source()), ": ", key, ".", member.str()})});
  };
  if (value.is_string()) {
    add(value, value.as_string()->get());
  } else if (share && value.is_integer()) {
    add(value, std::to_string(value.as_integer()->get()));
  } else if (share && value.is_floating_point()) {
    add(value, NumberText(value.as_floating_point()->get()));
  } else if (patterns && value.is_array() &&
             std::all_of(value.as_array()->begin(), value.as_array()->end(),
                         [](const toml::node& element) { return element.is_string(); })) {
    for (const toml::node& element : *value.as_array()) {
      add(element, element.as_string()->get());
    }
  } else {
    return base::InvalidArgument(
        Cat({At(name_, value.source()), ": ", key, ".", member.str(), ": wants ",
             share      ? "a number from 0 to 1"
             : patterns ? "a string or an array of strings"
                        : "a string",
             ", not ", TypeName(value)}));
  }
  return absl::OkStatus();
}

absl::Status Reader::ReadServer(std::string_view key, const Setting& setting,
                                const toml::node& node) {
  const bool mirror = setting.kind == Kind::kServers;
  std::string url;
  std::string server_name;
  std::vector<ServerOption> options;
  for (const auto& [member_key, node_of] : InOrder(*node.as_table())) {
    const toml::key& member = *member_key;
    const toml::node& value = *node_of;
    if (mirror && IsMirrorChoice(member.str())) {
      RETURN_IF_ERROR(ReadOption(key, member, value, &options));
      continue;
    }
    if (member.str() != "url" && member.str() != "name") {
      std::vector<std::string_view> known = {"url", "name"};
      if (mirror) {
        known.insert(known.end(), {"filter", "exposure", "generated", "include", "exclude"});
      }
      return UnknownKey(member, known);
    }
    if (!value.is_string()) {
      return base::InvalidArgument(Cat({At(name_, value.source()), ": ", key, ".", member.str(),
                                        ": wants a string, not ", TypeName(value)}));
    }
    (member.str() == "url" ? url : server_name) = value.as_string()->get();
  }
  if (url.empty()) {
    return base::InvalidArgument(
        Cat({At(name_, node.source()), ": ", key, ": a table needs the key url"}));
  }
  Add(key, setting, node, std::move(url), std::move(server_name), std::move(options));
  return absl::OkStatus();
}

// The library's own words up to where it starts to repeat the file, which may hold a password.
std::string SafeDescription(std::string_view description) {
  if (description.find("redefine") != std::string_view::npos) {
    const size_t open = description.find('\'');
    const size_t close = description.find('\'', open + 1);
    std::string key;
    if (open != std::string_view::npos && close != std::string_view::npos) {
      key = description.substr(open + 1, close - open - 1);
      std::replace(key.begin(), key.end(), '_', '-');
    }
    const Setting* setting = FindSetting(key);
    return setting == nullptr ? std::string("a key or table is defined twice")
                              : Cat({Underscored(setting->name), " is defined twice"});
  }
  std::string safe(description.substr(0, description.find_first_of("'\"")));
  while (!safe.empty() && (safe.back() == ' ' || safe.back() == ',')) {
    safe.pop_back();
  }
  if (safe.ends_with(", saw")) {
    safe.resize(safe.size() - 5);
  }
  std::replace_if(
      safe.begin(), safe.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return safe;
}

absl::Status CheckLines(std::string_view text, std::string_view name) {
  size_t line = 1;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end > kLineBytesMax) {
      return base::InvalidArgument(
          Cat({name, ":", std::to_string(line), ": the line is longer than 4096 bytes"}));
    }
    text.remove_prefix(std::min(text.size(), end + 1));
    ++line;
  }
  return absl::OkStatus();
}

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "re"));
  if (file == nullptr) {
    return base::ErrnoError(Cat({"--config: cannot open ", Quote(path)}), errno);
  }
  std::string text(kFileBytesMax + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) {
    return base::ErrnoError(Cat({"--config: cannot read ", Quote(path)}), errno);
  }
  if (text.size() > kFileBytesMax) {
    return base::InvalidArgument(Cat({"--config: ", Quote(path), " is larger than 256k"}));
  }
  return text;
}

absl::StatusOr<TomlFile> ReadToml(std::string_view text, std::string_view name) {
  if (text.size() > kFileBytesMax) {
    return base::InvalidArgument(Cat({name, ": larger than 256k"}));
  }
  RETURN_IF_ERROR(CheckLines(text, name));
  try {
    const toml::table table = toml::parse(text);
    return Reader(name).Read(table);
  } catch (const toml::parse_error& error) {
    return base::InvalidArgument(
        Cat({At(name, error.source()), ": ", SafeDescription(error.description())}));
  }
}

}  // namespace config
