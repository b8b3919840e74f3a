#include "config/server_url.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <vector>

#include "base/status.h"
#include "config/text.h"

namespace config {
namespace {

constexpr size_t kSocketPathMax = 107;  // sizeof(sockaddr_un::sun_path), less the final NUL
constexpr size_t kHostMax = 255;

const std::vector<std::string_view>& KnownOptions() {
  static const std::vector<std::string_view> options = {
      "host",
      "port",
      "user",
      "password",
      "dbname",
      "sslmode",
      "sslrootcert",
      "sslcert",
      "sslkey",
      "sslnegotiation",
      "name",
      "application_name",
      "connect_timeout",
      "require_auth",
      "channel_binding",
      "filter",
      "exposure",
      "generated",
      "include",
      "exclude",
  };
  return options;
}

// Options that libpq has and pgbraid does not: nothing was misspelt, so nothing is suggested.
constexpr std::array kLibpqOnly = {
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "replication",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
};

constexpr std::array<std::string_view, 6> kSslModes = {"disable", "allow",     "prefer",
                                                       "require", "verify-ca", "verify-full"};

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

absl::StatusOr<std::string> PercentDecode(std::string_view text, std::string_view what) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = high < 0 ? -1 : HexDigit(text[i + 2]);
    if (low < 0) {
      return base::InvalidArgument(Cat({"a '%' in the ", what,
                                        " is not followed by two hexadecimal digits; "
                                        "write %25 for the character itself"}));
    }
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

std::string PercentEncode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (IsAlphanumeric(c) || std::string_view("-._~").find(c) != std::string_view::npos) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return encoded;
}

// Collects the options of one server text and refuses what it cannot honour.
class Builder {
 public:
  absl::Status Set(std::string_view option, std::string value);
  absl::StatusOr<Server> Finish();

 private:
  absl::Status UnknownOption(std::string_view option) const;
  absl::Status SetMirror(std::string_view option, std::string_view value);
  absl::Status SetSslMode(std::string_view value);
  absl::Status SetSsl(std::string_view option, std::string_view value);
  absl::Status CheckSsl();
  absl::Status CheckHost() const;

