#include "config/config.h"

#include <algorithm>
#include <set>

#include "base/status.h"

namespace config {
namespace {

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

absl::Status CheckPrimary(const Config& config) {
  const Server& primary = config.primary;
  if (!primary.user.empty()) {
    return At(primary,
              "names a user: logging in for clients is not built yet; leave out user and password, "
              "and each client's own login passes through to the primary");
  }
  for (const Endpoint& listen : config.listen) {
    const bool same_host = HostIdentity(listen.host) == HostIdentity(primary.host) ||
                           (listen.host.empty() && HostIdentity(primary.host) == "localhost");
    if (same_host && listen.port == primary.port) {
      return At(primary, Cat({primary.Address(),
                              " is where pgbraid itself listens; the primary "
                              "must be another server"}));
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
  return Cat({" query_buffer_size=",
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
              " mirror_timeout=",
              DurationText(limits.mirror_timeout),
              " mirror_queue_bytes=",
              bytes(limits.mirror_bytes_max),
              " mirror_transaction_bytes=",
              bytes(limits.mirror_transaction_max),
              " mirror_max_conns=",
              std::to_string(limits.mirror_connections_max)});
}

}  // namespace

std::string Describe(const Config& config) {
  std::string text;
  for (const Endpoint& listen : config.listen) {
    text += Cat({"listen=", listen.Display(), " "});
  }
  text += Cat({"primary=", config.primary.Display()});
  for (const Server& mirror : config.mirrors) {
    text += Cat({" mirror=", mirror.name, "=", mirror.Display()});
  }
  text += Cat({" admin=", config.admin.has_value() ? config.admin->Display() : "none",
               " shards=", std::to_string(config.shards), " io=", IoName(config.io), " ring_size=",
               std::to_string(config.ring_size), " buffer_size=", BytesText(config.buffer_size)});
  text += DescribeLimits(config.limits);
  const bool json = config.log_format == base::LogFormat::kJson;
  text +=
      Cat({" log_level=", LogLevelName(config.log_level), " log_format=", json ? "json" : "logfmt",
           " log_protocol=", config.log_protocol ? "true" : "false"});
  return text;
}

absl::Status Complete(Config* config) {
  if (config->listen.empty()) {
    return base::InvalidArgument(
        "--listen is required: the address to accept clients on, for example --listen :5432");
  }
  if (config->primary.host.empty()) {
    return base::InvalidArgument(
        "--primary is required: the server behind pgbraid, for example "
        "--primary postgres://127.0.0.1:5433");
  }
  if (config->primary.name.empty()) {
    config->primary.name = "primary";
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
  // A transaction waits in the queue as a whole, so the smaller of the two bounds it.
  limits.mirror_transaction_max = std::min(limits.mirror_transaction_max, limits.mirror_bytes_max);
  if (config->log_protocol && config->log_level != base::LogLevel::kDebug) {
    return base::InvalidArgument(
        "--log-protocol shows SQL and data and needs --log-level debug beside it");
  }
  RETURN_IF_ERROR(CheckListen(*config));
  RETURN_IF_ERROR(CheckPrimary(*config));
  return CheckMirrors(*config);
}

}  // namespace config
