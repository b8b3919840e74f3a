#include "config/settings.h"

#include <algorithm>
#include <bit>
#include <set>
#include <type_traits>

#include "base/status.h"
#include "config/capture_redaction.h"
#include "config/setters.h"
#include "config/text.h"

namespace config {
namespace {

constexpr uint64_t kKilo = 1024;
constexpr uint64_t kMega = 1024 * kKilo;
constexpr uint64_t kGiga = 1024 * kMega;

template <auto kMember, uint64_t kMin, uint64_t kMax>
absl::Status SetCount(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const uint64_t number, ParseInteger(text, kMin, kMax));
  config->limits.*kMember = static_cast<uint32_t>(number);
  return absl::OkStatus();
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
absl::Status SetBytes(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(text, kMin, kMax));
  using Value = std::remove_reference_t<decltype(config->limits.*kMember)>;
  config->limits.*kMember = static_cast<Value>(bytes);
  return absl::OkStatus();
}

template <auto kMember, int64_t kMinMilliseconds = 1>
absl::Status SetTime(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->limits.*kMember,
                   ParseDuration(text, absl::Milliseconds(kMinMilliseconds), absl::Hours(168)));
  return absl::OkStatus();
}

template <auto kMember, uint64_t kMin, uint64_t kMax>
absl::Status SetPoolCount(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const uint64_t number, ParseInteger(text, kMin, kMax));
  config->pool.*kMember = static_cast<uint32_t>(number);
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetPoolTime(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->pool.*kMember,
                   ParseDuration(text, absl::ZeroDuration(), absl::Hours(24 * 365)));
  return absl::OkStatus();
}

absl::Status SetPoolMode(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice,
                   ParseChoice(text, {"session", "transaction", "statement"}));
  config->pool.mode = static_cast<PoolMode>(choice);
  return absl::OkStatus();
}

absl::Status SetMaxConns(std::string_view text, Config* config) {
  config->pool.max_conns_given = true;
  return SetPoolCount<&PoolSettings::max_conns, 1, 100'000>(text, config);
}

absl::Status SetMinConns(std::string_view text, Config* config) {
  config->pool.min_conns_given = true;
  return SetPoolCount<&PoolSettings::min_conns, 0, 100'000>(text, config);
}

absl::Status SetClientStallTimeout(std::string_view text, Config* config) {
  config->pool.client_stall_timeout_given = true;
  return SetPoolTime<&PoolSettings::client_stall_timeout>(text, config);
}

absl::Status SetResetQuery(std::string_view text, Config* config) {
  config->pool.reset_query = text;
  return absl::OkStatus();
}

absl::Status SetListen(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(text));
  config->listen.push_back(std::move(endpoint));
  return absl::OkStatus();
}

template <auto kMember>
void Clear(Config* config) {
  (config->*kMember).clear();
}

absl::Status SetPrimary(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->primary, ParseServer(text));
  return absl::OkStatus();
}

absl::Status SetMirror(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(Server server, ParseServer(text));
  config->mirrors.push_back(std::move(server));
  return absl::OkStatus();
}

absl::Status SetMirrorOrder(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice, ParseChoice(text, {"causal", "session"}));
  config->mirror_order = static_cast<MirrorOrder>(choice);
  return absl::OkStatus();
}

absl::Status SetMirrorRole(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice, ParseChoice(text, {"client", "login"}));
  config->mirror_as_client = choice == 0;
  return absl::OkStatus();
}

absl::Status SetMirrorMarker(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->mirror_marker, ParseBoolean(text));
  return absl::OkStatus();
}

absl::Status SetAuth(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice,
                   ParseChoice(text, {"scram-sha-256", "md5", "password", "cert", "trust"}));
  config->authentication.method = static_cast<AuthMethod>(choice);
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetAuthText(std::string_view text, Config* config) {
  if (text.empty()) {
    return base::InvalidArgument("is empty");
  }
  config->authentication.*kMember = text;
  return absl::OkStatus();
}