  Server server_;
  std::vector<std::string> seen_;
};

absl::Status Builder::UnknownOption(std::string_view option) const {
  if (std::find(kLibpqOnly.begin(), kLibpqOnly.end(), option) != kLibpqOnly.end()) {
    return base::InvalidArgument(
        Cat({"option \"", option, "\" of libpq is not supported by pgbraid; leave it out"}));
  }
  // What stands right behind a password may be the rest of it, cut by a blank or an '&'.
  if (!seen_.empty() && seen_.back() == "password") {
    return base::InvalidArgument(
        Cat({"what follows the password is not a known option (not shown, it could be part of it)",
             DidYouMean(option, KnownOptions()),
             " A password with blanks is quoted, password='…', or percent-encoded in a URL"}));
  }
  std::string known;
  for (const std::string_view name : KnownOptions()) {
    known += known.empty() ? "" : ", ";
    known += name;
  }
  const std::string meant = DidYouMean(option, KnownOptions());
  return base::InvalidArgument(Cat({"unknown option ", Quote(option), meant,
                                    meant.empty() ? Cat({"; known are ", known}) : std::string()}));
}

absl::Status Builder::SetMirror(std::string_view option, std::string_view value) {
  const absl::Status status = SetMirrorChoice(option, value, &server_.mirror);
  return status.ok() ? status
                     : base::InvalidArgument(Cat({"the ", option, " ", base::Message(status)}));
}

absl::Status Builder::SetSslMode(std::string_view value) {
  const std::vector<std::string_view> modes(std::begin(kSslModes), std::end(kSslModes));
  const auto found = std::find(modes.begin(), modes.end(), value);
  if (found == modes.end()) {
    return base::InvalidArgument(
        Cat({"the sslmode is not one of disable, allow, prefer, require, verify-ca, verify-full",
             DidYouMean(value, modes)}));
  }
  server_.sslmode = static_cast<SslMode>(found - modes.begin());
  return absl::OkStatus();
}

// The options of TLS that are not the mode.
absl::Status Builder::SetSsl(std::string_view option, std::string_view value) {
  if (option == "sslnegotiation") {
    if (value != "postgres" && value != "direct") {
      return base::InvalidArgument("the sslnegotiation is not one of postgres, direct");
    }
    server_.ssl_direct = value == "direct";
    return absl::OkStatus();
  }
  if (value.empty()) {
    return base::InvalidArgument(Cat({"the ", option, " is empty; it is the name of a file"}));
  }
  (option == "sslrootcert" ? server_.sslrootcert
   : option == "sslcert"   ? server_.sslcert
                           : server_.sslkey) = value;
  return absl::OkStatus();
}

// What contradicts itself, as libpq sees it.
absl::Status Builder::CheckSsl() {
  const bool mode_given = std::find(seen_.begin(), seen_.end(), "sslmode") != seen_.end();
  if (server_.sslrootcert == "system") {
    if (!mode_given) {
      server_.sslmode = SslMode::kVerifyFull;
    } else if (server_.sslmode != SslMode::kVerifyFull) {
      return base::InvalidArgument(
          "sslrootcert=system trusts every public authority and needs sslmode=verify-full");
    }
  }
  if (server_.sslmode >= SslMode::kVerifyCa && server_.sslrootcert.empty()) {
    return base::InvalidArgument(
        Cat({"sslmode=", Name(server_.sslmode),
             " needs sslrootcert, the file with the authority's certificate (or system)"}));
  }
  if (server_.ssl_direct && server_.sslmode < SslMode::kRequire) {
    return base::InvalidArgument(
        "sslnegotiation=direct needs sslmode=require, verify-ca or verify-full");
  }
  if (server_.sslcert.empty() != server_.sslkey.empty()) {
    return base::InvalidArgument("sslcert and sslkey belong together, and one of them is missing");
  }
  return absl::OkStatus();
}

absl::Status Builder::Set(std::string_view option, std::string value) {
  if (std::find(KnownOptions().begin(), KnownOptions().end(), option) == KnownOptions().end()) {
    return UnknownOption(option);
  }
  const bool repeatable = option == "include" || option == "exclude";
  if (!repeatable && std::find(seen_.begin(), seen_.end(), option) != seen_.end()) {
    return base::InvalidArgument(Cat({"option \"", option, "\" is given twice"}));
  }
  seen_.emplace_back(option);
  if (value.find('\0') != std::string::npos) {
    return base::InvalidArgument(Cat({"the ", option, " holds a NUL byte"}));
  }
  if (option == "host") {
    server_.host = std::move(value);
    return CheckHost();
  }
  if (option == "port") {
    const absl::StatusOr<uint64_t> port = ParseInteger(value, 1, 65535);
    if (!port.ok()) {
      return base::InvalidArgument("the port is not a number from 1 to 65535");
    }
    server_.port = static_cast<uint16_t>(*port);
  } else if (option == "user") {
    server_.user = std::move(value);
  } else if (option == "password") {
    server_.password = std::move(value);
  } else if (option == "dbname") {
    server_.dbname = std::move(value);
  } else if (option == "application_name") {
    server_.application_name = std::move(value);
  } else if (option == "sslmode") {
    return SetSslMode(value);
  } else if (option == "require_auth") {
    return server_.auth.SetRequireAuth(value);
  } else if (option == "channel_binding") {
    return server_.auth.SetChannelBinding(value);
  } else if (IsMirrorChoice(option)) {
    return SetMirror(option, value);
  } else if (option.starts_with("ssl")) {
    return SetSsl(option, value);
  } else if (option == "connect_timeout") {
    const auto timeout = ParseDuration(value, absl::ZeroDuration(), absl::Hours(24));
    if (!timeout.ok()) {
      return base::InvalidArgument("the connect_timeout is not a time from 0 to 24h, in seconds");
    }
    server_.connect_timeout = *timeout;
  } else {  // name
    if (!IsServerName(value)) {
      return base::InvalidArgument(
          "the name is not made of 1 to 63 letters, digits, '_', '-' or '.'");
    }
    server_.name = std::move(value);
  }
  return absl::OkStatus();
}

absl::Status Builder::CheckHost() const {
  const std::string& host = server_.host;
  if (host.find(',') != std::string::npos && !server_.IsUnixSocket()) {
    return base::InvalidArgument("the host is a list of several; name one host for each server");
  }
  if (server_.IsUnixSocket() || host.empty() || IsIpv6(host)) {
    return absl::OkStatus();  // a directory's length is known to matter once the port is
  }
  for (const char c : host) {
    if (!IsAlphanumeric(c) && c != '.' && c != '-' && c != '_') {
      return base::InvalidArgument(
          "the host is not a name, an address, or a directory starting with '/'");
    }
  }
  if (host.size() > kHostMax) {
    return base::InvalidArgument("the host is longer than 255 bytes");
  }
  return absl::OkStatus();
}

absl::StatusOr<Server> Builder::Finish() {
  if (server_.host.empty()) {
    return base::InvalidArgument(
        "no host is named; write host=127.0.0.1, or host=/run/postgresql for a Unix socket");
  }
  if (server_.IsUnixSocket() && server_.SocketPath().size() > kSocketPathMax) {
    return base::InvalidArgument("the path of the Unix socket is longer than 107 bytes");
  }
  if (server_.user.empty() && !server_.password.empty()) {
    return base::InvalidArgument("a password is given without a user");
  }
  RETURN_IF_ERROR(CheckSsl());
  return std::move(server_);
}

// [user[:password]@]; leaves `*rest` behind the '@'.
absl::Status ParseUserInfo(std::string_view* rest, Builder* builder) {
  const size_t at = rest->find('@');
  if (at == std::string_view::npos) {
    return absl::OkStatus();
  }
  // A password with an unencoded delimiter would put its rest into the host, port or database, and
  // from there into a log: every doubt is an error.
  if (rest->find('@', at + 1) != std::string_view::npos) {
    return base::InvalidArgument(
        "more than one '@'; in a user, password or option it is written %40");
  }
  const std::string_view info = rest->substr(0, at);
  if (info.find_first_of("/?#[]") != std::string_view::npos) {
    return base::InvalidArgument(
        "one of / ? # [ ] stands before the '@'; in a user or password they are written "
        "%2F %3F %23 %5B %5D, and an '@' behind the host is written %40");
  }
  const size_t colon = info.find(':');
  ASSIGN_OR_RETURN(std::string user, PercentDecode(info.substr(0, colon), "user"));
  if (!user.empty()) {
    RETURN_IF_ERROR(builder->Set("user", std::move(user)));
  }
  if (colon != std::string_view::npos) {
    ASSIGN_OR_RETURN(std::string password, PercentDecode(info.substr(colon + 1), "password"));
    if (!password.empty()) {
      RETURN_IF_ERROR(builder->Set("password", std::move(password)));
    }
  }
  rest->remove_prefix(at + 1);
  return absl::OkStatus();
}

absl::Status ParseHostPort(std::string_view text, Builder* builder) {
  if (text.find(',') != std::string_view::npos) {
    return base::InvalidArgument("the host is a list of several; name one host for each server");
  }
  std::string host;
  std::string_view port;
  bool has_port = false;
  if (text.starts_with("[")) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) {
      return base::InvalidArgument("a '[' before an IPv6 address has no ']'");
    }
    ASSIGN_OR_RETURN(host, PercentDecode(text.substr(1, close - 1), "host"));
    if (!IsIpv6(host)) {
      return base::InvalidArgument("what stands in brackets is not an IPv6 address");
    }
    port = text.substr(close + 1);
    if (!port.empty() && port.front() != ':') {
      return base::InvalidArgument("after the ']' of an IPv6 address comes neither ':' nor '/'");
    }
    has_port = !port.empty();
    port.remove_prefix(has_port ? 1 : 0);
  } else {
    const size_t colon = text.find(':');
    has_port = colon != std::string_view::npos;
    port = has_port ? text.substr(colon + 1) : std::string_view();
    if (port.find(':') != std::string_view::npos) {
      return base::InvalidArgument(
          "more than one ':' in host and port; an IPv6 address is written in brackets, [::1]");
    }
    ASSIGN_OR_RETURN(host, PercentDecode(text.substr(0, colon), "host"));
  }
  if (!host.empty()) {
    RETURN_IF_ERROR(builder->Set("host", std::move(host)));
  }
  if (has_port && !port.empty()) {  // "host:/db" has the default port, as in libpq
    RETURN_IF_ERROR(builder->Set("port", std::string(port)));
  }
  return absl::OkStatus();
}

