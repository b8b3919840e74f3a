#include "config/config.h"

#include <algorithm>
#include <set>

#include "base/status.h"

namespace config {
namespace {

constexpr std::string_view kEveryOther = "*";

// The names under which one machine's loopback goes are one host: a mirror that is the primary
// under another name would double every write.
std::string_view HostIdentity(std::string_view host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.") ? "localhost" : host;
}

bool SameHostAndPort(const Server& a, const Server& b) {
  return HostIdentity(a.host) == HostIdentity(b.host) && a.port == b.port;
}

// A server without a database name serves every database, also the other's.
bool Overlap(const Server& a, const Server& b) {
  return SameHostAndPort(a, b) && (a.dbname == b.dbname || a.dbname.empty() || b.dbname.empty());
}

absl::Status At(const Server& server, std::string_view what) {
  return base::InvalidArgument(Cat({server.origin, ": ", what}));
}

absl::Status CheckNotHere(const Server& server, std::string_view what, const Config& config) {
  for (const Endpoint& listen : config.listen) {
    const bool same_host = HostIdentity(listen.host) == HostIdentity(server.host) ||
                           (listen.host.empty() && HostIdentity(server.host) == "localhost");
    if (same_host && listen.port == server.port) {
      return At(server, Cat({server.Address(), " is where pgbraid itself listens; the ", what,
                             " must be another server"}));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckService(const Service& service, const Config& config) {
  RETURN_IF_ERROR(CheckNotHere(service.primary, "primary", config));
  if (!service.primary.mirror.empty()) {
    return At(service.primary, "filter, exposure, generated, include and exclude are options of a "
                               "mirror");
  }
  const PoolSettings& pool = service.pool;
  if (pool.mode != PoolMode::kSession && service.passes_login_through) {
    return At(service.primary,
              Cat({"names no user, so each client logs in to the server itself and keeps its "
                   "connection; pool_mode ",
                   Name(pool.mode), " needs postgres://USER:PASSWORD@…"}));
  }
  if (pool.min_conns > pool.max_conns) {
    return At(service.primary,
              Cat({"min_conns (", std::to_string(pool.min_conns), ") is more than max_conns (",
                   std::to_string(pool.max_conns), ")"}));
  }
  return absl::OkStatus();
}

// Each filter that differs has its place in the recorders' masks.
absl::Status CheckFilters(const Config& config) {
  std::vector<MirrorFilter> filters;
  if (!config.capture.empty()) {
    filters.emplace_back().mode = MirrorMode::kAll;
  }
  for (size_t i = 0; i < config.mirrors.size(); ++i) {
    const MirrorFilter filter = FilterOf(config, i);
    if (std::find(filters.begin(), filters.end(), filter) == filters.end()) {
      filters.push_back(filter);
    }
    if (filters.size() > kMirrorFiltersMax) {
      return At(config.mirrors[i], "is one too many: at most 32 mirrors may differ in filter, "
                                   "include, exclude or exposure");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckMirrors(const Config& config) {
  std::set<std::string_view> names = {config.primary.name};
  for (size_t i = 0; i < config.mirrors.size(); ++i) {
    const Server& mirror = config.mirrors[i];
    if (!names.insert(mirror.name).second) {
      return At(mirror, Cat({"another server is named \"", mirror.name, "\" already"}));
    }
    if (mirror.user.empty()) {
      return At(mirror, Cat({mirror.Address(),
                             " names no user: pgbraid logs in to a mirror by "
                             "itself; write postgres://USER:PASSWORD@HOST:PORT/DBNAME"}));
    }
    RETURN_IF_ERROR(CheckNotHere(mirror, "mirror", config));
    if (Overlap(mirror, config.primary)) {
      return At(mirror,
                Cat({mirror.Address(), " is the primary; every write would be done twice"}));
    }
    for (size_t j = 0; j < i; ++j) {
      if (Overlap(mirror, config.mirrors[j])) {
        return At(mirror, Cat({mirror.Address(), " is mirror \"", config.mirrors[j].name,
                               "\" already; every write would be done twice"}));
      }
    }
  }
  return CheckFilters(config);
}

absl::Status CheckTls(const Config& config) {
  const Tls& tls = config.tls;
  const bool any = !tls.certificate.empty() || !tls.key.empty() || !tls.client_ca.empty() ||
                   tls.verify_client || tls.required;
  if (any && !tls.enabled) {
    return base::InvalidArgument(
        "--tls-cert, --tls-key, --tls-ca, --tls-verify-client and --tls-required need --enable-tls "
        "beside them");
  }
  if (tls.enabled && (tls.certificate.empty() || tls.key.empty())) {
    return base::InvalidArgument(
        "--enable-tls needs --tls-cert and --tls-key, the files with pgbraid's certificate and its "
        "private key");
  }
  if (tls.verify_client && tls.client_ca.empty()) {
    return base::InvalidArgument(
        "--tls-verify-client needs --tls-ca, the authority of the clients' certificates");
  }
  return absl::OkStatus();
}

absl::Status CheckServerTls(const Server& server, const Tls& tls) {
  if (tls.skip_verify && server.sslmode >= SslMode::kVerifyCa) {
    return At(server, Cat({"sslmode=", Name(server.sslmode),
                           " and --tls-skip-verify contradict each other; one of them must go"}));
  }
  return absl::OkStatus();
}

absl::Status CheckListen(const Config& config) {
  for (size_t i = 0; i < config.listen.size(); ++i) {
    const Endpoint& listen = config.listen[i];
    for (size_t j = 0; j < i; ++j) {
      if (listen == config.listen[j] && listen.port != 0) {
        return base::InvalidArgument(Cat({"listen: ", listen.Display(), " is given twice"}));
      }
    }
    if (config.admin.has_value() && *config.admin == listen && listen.port != 0) {
      return base::InvalidArgument(
          Cat({"admin: ", listen.Display(), " is an address for clients already"}));
    }
  }
  return absl::OkStatus();
}

// The service that flags and top-level keys describe.
absl::Status AddTopService(Config* config) {
  if (config->primary.host.empty()) {
    return config->mirrors.empty()
               ? absl::OkStatus()
               : At(config->mirrors.front(), "a mirror needs the top-level primary beside it");
  }
  for (const Service& other : config->services) {
    if (other.name == kEveryOther) {
      return At(config->primary,
                "a [[service]] is named \"*\", and so is the one that a top-level primary makes");
    }
  }
  Service service;
  service.name = kEveryOther;
  service.primary = config->primary;
  service.pool = config->pool;
  service.mirrored = true;
  config->services.push_back(std::move(service));
  return absl::OkStatus();
}

std::string_view LogLevelName(base::LogLevel level) {
  switch (level) {
    case base::LogLevel::kError:
      return "error";
    case base::LogLevel::kWarn:
      return "warn";
    case base::LogLevel::kInfo:
      return "info";
    case base::LogLevel::kDebug:
      return "debug";
  }
  return "";
}

std::string_view IoName(IoBackend io) {
  switch (io) {
    case IoBackend::kAuto:
      return "auto";
    case IoBackend::kIoUring:
      return "io_uring";
    case IoBackend::kEpoll:
      return "epoll";
  }
  return "";
}

std::string DescribeLimits(const base::Limits& limits) {
  const auto bytes = [](auto value) { return BytesText(static_cast<uint64_t>(value)); };
  return Cat({" tcp_keepalive_idle=",
              DurationText(limits.tcp_keepalive_idle),
              " tcp_keepalive_interval=",
              DurationText(limits.tcp_keepalive_interval),
              " tcp_keepalive_count=",
              std::to_string(limits.tcp_keepalive_count),
              " tcp_retry_max=",
              DurationText(limits.tcp_retry_max),
              " tcp_user_timeout=",
              DurationText(limits.tcp_user_timeout),
              " query_buffer_size=",
              bytes(limits.statement_memory_first),
              " queue_high=",
              bytes(limits.queue_high),
              " queue_low=",
              bytes(limits.queue_low),
              " max_clients=",
              std::to_string(limits.clients_max),
              " max_unauthenticated_clients=",
              std::to_string(limits.clients_unauthenticated_max),
              " max_pipelined_frames=",
              std::to_string(limits.ledger_entries_max),
              " max_logins_per_address=",
              std::to_string(limits.logins_per_address_max),
              " max_server_conns=",
              std::to_string(limits.server_connections_max),
              " max_total_conns=",
              std::to_string(limits.total_connections_max),
              " login_timeout=",
              DurationText(limits.login_timeout),
              " connect_timeout=",
              DurationText(limits.connect_timeout),
              " cancel_timeout=",
              DurationText(limits.cancel_timeout),
              " close_timeout=",
              DurationText(limits.close_timeout),
              " drain_timeout=",
              DurationText(limits.drain_timeout),
              " watchdog_timeout=",
              DurationText(limits.watchdog_timeout),
              " mirror_timeout=",
              DurationText(limits.mirror_timeout),
              " mirror_retries=",
              std::to_string(limits.mirror_retries),
              " retry_delay=",
              DurationText(limits.mirror_retry_delay),
              " mirror_queue_bytes=",
              bytes(limits.mirror_bytes_max),
              " mirror_transaction_bytes=",
              bytes(limits.mirror_transaction_max),
              " mirror_max_conns=",
              std::to_string(limits.mirror_connections_max)});
}

std::string DescribeTls(const Tls& tls) {
  std::string text = tls.enabled ? Cat({" enable_tls=true tls_cert=", tls.certificate, " tls_key=",
                                        tls.key, " tls_required=", tls.required ? "true" : "false"})
                                 : " enable_tls=false";
  if (!tls.client_ca.empty()) {
    text += Cat({" tls_ca=", tls.client_ca,
                 " tls_verify_client=", tls.verify_client ? "true" : "false"});
  }
  if (!tls.server_name.empty()) {
    text += Cat({" tls_server_name=", tls.server_name});
  }
  return text + (tls.skip_verify ? " tls_skip_verify=true" : "");
}

// What is not as it would be without a word about it.
std::string DescribeFilters(const Config& config) {
  const MirrorFilter common = Resolve(MirrorChoices(), config.mirror_choices);
  std::string text;
  if (common.mode != MirrorMode::kWrites) {
    text += Cat({" mirror_filter=", Name(common.mode)});
  }
  for (const std::string& pattern : common.include) {
    text += Cat({" mirror_include=", Quote(pattern)});
  }
  for (const std::string& pattern : common.exclude) {
    text += Cat({" mirror_exclude=", Quote(pattern)});
  }
  if (common.exposure != 1) {
    text += Cat({" mirror_exposure=", NumberText(common.exposure)});
  }
  const Generated generated = config.mirror_choices.generated.value_or(Generated::kTolerate);
  if (generated != Generated::kTolerate) {
    text += Cat({" mirror_generated=", Name(generated)});
  }
  text += config.mirror_order == MirrorOrder::kSession ? " mirror_order=session" : "";
  text += config.mirror_marker ? "" : " mirror_marker=false";
  text += config.mirror_statements_alone ? " skip_mirror_tx_locks=true" : "";
  return text + (config.mirror_block ? " async_mirrors=false" : "");
}

// "primary=…" for the one that the flags describe, with the pool's settings where there is one.
std::string DescribeService(const Service& service) {
  std::string text = service.name == kEveryOther
                         ? Cat({"primary=", service.primary.Display()})
                         : Cat({"service=", service.name, "=", service.primary.Display()});
  const PoolSettings& pool = service.pool;
  if (!service.passes_login_through) {
    text += Cat({" pool_mode=", Name(pool.mode), " max_conns=", std::to_string(pool.max_conns),
                 " min_conns=", std::to_string(pool.min_conns)});
  }
  return text;
}

absl::Status CheckCapture(const Config& config) {
  const CaptureRedaction& redaction = config.capture_redaction;
  if (redaction.all_values && !(redaction.types.empty() && redaction.columns.empty())) {
    return base::InvalidArgument(
        "--capture-redact all-values hides every type and column already; the others are for some");
  }
  if (config.capture.empty() && redaction.any()) {
    return base::InvalidArgument("--capture-redact says what --capture keeps, and there is none");
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view Name(PoolMode mode) {
  switch (mode) {
    case PoolMode::kSession:
      return "session";
    case PoolMode::kTransaction:
      return "transaction";
    case PoolMode::kStatement:
      return "statement";
  }
  return "";
}

MirrorFilter FilterOf(const Config& config, size_t index) {
  return Resolve(config.mirrors[index].mirror, config.mirror_choices);
}

Generated GeneratedOf(const Config& config, const Server& mirror) {
  return mirror.mirror.generated.value_or(
      config.mirror_choices.generated.value_or(Generated::kTolerate));
}

const Service* FindService(const Config& config, std::string_view database) {
  const Service* every_other = nullptr;
  for (const Service& service : config.services) {
    if (service.name == database) {
      return &service;
    }
    if (service.name == kEveryOther) {
      every_other = &service;
    }
  }
  return every_other;
}

std::string Describe(const Config& config) {
  std::string text;
  for (const Endpoint& listen : config.listen) {
    text += Cat({"listen=", listen.Display(), " "});
  }
  for (const Service& service : config.services) {
    text += DescribeService(service);
  }
  for (const Server& mirror : config.mirrors) {
    text += Cat({" mirror=", mirror.name, "=", mirror.Display()});
  }
  text += DescribeFilters(config);
  text += Describe(config.authentication);
  text += Cat({" admin=", config.admin.has_value() ? config.admin->Display() : "none",
               " watchdog_action=",
               config.watchdog_action == WatchdogAction::kAbort ? "abort" : "log",
               " shards=", std::to_string(config.shards), " io=", IoName(config.io), " ring_size=",
               std::to_string(config.ring_size), " buffer_size=", BytesText(config.buffer_size)});
  if (!config.spill_dir.empty()) {
    text += Cat({" spill_dir=", config.spill_dir, " spill_max=",
                 BytesText(static_cast<uint64_t>(config.limits.spill_max)),
                 config.spill_key_file.empty() ? "" : " spill_key_file=", config.spill_key_file});
  }
  text += config.capture.empty() ? "" : Cat({" capture=", config.capture});
  text += config.state_dir.empty() ? "" : Cat({" state_dir=", config.state_dir});
  text += DescribeTls(config.tls);
  text += DescribeLimits(config.limits);
  const bool json = config.log_format == base::LogFormat::kJson;
  text +=
      Cat({" log_level=", LogLevelName(config.log_level), " log_format=", json ? "json" : "logfmt",
           " log_protocol=", config.log_protocol ? "true" : "false",
           config.core_dumps ? " core_dumps=true" : ""});
  return text;
}

absl::Status Complete(Config* config) {
  if (config->listen.empty()) {
    return base::InvalidArgument(
        "--listen is required: the address to accept clients on, for example --listen :5432");
  }
  if (config->primary.host.empty() && config->services.empty()) {
    return base::InvalidArgument(
        "--primary is required: the server behind pgbraid, for example "
        "--primary postgres://127.0.0.1:5433");
  }
  if (config->primary.name.empty()) {
    config->primary.name = "primary";
  }
  RETURN_IF_ERROR(AddTopService(config));
  for (Service& service : config->services) {
    service.passes_login_through =
        service.primary.user.empty() && !config->authentication.configured();
    if (!service.pool.min_conns_given) {
      service.pool.min_conns = std::min(service.pool.min_conns, service.pool.max_conns);
    }
  }
  int number = 0;
  for (Server& mirror : config->mirrors) {
    ++number;
    if (mirror.name.empty()) {
      mirror.name = Cat({"mirror", std::to_string(number)});
    }
  }
  base::Limits& limits = config->limits;
  if (limits.queue_low >= limits.queue_high) {
    return base::InvalidArgument(
        Cat({"queue-low (", BytesText(limits.queue_low), ") must be less than queue-high (",
             BytesText(limits.queue_high), ")"}));
  }
  // A transaction waits in the queue as a whole, so the smaller of the two bounds it; but for one
  // that may wait on the disk.
  if (config->spill_dir.empty()) {
    limits.mirror_transaction_max =
        std::min(limits.mirror_transaction_max, limits.mirror_bytes_max);
  }
  if (config->spill_dir.empty() && !config->spill_key_file.empty()) {
    return base::InvalidArgument("--spill-key-file needs --spill-dir beside it");
  }
  RETURN_IF_ERROR(CheckCapture(*config));
  if (config->log_protocol && config->log_level != base::LogLevel::kDebug) {
    return base::InvalidArgument(
        "--log-protocol shows SQL and data and needs --log-level debug beside it");
  }
  RETURN_IF_ERROR(CheckListen(*config));
  RETURN_IF_ERROR(CheckTls(*config));
  for (const Service& service : config->services) {
    RETURN_IF_ERROR(CheckService(service, *config));
    RETURN_IF_ERROR(CheckServerTls(service.primary, config->tls));
  }
  for (const Server& mirror : config->mirrors) {
    RETURN_IF_ERROR(CheckServerTls(mirror, config->tls));
  }
  RETURN_IF_ERROR(CheckAuthentication(config->authentication, config->listen, config->services,
                                      !config->proxy_protocol_from.empty()));
  return CheckMirrors(*config);
}

}  // namespace config
