#include "config/reload.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace config {
namespace {

// A mirror's lanes and budgets are made for it.
bool AreSameMirrors(const std::vector<Server>& a, const std::vector<Server>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Server& x, const Server& y) {
    return x.name == y.name && x.connect_timeout == y.connect_timeout && x.mirror == y.mirror &&
           IsSameServer(x, y);
  });
}

}  // namespace

absl::StatusOr<Config> Reloader::Load() const {
  std::vector<const char*> argv;
  for (const std::string& argument : arguments_) {
    argv.push_back(argument.c_str());
  }
  ASSIGN_OR_RETURN(ParsedCommandLine parsed,
                   config::Load(static_cast<int>(argv.size()), argv.data(), ReadEnvironment()));
  return std::move(parsed.config);
}

std::vector<std::string_view> FixedChanges(const Config& from, const Config& to) {
  const base::Limits& before = from.limits;
  const base::Limits& after = to.limits;
  const std::pair<std::string_view, bool> kept[] = {
      {"listen", from.listen == to.listen},
      {"unix_socket_mode", from.unix_socket_mode == to.unix_socket_mode},
      {"admin", from.admin == to.admin},
      {"shards", from.shards == to.shards},
      {"io", from.io == to.io},
      {"ring_size", from.ring_size == to.ring_size},
      {"buffer_size", from.buffer_size == to.buffer_size},
      {"queue_high", before.queue_high == after.queue_high},  // streams stand between the two
      {"queue_low", before.queue_low == after.queue_low},
      {"mirror", AreSameMirrors(from.mirrors, to.mirrors)},
      {"mirror_order", from.mirror_order == to.mirror_order},
      {"mirror_filter", from.mirror_choices.mode == to.mirror_choices.mode},
      {"mirror_include", from.mirror_choices.include == to.mirror_choices.include},
      {"mirror_exclude", from.mirror_choices.exclude == to.mirror_choices.exclude},
      {"mirror_exposure", from.mirror_choices.exposure == to.mirror_choices.exposure},
      {"mirror_generated", from.mirror_choices.generated == to.mirror_choices.generated},
      {"writing_functions", from.writing_functions == to.writing_functions},
      {"skip_mirror_tx_locks", from.mirror_statements_alone == to.mirror_statements_alone},
      {"async_mirrors", from.mirror_block == to.mirror_block},
      {"mirror_queue_bytes", before.mirror_bytes_max == after.mirror_bytes_max},
      {"mirror_transaction_bytes", before.mirror_transaction_max == after.mirror_transaction_max},
      {"mirror_transaction_statements",
       before.mirror_transaction_statements == after.mirror_transaction_statements},
      {"mirror_transaction_age", before.mirror_transaction_age == after.mirror_transaction_age},
      {"mirror_transaction_sweep",
       before.mirror_transaction_sweep == after.mirror_transaction_sweep},
      {"mirror_max_conns", before.mirror_connections_max == after.mirror_connections_max},
      {"spill_dir", from.spill_dir == to.spill_dir},
      {"spill_key_file", from.spill_key_file == to.spill_key_file},
      {"spill_max", before.spill_max == after.spill_max},
      {"capture", from.capture == to.capture},
      {"capture_redact",
       from.capture_redaction.all_values == to.capture_redaction.all_values},
      {"capture_redact_types", from.capture_redaction.types == to.capture_redaction.types},
      {"capture_redact_columns", from.capture_redaction.columns == to.capture_redaction.columns},
      {"state_dir", from.state_dir == to.state_dir},
      {"log_format", from.log_format == to.log_format},
      {"core_dumps", from.core_dumps == to.core_dumps},
  };
  std::vector<std::string_view> changed;
  for (const auto& [key, same] : kept) {
    if (!same) {
      changed.push_back(key);
    }
  }
  return changed;
}

absl::Status CheckFixed(const Config& from, const Config& to) {
  const std::vector<std::string_view> changed = FixedChanges(from, to);
  if (changed.empty()) {
    return absl::OkStatus();
  }
  std::string keys;
  for (const std::string_view key : changed) {
    keys += Cat({keys.empty() ? "" : ", ", key});
  }
  return base::InvalidArgument(
      Cat({keys, ": cannot change without a restart, so nothing was changed"}));
}

}  // namespace config