absl::Status ParseQuery(std::string_view query, Builder* builder) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return base::InvalidArgument("an option behind the '?' has no '='");
    }
    ASSIGN_OR_RETURN(const std::string option, PercentDecode(pair.substr(0, equals), "options"));
    ASSIGN_OR_RETURN(std::string value, PercentDecode(pair.substr(equals + 1), "options"));
    RETURN_IF_ERROR(builder->Set(option, std::move(value)));
  }
  return absl::OkStatus();
}

absl::StatusOr<Server> ParseUrl(std::string_view rest) {
  Builder builder;
  RETURN_IF_ERROR(ParseUserInfo(&rest, &builder));
  const size_t question = rest.find('?');
  const std::string_view hierarchy = rest.substr(0, question);
  const size_t slash = hierarchy.find('/');
  RETURN_IF_ERROR(ParseHostPort(hierarchy.substr(0, slash), &builder));
  if (slash != std::string_view::npos && slash + 1 < hierarchy.size()) {
    ASSIGN_OR_RETURN(std::string dbname, PercentDecode(hierarchy.substr(slash + 1), "dbname"));
    RETURN_IF_ERROR(builder.Set("dbname", std::move(dbname)));
  }
  if (question != std::string_view::npos) {
    RETURN_IF_ERROR(ParseQuery(rest.substr(question + 1), &builder));
  }
  return builder.Finish();
}

