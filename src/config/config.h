// Config: everything an operator decides, as one plain value.
//
// Made once by Load() (load.h) from flags, environment and file, complete and checked; immutable
// from then on and handed to the shards as a numbered epoch. Any thread may read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "config/authentication.h"
#include "config/capture_redaction.h"
#include "config/mirror_filter.h"
#include "config/net_address.h"
#include "config/server_url.h"
#include "config/service.h"
#include "config/text.h"
#include "config/tls.h"
#include "sql/function_names.h"

namespace config {

// What happens where a shard's loop has stopped turning.
enum class WatchdogAction : uint8_t { kLog, kAbort };

enum class IoBackend : uint8_t { kAuto, kIoUring, kEpoll };

// What a mirror's transactions wait for.
enum class MirrorOrder : uint8_t {
  kCausal,   // what their clients may have seen, whichever session did it
  kSession,  // their own session only
};

struct Config {
  std::vector<Endpoint> listen;  // at least one
  Server primary;     // of the service "*"; without a host there is none
  PoolSettings pool;  // of the service "*", and what [[service]] tables leave out
  std::vector<Service> services;  // distinct names; Complete() adds "*", behind the others
  Authentication authentication;
  std::vector<Server> mirrors;    // distinct names, distinct servers, none the primary
  MirrorChoices mirror_choices;   // for mirrors that choose nothing themselves
  sql::FunctionNames writing_functions;
  bool mirror_statements_alone = false;  // without BEGIN and COMMIT around them
  bool mirror_block = false;  // a client waits rather than a transaction being dropped
  MirrorOrder mirror_order = MirrorOrder::kCausal;
  bool mirror_as_client = true;  // statements run there as the user that ran them on the primary
  bool mirror_marker = true;  // the mirror keeps a record of what it has committed
  Tls tls;
  // Peers whose connections begin with a PROXY protocol header; kUnix: every Unix socket's.
  std::vector<NetRange> proxy_protocol_from;
  std::optional<Endpoint> admin;  // a loopback address; absent: no admin endpoint

  uint32_t unix_socket_mode = 0777;  // of the files of Unix sockets that clients connect to

  uint32_t shards = 0;                // 0: ShardCount() decides
  uint32_t ring_size = 256;           // submission entries, a power of two
  uint32_t buffer_size = 256 * 1024;  // bytes of one receive buffer
  IoBackend io = IoBackend::kAuto;
  WatchdogAction watchdog_action = WatchdogAction::kLog;

  std::string spill_dir;       // where what mirrors have no memory for waits; empty: nowhere
  std::string spill_key_file;  // of the key that seals it; empty: one of the process
  std::string capture;         // the folder that is made for it; empty: nothing is captured
  CaptureRedaction capture_redaction;

  std::string state_dir;  // what a restart must not forget; empty: nowhere

  base::LogLevel log_level = base::LogLevel::kInfo;
  base::LogFormat log_format = base::LogFormat::kLogfmt;
  bool log_protocol = false;  // true only with log_level kDebug
  bool core_dumps = false;

  base::Limits limits;
};

// The service of a client that asked for `database`; null if there is none.
const Service* FindService(const Config& config, std::string_view database);

// What the mirror at `index` is to get.
MirrorFilter FilterOf(const Config& config, size_t index);
// What `mirror` is to get of values that the primary makes up.
Generated GeneratedOf(const Config& config, const Server& mirror);

// What is in force, one `key=value` per setting, without secrets: for one line of the log.
std::string Describe(const Config& config);

// What no single setting can tell: required ones, duplicates, servers that are each other or
// ourselves, limits that contradict each other. Also names the servers that were not named.
absl::Status Complete(Config* config);

}  // namespace config
