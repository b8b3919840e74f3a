#include "config/hba_file.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/fault_point.h"
#include "base/status.h"
#include "config/secret_file.h"
#include "config/text.h"

namespace config {
namespace {

constexpr std::array<std::string_view, 6> kMethods = {"scram-sha-256", "md5",   "password",
                                                      "cert",          "trust", "reject"};
constexpr std::array<std::string_view, 9> kMethodsOfOthers = {
    "gss", "sspi", "ident", "peer", "ldap", "radius", "pam", "bsd", "oauth"};

// Reads one line into a rule; `error()` says what is wrong with it.
class RuleReader {
 public:
  RuleReader(const RuleLine& line, const std::vector<NetAddress>& own) : line_(line), own_(own) {}

  bool Read(HbaRule* rule) {
    rule->line = line_.number;
    return ReadConnection(rule) && ReadNames(true, &rule->databases) &&
           ReadNames(false, &rule->users) && ReadAddress(rule) && ReadMethod(rule) &&
           ReadOptions(rule) && CheckRule(*rule);
  }
  const std::string& error() const { return error_; }

 private:
  bool Wrong(std::string what) {
    error_ = std::move(what);
    return false;
  }
  // The next field if it is one word; null otherwise.
  const Word* TakeWord() {
    if (next_ == line_.fields.size() || line_.fields[next_].size() != 1) {
      return nullptr;
    }
    return &line_.fields[next_++].front();
  }

  bool ReadConnection(HbaRule* rule);
  bool ReadNames(bool databases, std::vector<HbaName>* names);
  bool ReadName(bool databases, const Word& word, HbaName* name);
  bool ReadAddress(HbaRule* rule);
  bool ReadRange(const Word& word, HbaRule* rule);
  bool ReadMask(const NetAddress& address, HbaRule* rule);
  bool ReadMethod(HbaRule* rule);
  bool ReadOptions(HbaRule* rule);
  bool ReadOption(const Word& word, HbaRule* rule);
  bool CheckRule(const HbaRule& rule);