void SkipSpaces(std::string_view* text) {
  while (!text->empty() && IsSpace(text->front())) {
    text->remove_prefix(1);
  }
}

// One value of a key=value string: 'quoted' or up to a blank; a backslash takes the next byte as
// it is, in both. False if a quote is left open or a backslash ends the text.
bool TakeValue(std::string_view* text, std::string* value) {
  const bool quoted = text->starts_with("'");
  text->remove_prefix(quoted ? 1 : 0);
  while (!text->empty()) {
    char c = text->front();
    if (quoted ? c == '\'' : IsSpace(c)) {
      text->remove_prefix(1);
      return true;
    }
    if (c == '\\') {
      text->remove_prefix(1);
      if (text->empty()) {
        return false;
      }
      c = text->front();
    }
    *value += c;
    text->remove_prefix(1);
  }
  return !quoted;
}

absl::StatusOr<Server> ParseKeyValue(std::string_view text) {
  Builder builder;
  int number = 1;
  for (SkipSpaces(&text); !text.empty(); SkipSpaces(&text), ++number) {
    size_t end = 0;
    while (end < text.size() && text[end] != '=' && !IsSpace(text[end])) {
      ++end;
    }
    const std::string_view option = text.substr(0, end);
    text.remove_prefix(end);
    SkipSpaces(&text);
    if (!text.starts_with("=")) {
      return base::InvalidArgument(
          Cat({"option number ", std::to_string(number),
               " has no '=' (not shown, it could be part "
               "of a password); a value with blanks is quoted: password='…'"}));
    }
    text.remove_prefix(1);
    SkipSpaces(&text);
    std::string value;
    if (!TakeValue(&text, &value)) {
      return base::InvalidArgument(Cat({"the value of option number ", std::to_string(number),
                                        " ends in an open quote or a backslash"}));
    }
    RETURN_IF_ERROR(builder.Set(option, std::move(value)));
  }
  return builder.Finish();
}

}  // namespace

