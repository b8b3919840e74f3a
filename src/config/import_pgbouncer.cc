#include "config/import_pgbouncer.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "base/status.h"
#include "config/ini_file.h"
#include "config/pgbouncer_settings.h"
#include "config/settings.h"
#include "config/text.h"

namespace config {
namespace {

// A basic string of TOML.
std::string TomlText(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += Cat({"\\", std::string_view(&c, 1)});
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += Cat({"\\u00", std::string(1, kHex[byte >> 4]), std::string(1, kHex[byte & 15])});
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

// A value of libpq's key=value strings.
std::string PairText(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' || c == '\\' ? "\\" : "";
    quoted += c;
  }
  return quoted + "'";
}

// Seconds with a fraction, as ours; empty if it is no number.
std::string DurationOf(std::string_view text) {
  const size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  std::string fraction(point == text.size() ? std::string_view() : text.substr(point + 1));
  const auto digits = [](std::string_view part) {
    return part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (text.empty() || whole.size() > 9 || !digits(whole) || !digits(fraction)) {
    return "";
  }
  fraction.resize(3, '0');
  const uint64_t milliseconds =
      std::stoull("0" + std::string(whole)) * 1000 + std::stoull(fraction);
  return DurationText(absl::Milliseconds(milliseconds));
}

bool IsOn(std::string_view text) {
  return text == "1" || text == "yes" || text == "true" || text == "on";
}

std::string Dashed(std::string_view key) {
  std::string name(key);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

class Importer {
 public:
  absl::Status Read(const std::string& path);
  Imported Take();

 private:
  struct Value {
    std::string text;
    std::string where;
  };
  using Values = std::map<std::string, Value, std::less<>>;

  void Note(std::string_view where, std::string_view key, std::string_view what);
  // What [pgbouncer] gives, else `otherwise`.
  std::string Given(std::string_view key, std::string_view otherwise = "") const;
  std::string WhereOf(std::string_view key) const;
  bool Put(std::string* to, std::string_view ours, std::string_view text, std::string_view where,
           std::string_view theirs);
  void PutSame(std::string* to, const BouncerSetting& row, const Value& value);

  // -- [pgbouncer] ----------------------------------------------------------------------------
  void General();
  void Listen();
  void ListenUnix(const std::string& port);
  void Authenticate();
  void ClientTls();
  void KeepAlive();
  // -- the other sections -----------------------------------------------------------------------
  absl::Status Databases();
  void Database(const std::string& name, const std::string& where, const Values& given);
  std::string Primary(const std::string& name, const Values& given) const;
  void PoolOf(const std::string& where, const Values& given, std::string* to);
  absl::Status OfUsers();

  Values general_;
  std::vector<IniLine> databases_;  // a name that is given again takes the place of the first
  std::vector<IniLine> users_;
  std::vector<IniLine> peers_;
  std::vector<std::string> listen_;
  std::string top_;
  std::string services_;
  std::vector<std::string> notes_;
  bool asks_clients_ = false;  // true exactly when clients show pgbraid itself who they are
};

absl::Status Importer::Read(const std::string& path) {
  ASSIGN_OR_RETURN(std::vector<IniLine> lines, ReadIniFile(path));
  for (IniLine& line : lines) {
    if (line.section == "pgbouncer") {
      general_[line.key] = Value{.text = std::move(line.value), .where = std::move(line.where)};
    } else if (line.section == "databases") {
      std::erase_if(databases_, [&](const IniLine& other) { return other.key == line.key; });
      databases_.push_back(std::move(line));
    } else if (line.section == "users") {
      users_.push_back(std::move(line));
    } else if (line.section == "peers") {
      peers_.push_back(std::move(line));
    } else {
      return base::InvalidArgument(Cat({line.where, ": PgBouncer has no section of that name"}));
    }
  }
  General();
  RETURN_IF_ERROR(Databases());
  return OfUsers();
}

Imported Importer::Take() {
  Imported imported;
  imported.toml = "# Made by pgbraid import-pgbouncer.\n";
  if (!notes_.empty()) {
    imported.toml += "#\n# What has no equivalent, or another meaning:\n";
  }
  for (const std::string& note : notes_) {
    imported.toml += Cat({"#   ", note, "\n"});
  }
  imported.toml += Cat({"\n", top_, services_});
  imported.notes = std::move(notes_);
  return imported;
}

void Importer::Note(std::string_view where, std::string_view key, std::string_view what) {
  notes_.push_back(where.empty() ? Cat({key, ": ", what}) : Cat({where, ": ", key, ": ", what}));
}

std::string Importer::Given(std::string_view key, std::string_view otherwise) const {
  const auto found = general_.find(key);
  return found == general_.end() ? std::string(otherwise) : found->second.text;
}

std::string Importer::WhereOf(std::string_view key) const {
  const auto found = general_.find(key);
  return found == general_.end() ? std::string() : found->second.where;
}

// One of our settings, if this build has it and takes the value.
bool Importer::Put(std::string* to, std::string_view ours, std::string_view text,
                   std::string_view where, std::string_view theirs) {
  const Setting* setting = FindSetting(Dashed(ours));
  if (setting == nullptr) {
    Note(where, theirs, "this pgbraid has no setting for it yet");
    return false;
  }
  Config scratch;
  if (const absl::Status applied = setting->apply(text, &scratch); !applied.ok()) {
    Note(where, theirs, base::Message(applied));
    return false;
  }
  asks_clients_ = asks_clients_ || ours == "auth" || ours == "users_file" || ours == "hba_file" ||
                  ours == "auth_user";
  const bool bare = setting->kind == Kind::kInteger || setting->kind == Kind::kBoolean;
  *to += Cat({ours, " = ", bare ? std::string(text) : TomlText(text), "\n"});
  return true;
}

void Importer::PutSame(std::string* to, const BouncerSetting& row, const Value& value) {
  const Setting* setting = FindSetting(Dashed(row.ours));
  std::string text = value.text;
  if (setting != nullptr && setting->kind == Kind::kDuration) {
    text = DurationOf(text);
    if (text.empty()) {
      Note(value.where, row.name, "is no number of seconds");
      return;
    }
  }
  if (row.value == BouncerValue::kPositive && (text == "0" || text == "0s")) {
    Note(value.where, row.name, row.note);
    return;
  }
  // What is not given stays away; only the query may be empty and mean that.
  if (!text.empty() || row.ours == "reset_query") {
    Put(to, row.ours, text, value.where, row.name);
  }
}

// -- [pgbouncer] ----------------------------------------------------------------------------------

void Importer::General() {
  Listen();
  for (const BouncerSetting* row = BouncerSettingsBegin(); row != BouncerSettingsEnd(); ++row) {
    const auto given = general_.find(row->name);
    if (given == general_.end()) {
      if (!row->default_text.empty()) {
        PutSame(&top_, *row, Value{.text = std::string(row->default_text), .where = ""});
      }
    } else if (row->value == BouncerValue::kNone) {
      Note(given->second.where, row->name, row->note);
    } else if (row->value != BouncerValue::kSpecial) {
      PutSame(&top_, *row, given->second);
    }
  }
  for (const auto& [key, value] : general_) {
    if (FindBouncerSetting(key) == nullptr) {
      Note(value.where, Quote(key), "PgBouncer's manual does not have it");
    }
  }
  Authenticate();
  ClientTls();
  KeepAlive();
}

void Importer::Listen() {
  const std::string port = Given("listen_port", "6432");
  std::string_view rest;
  const std::string addresses = Given("listen_addr");
  rest = addresses;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(','), rest.size());
    std::string address(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    std::erase(address, ' ');
    const std::string host = address == "*"    ? ""
                             : IsIpv6(address) ? Cat({"[", address, "]"})
                                               : address;
    const std::string endpoint = Cat({host, ":", port});
    if (const auto parsed = ParseEndpoint(endpoint); !parsed.ok()) {
      Note(WhereOf("listen_addr"), "listen_addr", base::Message(parsed.status()));
    } else {
      listen_.push_back(endpoint);
    }
  }
  ListenUnix(port);
  std::string list;
  for (const std::string& endpoint : listen_) {
    list += Cat({list.empty() ? "" : ", ", TomlText(endpoint)});
  }
  if (!listen_.empty()) {
    top_ += Cat({"listen = [", list, "]\n"});
  }
}

// PgBouncer always has a Unix socket, in /tmp, unless it is told otherwise.
void Importer::ListenUnix(const std::string& port) {
  const std::string directory = Given("unix_socket_dir", "/tmp");
  if (directory.empty()) {
    return;
  }
  const std::string endpoint = Cat({directory, ":", port});
  if (!directory.starts_with("/") || !ParseEndpoint(endpoint).ok()) {
    Note(WhereOf("unix_socket_dir"), "unix_socket_dir",
         "is no directory from the root; there are no abstract sockets");
    return;
  }
  listen_.push_back(endpoint);
}

void Importer::Authenticate() {
  const std::string type = Given("auth_type", "md5");
  const std::string where = WhereOf("auth_type");
  if (type == "hba") {
    Put(&top_, "hba_file", Given("auth_hba_file"), WhereOf("auth_hba_file"), "auth_hba_file");
    if (const std::string map = Given("auth_ident_file"); !map.empty()) {
      Put(&top_, "ident_file", map, WhereOf("auth_ident_file"), "auth_ident_file");
    }
    return;
  }
  for (const std::string_view file : {"auth_hba_file", "auth_ident_file"}) {
    if (!Given(file).empty()) {
      Note(WhereOf(file), file, "is used with auth_type = hba only");
    }
  }
  if (type == "plain") {
    Put(&top_, "auth", "password", where, "auth_type");
  } else if (type == "md5" || type == "scram-sha-256" || type == "cert" || type == "trust") {
    Put(&top_, "auth", type, where, "auth_type");
  } else {
    Note(where, "auth_type",
         type == "any" ? "any lets in everybody under one name; pgbraid has no such thing"
                       : "pgbraid has md5, scram-sha-256, plain (password), cert, trust and hba");
  }
  const bool elsewhere = std::any_of(listen_.begin(), listen_.end(), [](const std::string& text) {
    return !ParseEndpoint(text)->IsLoopback();
  });
  if (type == "trust" && elsewhere && Put(&top_, "insecure_trust", "true", where, "auth_type")) {
    Note(where, "auth_type", "lets in whoever can reach pgbraid, from other machines too");
  }
}

void Importer::ClientTls() {
  const std::string mode = Given("client_tls_sslmode", "disable");
  const std::string where = WhereOf("client_tls_sslmode");
  const struct {
    std::string_view theirs;
    std::string_view ours;
  } kFiles[] = {{"client_tls_cert_file", "tls_cert"},
                {"client_tls_key_file", "tls_key"},
                {"client_tls_ca_file", "tls_ca"}};
  if (mode == "disable") {
    for (const auto& file : kFiles) {
      if (!Given(file.theirs).empty()) {
        Note(WhereOf(file.theirs), file.theirs, "is not used with client_tls_sslmode = disable");
      }
    }
    return;
  }
  if (!Put(&top_, "enable_tls", "true", where, "client_tls_sslmode")) {
    return;
  }
  for (const auto& file : kFiles) {
    if (const std::string path = Given(file.theirs); !path.empty()) {
      Put(&top_, file.ours, path, WhereOf(file.theirs), file.theirs);
    }
  }
  const bool verify = mode == "verify-ca" || mode == "verify-full";
  if (verify || mode == "require") {
    Put(&top_, "tls_required", "true", where, "client_tls_sslmode");
  }
  if (verify) {
    Put(&top_, "tls_verify_client", "true", where, "client_tls_sslmode");
  }
}

void Importer::KeepAlive() {
  if (!IsOn(Given("tcp_keepalive", "1"))) {
    if (Given("tcp_keepidle", "0") == "0") {
      Put(&top_, "tcp_keepalive_idle", "0", WhereOf("tcp_keepalive"), "tcp_keepalive");
    } else {
      Note(WhereOf("tcp_keepalive"), "tcp_keepalive", "is off; set tcp_keepalive_idle to 0");
    }
  }
  const std::string timeout = Given("tcp_user_timeout", "0");
  if (timeout != "0") {
    Put(&top_, "tcp_user_timeout", Cat({timeout, "ms"}), WhereOf("tcp_user_timeout"),
        "tcp_user_timeout");
  }
}

// -- the other sections ---------------------------------------------------------------------------

absl::Status Importer::Databases() {
  for (const IniLine& line : databases_) {
    ASSIGN_OR_RETURN(const std::vector<IniPair> pairs, ReadIniPairs(line.value, line.where));
    Values given;
    for (const IniPair& pair : pairs) {
      given[pair.key] = Value{.text = pair.value, .where = line.where};
    }
    Database(line.key, line.where, given);
  }
  if (databases_.empty()) {
    Note("", "[databases]", "is empty, so pgbraid has no server to go to");
  }
  return absl::OkStatus();
}

void Importer::Database(const std::string& name, const std::string& where, const Values& given) {
  std::string table = Cat({"\n[[service]]\nname = ", TomlText(name), "\n"});
  const std::string primary = Primary(name, given);
  table += Cat({"primary = ", TomlText(primary), "\n"});
  for (const auto& [key, value] : given) {
    const BouncerSetting* row = FindBouncerDatabaseSetting(key);
    if (row == nullptr) {
      Note(where, Quote(key), "PgBouncer's manual does not have it");
    } else if (row->value == BouncerValue::kNone) {
      Note(where, key, row->note);
    }
  }
  PoolOf(where, given, &table);
  const absl::StatusOr<Server> server = ParseServer(primary);
  if (server.ok()) {
    services_ += table;
    return;
  }
  Note(where, "a database that is left out", base::Message(server.status()));
}

std::string Importer::Primary(const std::string& name, const Values& given) const {
  const auto value = [&](std::string_view key, std::string_view otherwise) {
    const auto found = given.find(key);
    return found == given.end() ? std::string(otherwise) : found->second.text;
  };
  const std::string host = value("host", Given("unix_socket_dir", "/tmp"));
  std::string text = Cat({"host=", PairText(host), " port=", PairText(value("port", "5432"))});
  const auto add = [&](std::string_view key, const std::string& own) {
    text += own.empty() ? std::string() : Cat({" ", key, "=", PairText(own)});
  };
  add("dbname", value("dbname", name == "*" ? "" : name));
  add("user", value("user", ""));
  add("password", value("password", ""));
  const std::string mode = Given("server_tls_sslmode");
  if (host.starts_with("/") || mode == "disable") {
    add("sslmode", host.starts_with("/") ? "" : mode);
    return text;
  }
  add("sslmode", mode);
  add("sslrootcert", Given("server_tls_ca_file"));
  add("sslcert", Given("server_tls_cert_file"));
  add("sslkey", Given("server_tls_key_file"));
  return text;
}

// pool_mode is said for each service: one that passes logins through cannot have every mode.
void Importer::PoolOf(const std::string& where, const Values& given, std::string* to) {
  for (const auto& [key, value] : given) {
    const BouncerSetting* row = FindBouncerDatabaseSetting(key);
    const bool same = row != nullptr &&
                      (row->value == BouncerValue::kSame || row->value == BouncerValue::kPositive);
    if (same && key != "pool_mode" && key != "min_pool_size") {
      PutSame(to, *row, value);
    }
  }
  const auto value = [&](std::string_view key, std::string_view general, const char* otherwise) {
    const auto found = given.find(key);
    return found == given.end() ? Given(general, otherwise) : found->second.text;
  };
  const std::string most = value("pool_size", "default_pool_size", "20");
  const std::string least = value("min_pool_size", "min_pool_size", "0");
  const bool numbers =
      ParseInteger(most, 0, UINT32_MAX).ok() && ParseInteger(least, 0, UINT32_MAX).ok();
  const bool too_many =
      numbers && *ParseInteger(least, 0, UINT32_MAX) > *ParseInteger(most, 0, UINT32_MAX);
  if (too_many || given.contains("min_pool_size")) {
    Put(to, "min_conns", too_many ? most : least, where, "min_pool_size");
  }
  const std::string mode = value("pool_mode", "pool_mode", "session");
  if (mode != "session" && !asks_clients_ && !given.contains("user")) {
    Note(where, "pool_mode",
         Cat({mode,
              " needs a user in the connection string; without one each client logs in to "
              "the server itself and keeps its connection"}));
    return;
  }
  Put(to, "pool_mode", mode, where, "pool_mode");
}

absl::Status Importer::OfUsers() {
  for (const IniLine& line : users_) {
    ASSIGN_OR_RETURN(const std::vector<IniPair> pairs, ReadIniPairs(line.value, line.where));
    for (const IniPair& pair : pairs) {
      Note(line.where, Quote(pair.key),
           "there are no settings of single users; give them a service of their own, or "
           "ALTER ROLE ... SET on the server");
    }
  }
  for (const IniLine& line : peers_) {
    Note(line.where, "a peer",
         "one process uses all cores, and a cancel request finds its session on any of them");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Imported> ImportPgbouncer(const std::string& path) {
  Importer importer;
  RETURN_IF_ERROR(importer.Read(path));
  return importer.Take();
}

}  // namespace config