  const RuleLine& line_;
  const std::vector<NetAddress>& own_;
  size_t next_ = 0;
  std::string error_;
};

bool RuleReader::ReadConnection(HbaRule* rule) {
  constexpr std::array<std::string_view, 4> kTypes = {"local", "host", "hostssl", "hostnossl"};
  const Word* word = TakeWord();
  const auto found = word == nullptr || word->quoted
                         ? kTypes.end()
                         : std::find(kTypes.begin(), kTypes.end(), word->text);
  if (found == kTypes.end()) {
    return Wrong("does not start with local, host, hostssl or hostnossl");
  }
  rule->connection = static_cast<HbaConnection>(found - kTypes.begin());
  return true;
}

bool RuleReader::ReadNames(bool databases, std::vector<HbaName>* names) {
  if (next_ == line_.fields.size()) {
    return Wrong(databases ? "names no database" : "names no user");
  }
  for (const Word& word : line_.fields[next_++]) {
    HbaName name;
    if (!ReadName(databases, word, &name)) {
      return false;
    }
    names->push_back(std::move(name));
  }
  return true;
}

bool RuleReader::ReadName(bool databases, const Word& word, HbaName* name) {
  if (word.Is("all")) {
    name->kind = HbaNameKind::kAll;
    return true;
  }
  if (databases && word.Is("sameuser")) {
    name->kind = HbaNameKind::kSameUser;
    return true;
  }
  if (databases && word.Is("replication")) {
    name->kind = HbaNameKind::kReplication;
    return true;
  }
  if (databases && (word.Is("samerole") || word.Is("samegroup"))) {
    return Wrong("samerole asks who belongs to a role, which pgbraid cannot know; name the users");
  }
  if (!word.quoted && word.text.starts_with('@')) {
    return Wrong("@file is not supported; write the names into the line");
  }
  if (!word.quoted && word.text.starts_with('/')) {
    return Wrong("regular expressions are not supported here; write the names, or all");
  }
  if (!databases && !word.quoted && word.text.starts_with('+')) {
    return Wrong("+group asks who belongs to a role, which pgbraid cannot know; name the users");
  }
  if (word.text.empty()) {
    return Wrong("has an empty name");
  }
  name->text = word.text;
  return true;
}

bool RuleReader::ReadAddress(HbaRule* rule) {
  if (rule->connection == HbaConnection::kLocal) {
    return true;
  }
  const Word* word = TakeWord();
  if (word == nullptr) {
    return Wrong("names no address");
  }
  if (word->Is("all")) {
    rule->every_address = true;
    return true;
  }
  if (word->Is("samehost")) {
    for (const NetAddress& address : own_) {
      rule->addresses.push_back(
          *NetRange::Of(address, address.family == NetFamily::kIpv4 ? 32 : 128));
    }
    return true;
  }
  if (word->Is("samenet")) {
    return Wrong("samenet is not supported; write the network, as in 10.0.0.0/8");
  }
  return ReadRange(*word, rule);
}

bool RuleReader::ReadRange(const Word& word, HbaRule* rule) {
  const size_t slash = word.text.find('/');
  const std::optional<NetAddress> address =
      NetAddress::Parse(std::string_view(word.text).substr(0, slash));
  if (!address.has_value()) {
    return Wrong("has no address where one should be; names of hosts are not looked up");
  }
  if (slash == std::string::npos) {
    return ReadMask(*address, rule);
  }
  const absl::StatusOr<uint64_t> prefix =
      ParseInteger(std::string_view(word.text).substr(slash + 1), 0, 128);
  const std::optional<NetRange> range =
      prefix.ok() ? NetRange::Of(*address, static_cast<uint32_t>(*prefix)) : std::nullopt;
  if (!range.has_value()) {
    return Wrong("has a bad number of bits behind the '/' of its address");
  }
  rule->addresses.push_back(*range);
  return true;
}

bool RuleReader::ReadMask(const NetAddress& address, HbaRule* rule) {
  const Word* word = TakeWord();
  const std::optional<NetAddress> mask =
      word == nullptr ? std::nullopt : NetAddress::Parse(word->text);
  if (!mask.has_value() || mask->family != address.family) {
    return Wrong("has an address without a mask of its kind; write 10.0.0.0/8, or the mask");
  }
  rule->addresses.push_back(NetRange{.address = address, .mask = mask->bytes});
  return true;
}

bool RuleReader::ReadMethod(HbaRule* rule) {
  const Word* word = TakeWord();
  if (word == nullptr) {
    return Wrong("names no method");
  }
  const auto found = std::find(kMethods.begin(), kMethods.end(), word->text);
  if (found == kMethods.end()) {
    const bool known = std::find(kMethodsOfOthers.begin(), kMethodsOfOthers.end(), word->text) !=
                       kMethodsOfOthers.end();
    return Wrong(Cat({known ? "has a method that pgbraid does not have"
                            : "has no method where one should be",
                      " (it has scram-sha-256, md5, password, cert, trust and reject)"}));
  }
  rule->method = static_cast<AuthMethod>(found - kMethods.begin());
  return true;
}

bool RuleReader::ReadOptions(HbaRule* rule) {
  while (next_ < line_.fields.size()) {
    const Word* word = TakeWord();
    if (word == nullptr || !ReadOption(*word, rule)) {
      return error_.empty() ? Wrong("has a list where one option should be") : false;
    }
  }
  return true;
}

bool RuleReader::ReadOption(const Word& word, HbaRule* rule) {
  const size_t equals = word.text.find('=');
  const std::string_view name = std::string_view(word.text).substr(0, equals);
  if (equals == std::string::npos || (name != "map" && name != "clientcert")) {
    return Wrong("has an option that is neither map= nor clientcert=");
  }
  const std::string_view value = std::string_view(word.text).substr(equals + 1);
  if (name == "map") {
    rule->map = value;
    return !value.empty() || Wrong("has an empty map=");
  }
  if (value != "verify-ca" && value != "verify-full") {
    return Wrong("has a clientcert= that is neither verify-ca nor verify-full");
  }
  rule->client_cert = value == "verify-ca" ? ClientCert::kVerifyCa : ClientCert::kVerifyFull;
  return true;
}

bool RuleReader::CheckRule(const HbaRule& rule) {
  const bool tls = rule.connection == HbaConnection::kHostSsl;
  if (rule.method == AuthMethod::kCert && !tls) {
    return Wrong("asks for a certificate on connections without TLS; cert needs hostssl");
  }
  if (rule.client_cert != ClientCert::kAny && !tls) {
    return Wrong("has clientcert= on connections without TLS; it needs hostssl");
  }
  if (rule.method == AuthMethod::kCert && rule.client_cert == ClientCert::kVerifyCa) {
    return Wrong("has clientcert=verify-ca, but cert always compares the name too");
  }
  const bool compares =
      rule.method == AuthMethod::kCert || rule.client_cert == ClientCert::kVerifyFull;
  if (!rule.map.empty() && !compares) {
    return Wrong("has map=, which only cert and clientcert=verify-full use");
  }
  return true;
}

bool FitsConnection(const HbaRule& rule, const HbaQuery& query) {
  const bool local = query.peer.family == NetFamily::kUnix;
  switch (rule.connection) {
    case HbaConnection::kLocal:
      return local;
    case HbaConnection::kHost:
      return !local;
    case HbaConnection::kHostSsl:
      return !local && query.tls;
    case HbaConnection::kHostNoSsl:
      return !local && !query.tls;
  }
  return false;
}

bool FitsDatabase(const HbaName& name, const HbaQuery& query) {
  switch (name.kind) {
    case HbaNameKind::kReplication:
      return query.replication;
    case HbaNameKind::kAll:
      return !query.replication;
    case HbaNameKind::kSameUser:
      return !query.replication && query.database == query.user;
    case HbaNameKind::kName:
      return !query.replication && query.database == name.text;
  }
  return false;
}

bool Fits(const HbaRule& rule, const HbaQuery& query) {
  const auto user = [&](const HbaName& name) {
    return name.kind == HbaNameKind::kAll || name.text == query.user;
  };
  const auto database = [&](const HbaName& name) { return FitsDatabase(name, query); };
  const auto address = [&](const NetRange& range) { return range.Contains(query.peer); };
  return FitsConnection(rule, query) &&
         (rule.connection == HbaConnection::kLocal || rule.every_address ||
          std::any_of(rule.addresses.begin(), rule.addresses.end(), address)) &&
         std::any_of(rule.databases.begin(), rule.databases.end(), database) &&
         std::any_of(rule.users.begin(), rule.users.end(), user);
}

}  // namespace

std::string_view Name(AuthMethod method) { return kMethods[static_cast<size_t>(method)]; }

absl::StatusOr<Hba> Hba::Parse(std::string_view text, std::string_view file,
                               const std::vector<NetAddress>& own) {
  ASSIGN_OR_RETURN(const std::vector<RuleLine> lines, ReadRuleLines(text, file));
  Hba hba;
  for (const RuleLine& line : lines) {
    HbaRule rule;
    RuleReader reader(line, own);
    if (!reader.Read(&rule)) {
      if (HISTORICAL_BUG("c17-bad-line-is-skipped")) {
        continue;
      }
      return AtLine(file, line.number, reader.error());
    }
    hba.rules_.push_back(std::move(rule));
  }
  return hba;
}

const HbaRule* Hba::Find(const HbaQuery& query) const {
  const auto found = std::find_if(rules_.begin(), rules_.end(),
                                  [&](const HbaRule& rule) { return Fits(rule, query); });
  return found == rules_.end() ? nullptr : &*found;
}

}  // namespace config
