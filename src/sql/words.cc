#include "sql/words.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace sql {
namespace {

struct WordRow {
  std::string_view text;
  Word word;
};
constexpr WordRow kWords[] = {
#define SQL_WORD_ROW(name, text) {text, Word::k##name},
    SQL_WORDS(SQL_WORD_ROW)
#undef SQL_WORD_ROW
};

constexpr size_t kSlots = 512;
constexpr size_t kWordBytesMax = 15;  // characteristics

constexpr unsigned char Fold(char c) {
  return static_cast<unsigned char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

constexpr size_t SlotOf(std::string_view text) {
  return (Fold(text[0]) * 37U + Fold(text[1]) * 11U + Fold(text.back()) * 101U +
          text.size() * 59U) %
         kSlots;
}

// Open addressing; 0 is an empty slot, else 1 + index into kWords.
constexpr std::array<uint8_t, kSlots> MakeSlots() {
  std::array<uint8_t, kSlots> slots{};
  for (size_t i = 0; i < std::size(kWords); ++i) {
    size_t slot = SlotOf(kWords[i].text);
    while (slots[slot] != 0) slot = (slot + 1) % kSlots;
    slots[slot] = static_cast<uint8_t>(i + 1);
  }
  return slots;
}
constexpr std::array<uint8_t, kSlots> kWordSlots = MakeSlots();
static_assert(std::size(kWords) < 255 && std::size(kWords) < kSlots / 2);

bool EqualFolded(std::string_view identifier, std::string_view lower) {
  if (identifier.size() != lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    if (Fold(identifier[i]) != static_cast<unsigned char>(lower[i])) return false;
  }
  return true;
}

struct CallRow {
  std::string_view name;
  Call call;
};
// Sorted by name. Names of families (lo_..., dblink...) are prefixes in FindCall.
constexpr CallRow kCalls[] = {
    {"currval", Call::kSessionRead},
    {"lastval", Call::kSessionRead},
    {"lo_export", Call::kServer},
    {"loread", Call::kWrite},
    {"lowrite", Call::kWrite},
    {"nextval", Call::kWrite},
    {"pg_advisory_lock", Call::kSessionLock},
    {"pg_advisory_lock_shared", Call::kSessionLock},
    {"pg_advisory_unlock", Call::kSessionLock},
    {"pg_advisory_unlock_all", Call::kSessionLock},
    {"pg_advisory_unlock_shared", Call::kSessionLock},
    {"pg_advisory_xact_lock", Call::kTransactionLock},
    {"pg_advisory_xact_lock_shared", Call::kTransactionLock},
    {"pg_backup_start", Call::kServer},
    {"pg_backup_stop", Call::kServer},
    {"pg_cancel_backend", Call::kServer},
    {"pg_copy_logical_replication_slot", Call::kServer},
    {"pg_copy_physical_replication_slot", Call::kServer},
    {"pg_create_logical_replication_slot", Call::kServer},
    {"pg_create_physical_replication_slot", Call::kServer},
    {"pg_create_restore_point", Call::kServer},
    {"pg_current_xact_id", Call::kWrite},
    {"pg_drop_replication_slot", Call::kServer},
    {"pg_export_snapshot", Call::kServer},
    {"pg_file_rename", Call::kServer},
    {"pg_file_sync", Call::kServer},
    {"pg_file_unlink", Call::kServer},
    {"pg_file_write", Call::kServer},
    {"pg_import_system_collations", Call::kWrite},
    {"pg_log_backend_memory_contexts", Call::kServer},
    {"pg_logical_emit_message", Call::kServer},
    {"pg_logical_slot_get_binary_changes", Call::kServer},
    {"pg_logical_slot_get_changes", Call::kServer},
    {"pg_notify", Call::kNotify},
    {"pg_promote", Call::kServer},
    {"pg_reload_conf", Call::kServer},
    {"pg_replication_origin_advance", Call::kServer},
    {"pg_replication_origin_create", Call::kServer},
    {"pg_replication_origin_drop", Call::kServer},
    {"pg_replication_slot_advance", Call::kServer},
    {"pg_rotate_logfile", Call::kServer},
    {"pg_start_backup", Call::kServer},
    {"pg_stat_reset", Call::kServer},
    {"pg_stat_statements_reset", Call::kServer},
    {"pg_stop_backup", Call::kServer},
    {"pg_switch_wal", Call::kServer},
    {"pg_terminate_backend", Call::kServer},
    {"pg_try_advisory_lock", Call::kTryLock},
    {"pg_try_advisory_lock_shared", Call::kTryLock},
    {"pg_try_advisory_xact_lock", Call::kTransactionLock},
    {"pg_try_advisory_xact_lock_shared", Call::kTransactionLock},
    {"postgres_fdw_disconnect", Call::kOutside},
    {"postgres_fdw_disconnect_all", Call::kOutside},
    {"query_to_xml", Call::kWrite},  // runs any text as SQL
    {"query_to_xml_and_xmlschema", Call::kWrite},
    {"set_config", Call::kSession},
    {"setseed", Call::kSession},
    {"setval", Call::kWrite},
    {"txid_current", Call::kWrite},  // assigns a transaction id, which a standby refuses
};
static_assert(std::is_sorted(std::begin(kCalls), std::end(kCalls),
                             [](const CallRow& a, const CallRow& b) { return a.name < b.name; }));

}  // namespace

Word FindWord(std::string_view identifier) {
  if (identifier.size() < 2 || identifier.size() > kWordBytesMax) return Word::kNone;
  for (size_t slot = SlotOf(identifier); kWordSlots[slot] != 0; slot = (slot + 1) % kSlots) {
    const WordRow& row = kWords[kWordSlots[slot] - 1U];
    if (EqualFolded(identifier, row.text)) return row.word;
  }
  return Word::kNone;
}

Effect EffectOfVerb(Word verb) {
  switch (verb) {
    case Word::kSelect:
    case Word::kValues:
    case Word::kTable:
    case Word::kWith:
    case Word::kShow:
    case Word::kFetch:
    case Word::kMove:
    case Word::kClose:
      return Effect::kRead;
    case Word::kInsert:
    case Word::kUpdate:
    case Word::kDelete:
    case Word::kMerge:
    case Word::kTruncate:
    case Word::kCall:
    case Word::kDo:
    case Word::kRefresh:
      return Effect::kWrite;
    case Word::kCreate:
    case Word::kAlter:
    case Word::kDrop:
    case Word::kGrant:
    case Word::kRevoke:
    case Word::kComment:
    case Word::kSecurity:
    case Word::kReindex:
    case Word::kCluster:
    case Word::kReassign:
    case Word::kImport:
      return Effect::kDdl;
    case Word::kSet:
    case Word::kReset:
    case Word::kDiscard:
    case Word::kDeallocate:
    case Word::kLoad:
      return Effect::kSession;
    case Word::kExecute:
      return Effect::kExecute;
    case Word::kLock:
    case Word::kListen:
    case Word::kUnlisten:
    case Word::kNotify:
    case Word::kVacuum:
    case Word::kAnalyze:
    case Word::kAnalyse:
    case Word::kCheckpoint:
      return Effect::kOther;
    default:
      return Effect::kUnknown;
  }
}

Call FindCall(std::string_view name) {
  const auto* row = std::lower_bound(
      std::begin(kCalls), std::end(kCalls), name,
      [](const CallRow& candidate, std::string_view wanted) { return candidate.name < wanted; });
  if (row != std::end(kCalls) && row->name == name) return row->call;
  if (name.starts_with("lo_")) return name == "lo_get" ? Call::kNone : Call::kWrite;
  if (name.starts_with("dblink")) return Call::kOutside;
  return Call::kNone;
}

}  // namespace sql