absl::Status SetAuthQuery(std::string_view text, Config* config) {
  config->authentication.auth_query_given = true;
  return SetAuthText<&Authentication::auth_query>(text, config);
}

absl::Status SetAuthQueryMaxAge(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->authentication.auth_query_max_age,
                   ParseDuration(text, absl::ZeroDuration(), absl::Hours(24)));
  return absl::OkStatus();
}

absl::Status SetInsecureTrust(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->authentication.insecure_trust, ParseBoolean(text));
  return absl::OkStatus();
}

// The kernel's own bounds.
absl::Status SetRetryMax(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const absl::Duration most,
                   ParseDuration(text, absl::ZeroDuration(), absl::Seconds(120)));
  if (most > absl::ZeroDuration() && most < absl::Seconds(1)) {
    return base::InvalidArgument(Cat({Quote(text), " is neither 0 nor 1s to 120s"}));
  }
  config->limits.tcp_retry_max = most;
  return absl::OkStatus();
}

absl::Status SetShards(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const uint64_t shards, ParseInteger(text, 0, 256));
  config->shards = static_cast<uint32_t>(shards);
  return absl::OkStatus();
}

absl::Status SetRingSize(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const uint64_t entries, ParseInteger(text, 16, 32768));
  if (!std::has_single_bit(entries)) {
    return base::InvalidArgument(Cat({Quote(text), " is not a power of two; the next one is ",
                                      std::to_string(std::bit_ceil(entries))}));
  }
  config->ring_size = static_cast<uint32_t>(entries);
  return absl::OkStatus();
}

absl::Status SetBufferSize(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(text, 4 * kKilo, 16 * kMega));
  config->buffer_size = static_cast<uint32_t>(bytes);
  return absl::OkStatus();
}

absl::Status SetIo(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice, ParseChoice(text, {"auto", "io_uring", "epoll"}));
  config->io = static_cast<IoBackend>(choice);
  return absl::OkStatus();
}

absl::Status SetWatchdogAction(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice, ParseChoice(text, {"log", "abort"}));
  config->watchdog_action = static_cast<WatchdogAction>(choice);
  return absl::OkStatus();
}

absl::Status SetLogLevel(std::string_view text, Config* config) {
  // frenzy's variable also knows "warning".
  ASSIGN_OR_RETURN(const size_t choice, ParseChoice(text == "warning" ? "warn" : text,
                                                    {"error", "warn", "info", "debug"}));
  config->log_level = static_cast<base::LogLevel>(choice);
  return absl::OkStatus();
}

absl::Status SetLogFormat(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice, ParseChoice(text, {"logfmt", "json"}));
  config->log_format = static_cast<base::LogFormat>(choice);
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetPath(std::string_view text, Config* config) {
  if (text.empty() || text.find('\0') != std::string_view::npos) {
    return base::InvalidArgument("is empty");
  }
  config->*kMember = text;
  return absl::OkStatus();
}

absl::Status SetCaptureRedact(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const size_t choice, ParseChoice(text, {"none", "all-values"}));
  config->capture_redaction.all_values = choice == 1;
  return absl::OkStatus();
}

absl::Status AddCaptureRedactTypes(std::string_view text, Config* config) {
  return AddTypes(text, &config->capture_redaction.types);
}

absl::Status AddCaptureRedactColumns(std::string_view text, Config* config) {
  return AddColumns(text, &config->capture_redaction.columns);
}

absl::Status SetCoreDumps(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->core_dumps, ParseBoolean(text));
  return absl::OkStatus();
}

absl::Status SetLogProtocol(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->log_protocol, ParseBoolean(text));
  return absl::OkStatus();
}

template <MirrorMode kMode>
absl::Status SetMirrorMode(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const bool chosen, ParseBoolean(text));
  if (chosen) {
    config->mirror_choices.mode = kMode;
  } else if (config->mirror_choices.mode == kMode) {  // what an earlier layer has chosen
    config->mirror_choices.mode.reset();
  }
  return absl::OkStatus();
}