std::string_view Name(SslMode mode) { return kSslModes[static_cast<size_t>(mode)]; }

std::string Server::SocketPath() const {
  return Cat({host, host.ends_with("/") ? "" : "/", ".s.PGSQL.", std::to_string(port)});
}

std::string Server::Address() const {
  const bool brackets = host.find(':') != std::string::npos && !IsUnixSocket();
  return Cat({brackets ? "[" : "", host, brackets ? "]:" : ":", std::to_string(port)});
}

std::string Server::Display() const {
  std::string url = "postgres://";
  if (!user.empty()) {
    url += Cat({PercentEncode(user), "@"});
  }
  const std::string number = std::to_string(port);
  if (IsUnixSocket()) {
    url += Cat({PercentEncode(host), ":", number});
  } else if (const size_t zone = host.find('%'); zone != std::string::npos) {
    url += Cat({"[", host.substr(0, zone), "%25", host.substr(zone + 1), "]:", number});
  } else {
    url += Address();
  }
  if (!dbname.empty()) {
    url += Cat({"/", PercentEncode(dbname)});
  }
  char separator = '?';
  const auto add = [&url, &separator](std::string_view option, std::string_view value) {
    url += separator;
    url += Cat({option, "=", PercentEncode(value)});
    separator = '&';
  };
  if (sslmode != SslMode::kPrefer) {
    add("sslmode", Name(sslmode));
  }
  if (ssl_direct) {
    add("sslnegotiation", "direct");
  }
  for (const auto& [option, file] : {std::pair<std::string_view, const std::string&>
           {"sslrootcert", sslrootcert}, {"sslcert", sslcert}, {"sslkey", sslkey}}) {
    if (!file.empty()) {
      add(option, file);
    }
  }
  if (!auth.require_auth_text().empty()) {
    add("require_auth", auth.require_auth_text());
  }
  if (auth.channel_binding() != ChannelBindingMode::kPrefer) {
    const bool require = auth.channel_binding() == ChannelBindingMode::kRequire;
    add("channel_binding", require ? "require" : "disable");
  }
  if (!application_name.empty()) {
    add("application_name", application_name);
  }
  if (connect_timeout != absl::ZeroDuration()) {
    add("connect_timeout", DurationText(connect_timeout));
  }
  for (const auto& [option, value] : OptionsOf(mirror)) {
    add(option, value);
  }
  return url;
}

absl::StatusOr<Server> ParseServer(std::string_view text) {
  if (text.size() > kServerTextMax) {
    return base::InvalidArgument("the server is longer than 4096 bytes");
  }
  for (const std::string_view scheme : {"postgres://", "postgresql://"}) {
    if (text.starts_with(scheme)) {
      return ParseUrl(text.substr(scheme.size()));
    }
  }
  const size_t equals = text.find('=');
  const size_t scheme_end = text.find("://");
  if (scheme_end < equals) {
    return base::InvalidArgument("the URL starts with neither postgres:// nor postgresql://");
  }
  if (equals == std::string_view::npos) {
    return base::InvalidArgument(
        "neither a URL nor key=value; write postgres://HOST:PORT or \"host=HOST port=PORT\"");
  }
  return ParseKeyValue(text);
}

bool IsSameServer(const Server& a, const Server& b) {
  const auto facts = [](const Server& server) {
    return std::tie(server.host, server.port, server.user, server.password, server.dbname,
                    server.application_name, server.sslmode, server.auth, server.ssl_direct,
                    server.sslrootcert, server.sslcert, server.sslkey);
  };
  return facts(a) == facts(b);
}

bool IsServerName(std::string_view name) {
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), [](char c) {
    return IsAlphanumeric(c) || c == '_' || c == '-' || c == '.';
  });
}

}  // namespace config
