#include "mirror/mirror_metrics.h"

#include <string>

namespace mirror {

std::string_view Name(Cause cause) {
  switch (cause) {
    case Cause::kNone: return "none";
    case Cause::kOverBudget: return "over_budget";
    case Cause::kTooLarge: return "too_large";
    case Cause::kFunctionCall: return "function_call";
    case Cause::kOutcomeUnknown: return "outcome_unknown";
    case Cause::kTimeout: return "timeout";
    case Cause::kStateLost: return "state_lost";
    case Cause::kShutdown: return "shutdown";
    case Cause::kRetries: return "retries";
    case Cause::kSpillLost: return "spill_lost";
    case Cause::kRefused: return "refused";
    case Cause::kDifferent: return "different";
    case Cause::kOrderUnknown: return "order_unknown";
    case Cause::kCrash: return "crash";
    case Cause::kLedgerLost: return "ledger_lost";
  }
  return "none";
}

void MirrorMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_mirror_offered", "Committed transactions for the mirror.", labels, offered);
  sink->Add("pgbraid_mirror_delivered", "Transactions applied by the mirror.", labels, delivered);
  sink->Add("pgbraid_mirror_refused", "Transactions the mirror answered with an error.", labels,
            refused);
  for (size_t i = 1; i < kCauses; ++i) {
    const std::string with_cause = std::string(labels) + ",cause=\"" +
                                   std::string(Name(static_cast<Cause>(i))) + "\"";
    sink->Add("pgbraid_mirror_dropped", "Transactions dropped, by cause.", with_cause, dropped[i]);
  }
  sink->Add("pgbraid_mirror_statements", "Statements of delivered transactions.", labels,
            statements);
  sink->Add("pgbraid_mirror_filtered_statements",
            "Statements that succeeded and are not for the mirror by its filter.", labels,
            filtered_statements);
  sink->Add("pgbraid_mirror_outside_statements",
            "Statements left out because they act outside of the database.", labels,
            outside_statements);
  sink->Add("pgbraid_mirror_filtered_transactions",
            "Committed transactions that are not in the mirror's sample.", labels,
            filtered_transactions);
  sink->Add("pgbraid_mirror_different",
            "Transactions applied that changed another number of rows than on the primary.", labels,
            different);
  sink->Add("pgbraid_mirror_found_applied",
            "Transactions whose answer was lost and that their marker shows to be applied.", labels,
            found_applied);
  sink->Add("pgbraid_mirror_reordered", "Transactions run again behind those that go before them.",
            labels, reordered);
  sink->Add("pgbraid_mirror_retries",
            "Transactions tried again: serialization failure, deadlock, connection lost.", labels,
            retries);
  sink->Add("pgbraid_mirror_reconnects", "Connections made after a failure or a loss.", labels,
            reconnects);
  sink->Add("pgbraid_mirror_spilled", "Transactions that have gone to the disk.", labels, spilled);
  sink->Add("pgbraid_mirror_spilled_bytes", "Bytes that these have taken there.", labels,
            spilled_bytes);
  sink->Add("pgbraid_mirror_spill_failures", "Times that the disk of the spill has failed.", labels,
            spill_failures);
  sink->Add("pgbraid_mirror_spill_units", "Transactions that wait on the disk.", labels,
            spill_units);
  sink->Add("pgbraid_mirror_spill_bytes",
            "Bytes on the disk, of those that wait and those being delivered.", labels,
            spill_bytes);
  sink->Add("pgbraid_mirror_queued_units", "Transactions waiting or under way.", labels,
            queued_units);
  sink->Add("pgbraid_mirror_queued_bytes", "Memory of the transactions waiting or under way.",
            labels, queued_bytes);
  sink->Add("pgbraid_mirror_connections", "Connections to the mirror open now.", labels,
            connections);
  sink->Add("pgbraid_mirror_open_breakers", "Shards that have stopped dialling, but for a probe.",
            labels, breakers);
  sink->Add("pgbraid_mirror_start_wait_seconds",
            "Time from a transaction being its session's next to being sent.", labels, start_wait);
  sink->Add("pgbraid_mirror_commit_wait_seconds",
            "Time that a transaction, executed, waited for those that go before it.", labels,
            commit_wait);
  sink->Add("pgbraid_mirror_apply_seconds", "Time from sending a transaction to its last answer.",
            labels, apply);
  sink->Add("pgbraid_mirror_lag_seconds", "Time from the primary's answer to the mirror's.", labels,
            lag);
}

}  // namespace mirror