absl::Status SetMirrorFilter(std::string_view text, Config* config) {
  return SetMirrorChoice("filter", text, &config->mirror_choices);
}

absl::Status SetMirrorInclude(std::string_view text, Config* config) {
  return SetMirrorChoice("include", text, &config->mirror_choices);
}

absl::Status SetMirrorExclude(std::string_view text, Config* config) {
  return SetMirrorChoice("exclude", text, &config->mirror_choices);
}

absl::Status SetMirrorExposure(std::string_view text, Config* config) {
  return SetMirrorChoice("exposure", text, &config->mirror_choices);
}

absl::Status SetMirrorGenerated(std::string_view text, Config* config) {
  return SetMirrorChoice("generated", text, &config->mirror_choices);
}

template <auto kMember>
void ClearPatterns(Config* config) {
  (config->mirror_choices.*kMember).clear();
}

// Flags of frenzy's for what pgbraid does in any case.
absl::Status SetAlwaysTrue(std::string_view text, Config* /*config*/) {
  ASSIGN_OR_RETURN(const bool on, ParseBoolean(text));
  return on ? absl::OkStatus()
            : base::InvalidArgument(
                  "is always true: a mirror never gets what the primary did not commit");
}

absl::Status SetSkipMirrorTxLocks(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->mirror_statements_alone, ParseBoolean(text));
  return absl::OkStatus();
}

absl::Status SetAsyncMirrors(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(const bool async, ParseBoolean(text));
  config->mirror_block = !async;
  return absl::OkStatus();
}

