#include "mirror/spill_root.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "config/secret_file.h"
#include "io/record_reader.h"
#include "mirror/gap_file.h"
#include "mirror/spill_cursor.h"
#include "sql/tables.h"

namespace mirror {
namespace {

constexpr std::string_view kLeft = "left-";
constexpr std::string_view kBroken = "broken-";
constexpr int kSetAsideMax = 10'000;
constexpr size_t kGenerationDigits = 8;  // so that their names sort as they came

int HexDigit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

// 64 hexadecimal digits and perhaps the end of a line: what `openssl rand -hex 32` prints.
absl::StatusOr<std::string> ReadKey(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text,
                   config::ReadSecretFile(path, config::FilePrivacy::kOwn));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) {
    text.pop_back();
  }
  std::string key;
  bool good = text.size() == 2 * base::Seal::kKeyBytes;
  for (size_t i = 0; good && i < text.size(); i += 2) {
    const int high = HexDigit(text[i]);
    const int low = HexDigit(text[i + 1]);
    good = high >= 0 && low >= 0;
    key += static_cast<char>(high * 16 + low);
  }
  if (!good) {
    return base::InvalidArgument("--spill-key-file " + path +
                                 " must hold 64 hexadecimal digits and nothing else, as "
                                 "`openssl rand -hex 32` prints them");
  }
  return key;
}

bool IsNumber(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(),
                                      [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

SpillRoot::SpillRoot(const config::Config& config, const std::string& key, io::File lock)
    : folder_(config.spill_dir),
      keeps_(!config.spill_key_file.empty()),
      seal_(key),
      lock_(std::move(lock)),
      disk_(config.limits.spill_max,
            std::clamp<int64_t>(config.limits.spill_max / 256, 4096, 1 << 20)) {}

absl::StatusOr<std::unique_ptr<SpillRoot>> SpillRoot::Open(
    const config::Config& config, const std::vector<GapLedger*>& ledgers) {
  RETURN_IF_ERROR(io::MakeFolder(config.spill_dir));
  ASSIGN_OR_RETURN(io::File lock, io::File::OpenForWriting(config.spill_dir + "/spill.lock"));
  ASSIGN_OR_RETURN(const bool mine, lock.TryLock());
  if (!mine) {
    return base::Unavailable(config.spill_dir + " is in use by another pgbraid");
  }
  std::string key;
  if (config.spill_key_file.empty()) {
    key = base::SecureRandom(base::Seal::kKeyBytes);
  } else {
    ASSIGN_OR_RETURN(key, ReadKey(config.spill_key_file));
  }
  std::unique_ptr<SpillRoot> root(new SpillRoot(config, key, std::move(lock)));
  for (GapLedger* ledger : ledgers) {
    RETURN_IF_ERROR(root->LookAt(ledger));
  }
  return root;
}

std::string SpillRoot::FolderFor(std::string_view mirror, uint32_t shard) const {
  return folder_ + "/" + PathName(mirror) + "/" + std::to_string(shard);
}

std::string SpillRoot::OverflowPath(uint32_t shard, uint64_t number) const {
  return folder_ + "/transaction-" + std::to_string(shard) + "-" + std::to_string(number);
}

// -- what an earlier process has left -------------------------------------------------------------

absl::Status SpillRoot::LookAt(GapLedger* ledger) {
  const std::string folder = folder_ + "/" + PathName(ledger->mirror());
  std::vector<std::string>& left = left_[ledger->mirror()];
  RETURN_IF_ERROR(io::MakeFolder(folder));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(folder));
  uint64_t newest = 0;
  for (const std::string& name : names) {
    if (!name.starts_with(kLeft)) {
      continue;
    }
    newest = std::max<uint64_t>(newest, std::strtoull(name.c_str() + kLeft.size(), nullptr, 10));
    ASSIGN_OR_RETURN(const std::vector<std::string> logs, LogsOf(folder + "/" + name));
    bool any = false;
    for (const std::string& log : logs) {
      bool replays = false;
      RETURN_IF_ERROR(LookAtLog(log, ledger, &replays));
      any = any || replays;
    }
    if (any) {
      left.push_back(folder + "/" + name);
    }
  }
  std::string next = std::to_string(newest + 1);
  next.insert(0, kGenerationDigits - std::min(kGenerationDigits, next.size()), '0');
  const std::string generation = folder + "/" + std::string(kLeft) + next;
  ASSIGN_OR_RETURN(const std::vector<std::string> logs, LogsOf(folder));
  for (const std::string& log : logs) {
    bool replays = false;
    RETURN_IF_ERROR(LookAtLog(log, ledger, &replays));
    if (!replays) {
      continue;
    }
    if (left.empty() || left.back() != generation) {
      RETURN_IF_ERROR(io::MakeFolder(generation));
      left.push_back(generation);
    }
    RETURN_IF_ERROR(io::RenameFile(log, generation + log.substr(log.rfind('/'))));
  }
  if (!left.empty() && left.back() == generation) {
    RETURN_IF_ERROR(io::SyncFolder(generation));
  }
  return io::SyncFolder(folder);
}

absl::Status SpillRoot::LookAtLog(const std::string& log, GapLedger* ledger, bool* replays) {
  const std::string& mirror = ledger->mirror();
  Found found;
  const absl::Status status = Read(log, mirror, &found);
  if (!status.ok()) {
    Gap anything;
    anything.table = sql::kAnyTable;
    anything.cause = Cause::kSpillLost;
    anything.first = anything.last = absl::FromUnixMillis(absl::ToUnixMillis(absl::Now()));
    ledger->Restore(anything);
    RETURN_IF_ERROR(SetAside(log));
  }
  ledger->RecordGaps(found.doubtful.Gaps(Cause::kOutcomeUnknown), found.doubtful.statements);
  *replays = status.ok() && keeps_ && found.opens && found.waiting.units > 0;
  if (found.doubtful.units > 0) {
    base::Log(base::LogLevel::kWarn, "mirror.spill_outcome_unknown",
              {{"mirror", mirror}, {"transactions", found.doubtful.units},
               {"what", "they were being delivered when an earlier process ended"}});
  }
  if (*replays && found.doubtful.units > 0) {  // it is said once
    ASSIGN_OR_RETURN(SpillMark mark, ReadSpillMark(log));
    ASSIGN_OR_RETURN(io::File file,
                     io::File::OpenForWriting(log + "/" + std::string(kSpillMarkName)));
    mark.done = mark.handed;
    RETURN_IF_ERROR(WriteSpillMark(&file, mark));
  }
  if (*replays) {
    return absl::OkStatus();
  }
  ledger->RecordGaps(found.waiting.Gaps(Cause::kSpillLost), found.waiting.statements);
  if (found.waiting.units > 0 || !status.ok()) {
    base::Log(base::LogLevel::kWarn, "mirror.spill_lost",
              {{"mirror", mirror},
               {"folder", log},
               {"transactions", found.waiting.units},
               {"why", !status.ok() ? base::Message(status)
                       : keeps_     ? "they were sealed with another key"
                                    : "an earlier process has left them, and its key was its own"},
               {"what", "the mirror lacks them, see its gap ledger; with --spill-key-file they "
                        "survive a restart"}});
  }
  if (status.ok()) {
    named_.push_back(log);
  }
  return absl::OkStatus();
}

// The torn end of a log is the log's end; anything else that is damaged is an error.
absl::Status SpillRoot::Read(const std::string& log, std::string_view mirror,
                             Found* found) const {
  ASSIGN_OR_RETURN(const SpillMark mark, ReadSpillMark(log));
  ASSIGN_OR_RETURN(io::LogFolder folder, io::LookInto(log));
  io::RecordReader reader(std::move(folder));
  io::Record record;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, reader.Next(&record));
    if (!more) {
      return absl::OkStatus();
    }
    SpillSummary summary;
    if (!ReadSummary(record.payload, &summary)) {
      return base::DataLoss(log + " holds a record that is none of a spill");
    }
    if (record.sequence <= mark.done) {
      continue;
    }
    if (record.sequence <= mark.handed) {
      found->doubtful.Add(summary);
      continue;
    }
    found->waiting.Add(summary);
    found->opens = found->opens && keeps_ && OpenBatch(seal_, mirror, record.payload).ok();
  }
}

// Never over what is there.
absl::Status SpillRoot::SetAside(const std::string& folder) {
  const std::string around = folder.substr(0, folder.rfind('/'));
  ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(around));
  for (int i = 1; i <= kSetAsideMax; ++i) {
    const std::string name = std::string(kBroken) + std::to_string(i);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      RETURN_IF_ERROR(io::RenameFile(folder, around + "/" + name));
      return io::SyncFolder(around);
    }
  }
  return base::ResourceExhausted(around + " holds too many logs that were set aside");
}

absl::StatusOr<std::vector<std::string>> SpillRoot::LogsOf(const std::string& generation) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(generation));
  std::vector<std::string> logs;
  for (const std::string& name : names) {
    if (IsNumber(name)) {
      logs.push_back(generation + "/" + name);
    }
  }
  return logs;
}

// The mark last: without logs it says nothing.
absl::Status SpillRoot::RemoveGeneration(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::vector<std::string> logs, LogsOf(folder));
  for (const std::string& log : logs) {
    RETURN_IF_ERROR(RemoveLog(log));
  }
  return RemoveLog(folder);
}

void SpillRoot::RemoveNamed() {
  for (const std::string& log : std::exchange(named_, {})) {
    const absl::Status status = RemoveLog(log);
    if (!status.ok()) {
      base::Log(base::LogLevel::kWarn, "mirror.spill_not_removed",
                {{"folder", log}, {"why", base::Message(status)}});
    }
  }
}

// The identity last: until then it is a log.
absl::Status SpillRoot::RemoveLog(const std::string& folder) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, io::ListFolder(folder));
  for (const std::string& name : names) {
    if (name != io::kIdentityName) {
      RETURN_IF_ERROR(io::RemoveFile(folder + "/" + name));
    }
  }
  if (std::find(names.begin(), names.end(), io::kIdentityName) != names.end()) {
    RETURN_IF_ERROR(io::RemoveFile(folder + "/" + std::string(io::kIdentityName)));
  }
  return io::RemoveFolder(folder);
}

}  // namespace mirror