absl::Status AddWritingFunction(std::string_view text, Config* config) {
  if (!config->writing_functions.Add(text)) {
    return base::InvalidArgument(
        Cat({Quote(text), " is no name of a function; write NAME or SCHEMA.NAME, as in SQL"}));
  }
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetTlsText(std::string_view text, Config* config) {
  if (text.empty() || text.find('\0') != std::string_view::npos) {
    return base::InvalidArgument("is empty");
  }
  config->tls.*kMember = text;
  return absl::OkStatus();
}

template <auto kMember>
absl::Status SetTlsSwitch(std::string_view text, Config* config) {
  ASSIGN_OR_RETURN(config->tls.*kMember, ParseBoolean(text));
  return absl::OkStatus();
}

using base::Limits;
constexpr uint64_t kConnectionsMax = 1'000'000;

constexpr Setting kSettings[] = {
    {"Connections", "listen", "", 'l', Kind::kTexts, "HOST:PORT", "required", "",
     "accept clients; :PORT is every address, /DIR:PORT a Unix socket", SetListen, false,
     Clear<&Config::listen>},
    {"Connections", "primary", "", 'p', Kind::kServer, "SERVER", "required", "",
     "the server that answers clients: a URL or \"host=… port=…\"", SetPrimary, true},
    {"Connections", "mirror", "", 'm', Kind::kServers, "SERVER", "none", "",
     "a server that receives a copy of what is written; repeatable", SetMirror, false,
     Clear<&Config::mirrors>},
    {"Connections", "proxy-protocol-from", "", 0, Kind::kTexts, "CIDR[,CIDR]", "none", "",
     "load balancers whose PROXY protocol header is believed; repeatable", SetProxyProtocolFrom,
     false, Clear<&Config::proxy_protocol_from>},

    {"Connections", "unix-socket-mode", "", 0, Kind::kText, "MODE", "0777", "",
     "who may connect to Unix sockets, in octal", SetUnixSocketMode},
    {"Connections", "tcp-keepalive-idle", "", 0, Kind::kDuration, "TIME", "4s", "",
     "silence before a peer is asked whether it is there; 0 never",
     SetTime<&Limits::tcp_keepalive_idle, 0>},
    {"Connections", "tcp-keepalive-interval", "", 0, Kind::kDuration, "TIME", "2s", "",
     "between two such questions", SetTime<&Limits::tcp_keepalive_interval, 1000>},
    {"Connections", "tcp-keepalive-count", "", 0, Kind::kInteger, "N", "3", "",
     "questions without an answer that end the connection",
     SetCount<&Limits::tcp_keepalive_count, 1, 127>},
    {"Connections", "tcp-retry-max", "", 0, Kind::kDuration, "TIME", "1s", "",
     "longest pause before lost bytes are sent again; 0 the system's",
     SetRetryMax},
    {"Connections", "tcp-user-timeout", "", 0, Kind::kDuration, "TIME", "0", "",
     "end a connection whose peer takes nothing for so long; 0 never",
     SetTime<&Limits::tcp_user_timeout, 0>},

    {"Shards and memory", "shards", "worker-threads", 0, Kind::kInteger, "N", "0", "",
     "threads; 0 is one for each usable CPU, at most 4", SetShards},
    {"Shards and memory", "io", "", 0, Kind::kText, "BACKEND", "auto", "",
     "auto, io_uring or epoll; auto takes io_uring where it works", SetIo},
    {"Shards and memory", "ring-size", "", 0, Kind::kInteger, "N", "256", "",
     "submission entries of a shard's ring, a power of two", SetRingSize},
    {"Shards and memory", "buffer-size", "", 0, Kind::kBytes, "BYTES", "256k", "",
     "most received from one server at once; buffers are a quarter of it", SetBufferSize},
    {"Shards and memory", "query-buffer-size", "", 0, Kind::kBytes, "BYTES", "8k", "",
     "first size of the statement memory of a session",
     SetBytes<&Limits::statement_memory_first, 512, kMega>},
    {"Shards and memory", "queue-high", "", 0, Kind::kBytes, "BYTES", "256k", "",
     "stop reading from one side when this much waits for the other",
     SetBytes<&Limits::queue_high, 16 * kKilo, kGiga>},
    {"Shards and memory", "queue-low", "", 0, Kind::kBytes, "BYTES", "64k", "",
     "read again below this", SetBytes<&Limits::queue_low, 4 * kKilo, kGiga>},

    {"Clients", "max-clients", "", 0, Kind::kInteger, "N", "10000", "",
     "connections at once; one more is refused with SQLSTATE 53300",
     SetCount<&Limits::clients_max, 1, kConnectionsMax>},
    {"Clients", "max-unauthenticated-clients", "", 0, Kind::kInteger, "N", "4096", "",
     "connections of a shard that have not finished logging in",
     SetCount<&Limits::clients_unauthenticated_max, 1, kConnectionsMax>},
    {"Clients", "max-pipelined-frames", "", 0, Kind::kInteger, "N", "1048576", "",
     "requests that a client may send ahead of their answers",
     SetCount<&Limits::ledger_entries_max, 1024, 1 << 26>},
    {"Clients", "login-timeout", "", 0, Kind::kDuration, "TIME", "60s", "",
     "from accepting a client to the end of its login", SetTime<&Limits::login_timeout>},
    {"Clients", "connect-timeout", "", 0, Kind::kDuration, "TIME", "15s", "",
     "connecting to a server, login included", SetTime<&Limits::connect_timeout>},
    {"Clients", "cancel-timeout", "", 0, Kind::kDuration, "TIME", "10s", "",
     "delivering a cancel request", SetTime<&Limits::cancel_timeout>},
    {"Clients", "close-timeout", "", 0, Kind::kDuration, "TIME", "5s", "",
     "sending the last bytes to a client that is leaving", SetTime<&Limits::close_timeout>},
    {"Clients", "drain-timeout", "", 0, Kind::kDuration, "TIME", "30s", "",
     "from SIGTERM until remaining clients are cut; 0 cuts at once",
     SetTime<&Limits::drain_timeout, 0>},

    {"Authentication", "auth", "", 0, Kind::kText, "METHOD", "scram-sha-256", "",
     "scram-sha-256, md5, password, cert or trust", SetAuth},
    {"Authentication", "users-file", "", 0, Kind::kText, "FILE", "none", "",
     "users and their secrets, \"user\" \"secret\" on each line",
     SetAuthText<&Authentication::users_file>},
    {"Authentication", "hba-file", "", 0, Kind::kText, "FILE", "none", "",
     "who may in from where and how, in the syntax of pg_hba.conf",
     SetAuthText<&Authentication::hba_file>},
    {"Authentication", "ident-file", "", 0, Kind::kText, "FILE", "none", "",
     "which certificate may be which user, in the syntax of pg_ident.conf",
     SetAuthText<&Authentication::ident_file>},
    {"Authentication", "auth-user", "", 0, Kind::kText, "USER", "none", "",
     "look up the secrets of users that no file has, as this user",
     SetAuthText<&Authentication::auth_user>},
    {"Authentication", "auth-password", "", 0, Kind::kText, "TEXT", "none", "",
     "of auth-user; better in a file", SetAuthText<&Authentication::auth_password>},
    {"Authentication", "auth-dbname", "", 0, Kind::kText, "NAME", "none", "",
     "database of that look-up; none: the server's, else postgres",
     SetAuthText<&Authentication::auth_dbname>},
    {"Authentication", "auth-query", "", 0, Kind::kText, "SQL", "pg_authid", "",
     "the look-up: $1 is the user; the answer is user and secret", SetAuthQuery},
    {"Authentication", "auth-query-max-age", "", 0, Kind::kDuration, "TIME", "30s", "",
     "how long its answer is believed; 0 asks each time", SetAuthQueryMaxAge},
    {"Authentication", "insecure-trust", "", 0, Kind::kBoolean, "", "false", "",
     "allow trust for clients of other machines", SetInsecureTrust},
    {"Authentication", "max-logins-per-address", "", 0, Kind::kInteger, "N", "256", "",
     "logins of one client address under way in a shard",
     SetCount<&Limits::logins_per_address_max, 1, kConnectionsMax>},

    {"TLS", "enable-tls", "", 0, Kind::kBoolean, "", "false", "",
     "clients may connect with TLS", SetTlsSwitch<&Tls::enabled>},
    {"TLS", "tls-cert", "", 0, Kind::kText, "FILE", "none", "",
     "PEM: our certificate for clients, then intermediate ones", SetTlsText<&Tls::certificate>},
    {"TLS", "tls-key", "", 0, Kind::kText, "FILE", "none", "",
     "PEM: its private key, readable by its owner only", SetTlsText<&Tls::key>},
    {"TLS", "tls-ca", "", 0, Kind::kText, "FILE", "none", "",
     "PEM: authorities of clients' certificates, which are then asked for",
     SetTlsText<&Tls::client_ca>},
    {"TLS", "tls-verify-client", "", 0, Kind::kBoolean, "", "false", "",
     "refuse TLS to clients without a certificate", SetTlsSwitch<&Tls::verify_client>},
    {"TLS", "tls-required", "", 0, Kind::kBoolean, "", "false", "",
     "refuse clients without TLS", SetTlsSwitch<&Tls::required>},
    {"TLS", "tls-server-name", "", 0, Kind::kText, "NAME", "none", "",
     "verify servers' certificates for this name, not for their hosts",
     SetTlsText<&Tls::server_name>},
    {"TLS", "tls-skip-verify", "", 0, Kind::kBoolean, "", "false", "",
     "verify no server's certificate", SetTlsSwitch<&Tls::skip_verify>},

    {"Pools", "pool-mode", "", 0, Kind::kText, "MODE", "session", "",
     "how long a client keeps a server: session, transaction, statement", SetPoolMode,
     true},
    {"Pools", "max-conns", "", 0, Kind::kInteger, "N", "50", "",
     "server connections per server, user and database", SetMaxConns, true},
    {"Pools", "min-conns", "", 0, Kind::kInteger, "N", "10", "",
     "of these, kept open once the pool is in use", SetMinConns, true},
    {"Pools", "max-server-conns", "", 0, Kind::kInteger, "N", "0", "",
     "pooled connections to one server, all pools; 0 is no bound",
     SetCount<&Limits::server_connections_max, 0, kConnectionsMax>},
    {"Pools", "max-total-conns", "", 0, Kind::kInteger, "N", "0", "",
     "pooled connections to all servers; 0 is no bound",
     SetCount<&Limits::total_connections_max, 0, kConnectionsMax>},
    {"Pools", "max-conn-lifetime", "", 0, Kind::kDuration, "TIME", "0", "",
     "close a server connection that is older, once it is free; 0 never",
     SetPoolTime<&PoolSettings::max_conn_lifetime>, true},
    {"Pools", "max-conn-idle-time", "", 0, Kind::kDuration, "TIME", "300s", "",
     "close a server connection that was not used for so long; 0 never",
     SetPoolTime<&PoolSettings::max_conn_idle_time>, true},
    {"Pools", "max-prepared-statements", "", 0, Kind::kInteger, "N", "200", "",
     "prepared statements kept on one server connection",
     SetPoolCount<&PoolSettings::max_prepared_statements, 1, 100'000>, true},
    {"Pools", "reset-query", "", 0, Kind::kText, "SQL", "DISCARD ALL", "",
     "run where a session may have left something",
     SetResetQuery, true},
    {"Pools", "query-wait-timeout", "", 0, Kind::kDuration, "TIME", "120s", "",
     "waiting for a server connection; 0 for ever",
     SetPoolTime<&PoolSettings::query_wait_timeout>, true},
    {"Pools", "query-timeout", "", 0, Kind::kDuration, "TIME", "0", "",
     "from a query to its answer; 0 for ever", SetPoolTime<&PoolSettings::query_timeout>, true},
    {"Pools", "transaction-timeout", "", 0, Kind::kDuration, "TIME", "0", "",
     "one transaction; 0 for ever", SetPoolTime<&PoolSettings::transaction_timeout>, true},
    {"Pools", "idle-transaction-timeout", "", 0, Kind::kDuration, "TIME", "0", "",
     "a transaction in which nothing is asked; 0 for ever",
     SetPoolTime<&PoolSettings::idle_transaction_timeout>, true},
    {"Pools", "client-idle-timeout", "", 0, Kind::kDuration, "TIME", "0", "",
     "a client that asks for nothing; 0 for ever",
     SetPoolTime<&PoolSettings::client_idle_timeout>, true},
    {"Pools", "client-stall-timeout", "", 0, Kind::kDuration, "TIME", "300s", "",
     "a client that does not read while its server waits; 0 for ever", SetClientStallTimeout, true},
    {"Pools", "max-service-clients", "", 0, Kind::kInteger, "N", "0", "",
     "clients of one service; 0 is max-clients",
     SetPoolCount<&PoolSettings::max_service_clients, 0, kConnectionsMax>, true},
    {"Pools", "max-user-clients", "", 0, Kind::kInteger, "N", "0", "",
     "clients of one user of a service; 0 is max-clients",
     SetPoolCount<&PoolSettings::max_user_clients, 0, kConnectionsMax>, true},

    {"Mirrors", "mirror-timeout", "", 0, Kind::kDuration, "TIME", "120s", "",
     "one transaction on a mirror, sent to answered", SetTime<&Limits::mirror_timeout>},
    {"Mirrors", "mirror-health-interval", "", 0, Kind::kDuration, "TIME", "30s", "",
     "between logins to a mirror that nobody is connected to; 0: none",
     SetTime<&Limits::mirror_health_interval, 0>},
    {"Mirrors", "mirror-retries", "", 0, Kind::kInteger, "N", "2", "",
     "tries of a transaction that has reached a mirror, after the first",
     SetCount<&Limits::mirror_retries, 0, 1000>},
    {"Mirrors", "retry-delay", "", 0, Kind::kDuration, "TIME", "5s", "",
     "longest pause before the first of them; doubled each time",
     SetTime<&Limits::mirror_retry_delay>},
    {"Mirrors", "mirror-order", "", 0, Kind::kText, "ORDER", "causal", "",
     "causal: behind all that its client saw; session: behind its session", SetMirrorOrder},
    {"Mirrors", "mirror-role", "", 0, Kind::kText, "ROLE", "client", "",
     "client: run as the client where the login may; login: as itself", SetMirrorRole},
    {"Mirrors", "mirror-marker", "", 0, Kind::kBoolean, "BOOL", "true", "",
     "keep a record on the mirror, so that nothing is applied twice", SetMirrorMarker},
    {"Mirrors", "mirror-generated", "", 0, Kind::kText, "WHAT", "tolerate", "",
     "values the primary makes up: pin those returned, tolerate, off", SetMirrorGenerated},
    {"Mirrors", "mirror-queue-bytes", "", 0, Kind::kBytes, "BYTES", "64m", "",
     "waiting for one mirror at most; more is dropped and counted",
     SetBytes<&Limits::mirror_bytes_max, 64 * kKilo, 64 * kGiga>},
    {"Mirrors", "mirror-transaction-bytes", "", 0, Kind::kBytes, "BYTES", "16m", "",
     "largest transaction that is mirrored",
     SetBytes<&Limits::mirror_transaction_max, 64 * kKilo, 64 * kGiga>},
    {"Mirrors", "mirror-transaction-statements", "", 0, Kind::kInteger, "N", "1000", "",
     "in memory at most, of one open transaction; more waits in spill-dir",
     SetCount<&Limits::mirror_transaction_statements, 1, 100'000>},
    {"Mirrors", "mirror-transaction-age", "", 0, Kind::kDuration, "TIME", "30m", "",
     "an open transaction that is older waits in spill-dir",
     SetTime<&Limits::mirror_transaction_age>},
    {"Mirrors", "mirror-transaction-sweep", "", 0, Kind::kDuration, "TIME", "5m", "",
     "how often open transactions are looked at for their age",
     SetTime<&Limits::mirror_transaction_sweep>},
    {"Mirrors", "spill-dir", "", 0, Kind::kText, "DIRECTORY", "none", "",
     "where what does not fit a mirror's queue waits on the disk", SetPath<&Config::spill_dir>},
    {"Mirrors", "spill-max", "", 0, Kind::kBytes, "BYTES", "16g", "",
     "on that disk at most, all mirrors together",
     SetBytes<&Limits::spill_max, kMega, 1024 * 1024 * kGiga>},
    {"Mirrors", "spill-key-file", "", 0, Kind::kText, "FILE", "none", "",
     "its key, 64 hexadecimal digits: what waits survives a restart",
     SetPath<&Config::spill_key_file>},
    {"Mirrors", "mirror-max-conns", "", 0, Kind::kInteger, "N", "64", "",
     "connections to one mirror", SetCount<&Limits::mirror_connections_max, 1, 10'000>},

    {"Mirrors", "mirror-filter", "", 0, Kind::kText, "MODE", "writes", "",
     "writes, all, reads, ddl, dml or writes+reads", SetMirrorFilter},
    {"Mirrors", "mirror-all-queries", "", 0, Kind::kBoolean, "", "false", "",
     "as mirror-filter all", SetMirrorMode<MirrorMode::kAll>},
    {"Mirrors", "mirror-select-queries", "", 0, Kind::kBoolean, "", "false", "",
     "as mirror-filter reads", SetMirrorMode<MirrorMode::kReads>},
    {"Mirrors", "mirror-ddl-only", "", 0, Kind::kBoolean, "", "false", "",
     "as mirror-filter ddl", SetMirrorMode<MirrorMode::kDdl>},
    {"Mirrors", "mirror-dml-only", "", 0, Kind::kBoolean, "", "false", "",
     "as mirror-filter dml", SetMirrorMode<MirrorMode::kDml>},
    {"Mirrors", "mirror-include", "", 0, Kind::kTexts, "REGEX", "none", "",
     "mirror only statements that match one (RE2); repeatable", SetMirrorInclude, false,
     ClearPatterns<&MirrorChoices::include>},
    {"Mirrors", "mirror-exclude", "", 0, Kind::kTexts, "REGEX", "none", "",
     "mirror no statement that matches one (RE2); repeatable", SetMirrorExclude, false,
     ClearPatterns<&MirrorChoices::exclude>},
    {"Mirrors", "mirror-exposure", "", 0, Kind::kShare, "SHARE", "1", "",
     "share of the transactions that are mirrored, 0 to 1", SetMirrorExposure},
    {"Mirrors", "writing-functions", "", 0, Kind::kTexts, "NAME", "none", "",
     "a function whose call in a SELECT writes; repeatable", AddWritingFunction, false,
     [](Config* config) { config->writing_functions.clear(); }},
    {"Mirrors", "skip-mirror-tx-locks", "", 0, Kind::kBoolean, "", "false", "",
     "replay a transaction's statements each alone", SetSkipMirrorTxLocks},
    {"Mirrors", "skip-rollback-mirror", "", 0, Kind::kBoolean, "", "true", "",
     "always so: what was rolled back is not mirrored", SetAlwaysTrue},
    {"Mirrors", "skip-failed-tx-mirror", "", 0, Kind::kBoolean, "", "true", "",
     "always so: what failed is not mirrored", SetAlwaysTrue},
    {"Mirrors", "async-mirrors", "", 0, Kind::kBoolean, "", "true", "",
     "false asks that clients wait where a transaction would be dropped", SetAsyncMirrors},

    {"Operation", "admin", "", 0, Kind::kText, "HOST:PORT", "none", "",
     "metrics and health over HTTP, on a loopback address only", SetAdmin},
    {"Operation", "watchdog-timeout", "", 0, Kind::kDuration, "TIME", "10s", "",
     "a shard that has not turned for so long is reported; 0 never",
     SetTime<&Limits::watchdog_timeout, 0>},
    {"Operation", "watchdog-action", "", 0, Kind::kText, "ACTION", "log", "",
     "log, or abort: end the process, so that it is started again", SetWatchdogAction},
    {"Operation", "state-dir", "", 0, Kind::kText, "DIRECTORY", "none", "",
     "keeps what a restart must not forget: the gap ledgers of mirrors",
     SetPath<&Config::state_dir>},
    {"Operation", "capture", "", 0, Kind::kText, "DIRECTORY", "none", "",
     "write what is committed there, to be linted and replayed", SetPath<&Config::capture>},
    {"Operation", "capture-redact", "", 0, Kind::kText, "WHAT", "none", "",
     "what a capture leaves out: none, or all-values", SetCaptureRedact},
    {"Operation", "capture-redact-types", "", 0, Kind::kTexts, "TYPES", "none", "",
     "leave out values of these types: names or OIDs, with commas", AddCaptureRedactTypes, false,
     [](Config* config) { config->capture_redaction.types.clear(); }},
    {"Operation", "capture-redact-columns", "", 0, Kind::kTexts, "COLUMNS", "none", "",
     "leave out values of these: [[schema.]table.]column, with commas",
     AddCaptureRedactColumns, false,
     [](Config* config) { config->capture_redaction.columns.clear(); }},
    {"Operation", "log-level", "", 0, Kind::kText, "LEVEL", "info", "FRENZY_LOG_LEVEL",
     "error, warn, info or debug", SetLogLevel},
    {"Operation", "log-format", "", 0, Kind::kText, "FORMAT", "logfmt", "", "logfmt or json",
     SetLogFormat},
    {"Operation", "log-protocol", "", 0, Kind::kBoolean, "", "false", "",
     "trace every conversation, SQL included; needs --log-level debug", SetLogProtocol},
    {"Operation", "core-dumps", "", 0, Kind::kBoolean, "", "false", "",
     "a crash may leave a core dump, which holds passwords and data", SetCoreDumps},
};

}  // namespace

std::span<const Setting> Settings() { return kSettings; }

}  // namespace config
