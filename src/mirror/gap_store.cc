#include "mirror/gap_store.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "mirror/gap_file.h"
#include "sql/tables.h"

namespace mirror {
namespace {

constexpr std::chrono::seconds kPause{1};
constexpr int kSetAsideMax = 1000;

absl::Time WholeNow() { return absl::FromUnixMillis(absl::ToUnixMillis(absl::Now())); }

absl::StatusOr<io::File> Claim(const std::string& folder) {
  RETURN_IF_ERROR(io::MakeFolder(folder));
  ASSIGN_OR_RETURN(io::File lock, io::File::OpenForWriting(folder + "/pgbraid.lock"));
  ASSIGN_OR_RETURN(const bool mine, lock.TryLock());
  if (!mine) {
    return base::Unavailable(folder + " is in use by another pgbraid");
  }
  return lock;
}

absl::StatusOr<GapFile> ReadFile(const std::string& path) {
  ASSIGN_OR_RETURN(const io::File file, io::File::OpenForReading(path));
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  if (size > kGapFileBytesMax) {
    return base::DataLoss("is too long for a gap ledger");
  }
  ASSIGN_OR_RETURN(const std::string text, file.ReadAll());
  return ParseGapFile(text);
}

// A new file each time: nothing of a write that failed is left in it.
absl::Status WriteFile(const std::string& path, std::string_view text) {
  const absl::Status removed = io::RemoveFile(path);
  if (!removed.ok() && removed.code() != absl::StatusCode::kNotFound) {
    return removed;
  }
  ASSIGN_OR_RETURN(io::File file, io::File::OpenForWriting(path));
  RETURN_IF_ERROR(file.WriteAt(0, text));
  return file.Sync();
}

Gap Anywhere(Cause cause, absl::Time first) {
  Gap gap;
  gap.table = sql::kAnyTable;
  gap.cause = cause;
  gap.last = WholeNow();
  gap.first = std::min(first, gap.last);
  return gap;
}

}  // namespace

absl::StatusOr<std::unique_ptr<GapStore>> GapStore::Open(const std::string& folder,
                                                         const std::vector<GapLedger*>& ledgers) {
  ASSIGN_OR_RETURN(io::File lock, Claim(folder));
  std::unique_ptr<GapStore> store(new GapStore(folder, std::move(lock)));
  for (GapLedger* ledger : ledgers) {
    Kept kept;
    kept.ledger = ledger;
    kept.path = folder + "/" + GapFileName(ledger->mirror());
    RETURN_IF_ERROR(store->Load(&kept));
    // From now on a kill is seen; and a folder that cannot be written is found out here.
    RETURN_IF_ERROR(store->Write(&kept, false));
    store->kept_.push_back(std::move(kept));
  }
  return store;
}

GapStore::~GapStore() { Close(); }

absl::Status GapStore::Load(Kept* kept) {
  absl::StatusOr<GapFile> file = ReadFile(kept->path);
  if (file.status().code() == absl::StatusCode::kNotFound) {
    return absl::OkStatus();
  }
  if (file.status().code() == absl::StatusCode::kDataLoss ||
      (file.ok() && file->mirror != kept->ledger->mirror())) {
    base::Log(base::LogLevel::kError, "mirror.gap_ledger_broken",
              {{"mirror", kept->ledger->mirror()},
               {"file", kept->path},
               {"why", file.ok() ? "is another mirror's" : base::Message(file.status())},
               {"what", "it is kept as .broken; every table counts as unverifiable"}});
    kept->ledger->Restore(Anywhere(Cause::kLedgerLost, absl::InfiniteFuture()));
    return SetAside(kept->path);
  }
  RETURN_IF_ERROR(file.status());
  for (const Gap& gap : file->gaps) {
    kept->ledger->Restore(gap);
  }
  if (file->folded) {
    kept->ledger->RestoreFolded();
  }
  if (!file->clean && file->pending.value_or(1) > 0) {
    Gap crash = Anywhere(Cause::kCrash, file->written);
    crash.transactions = file->pending.value_or(0);
    kept->ledger->Restore(crash);
  }
  return absl::OkStatus();
}

// Never over another one that was set aside.
absl::Status GapStore::SetAside(const std::string& path) {
  for (int i = 1; i <= kSetAsideMax; ++i) {
    const std::string aside = path + ".broken" + (i == 1 ? "" : "." + std::to_string(i));
    const absl::StatusOr<io::File> there = io::File::OpenForReading(aside);
    if (there.status().code() == absl::StatusCode::kNotFound) {
      return io::RenameFile(path, aside);
    }
  }
  return base::ResourceExhausted(path + ".broken and its successors are all there");
}

// Whoever opens the file, now or after a power cut, finds the one before or this one, whole.
absl::Status GapStore::Write(Kept* kept, bool clean) {
  GapFile file;
  file.mirror = kept->ledger->mirror();
  file.clean = clean;
  file.written = WholeNow();
  const uint64_t version = kept->ledger->version();
  const uint64_t queued = kept->ledger->work().queued;
  file.pending = kept->busy && queued == 0 ? std::nullopt : std::optional<uint64_t>(queued);
  file.folded = kept->ledger->folded();
  file.gaps = kept->ledger->Snapshot();
  const std::string fresh = kept->path + ".new";
  RETURN_IF_ERROR(WriteFile(fresh, FormatGapFile(file)));
  RETURN_IF_ERROR(io::RenameFile(fresh, kept->path));
  RETURN_IF_ERROR(io::SyncFolder(folder_));
  kept->version = version;
  kept->busy = kept->busy || queued > 0;
  kept->stale = false;
  return absl::OkStatus();
}

// True: the file is not what it should be. Where work comes and goes all the time it is written
// once, as busy, and once more when all has been quiet.
bool GapStore::Look(Kept* kept) {
  const GapLedger::Work work = kept->ledger->work();
  const bool busy = work.queued > 0 || work.offered != kept->offered;
  kept->stale = kept->stale || busy != kept->busy || kept->ledger->version() != kept->version;
  kept->offered = work.offered;
  kept->busy = busy;
  return kept->stale;
}

bool GapStore::WriteChanged() {
  bool written = true;
  for (Kept& kept : kept_) {
    if (!Look(&kept)) {
      continue;
    }
    const absl::Status status = Write(&kept, false);
    if (!status.ok()) {
      written = false;
      base::Log(base::LogLevel::kError, "mirror.gap_ledger_not_written",
                {{"mirror", kept.ledger->mirror()},
                 {"why", base::Message(status)},
                 {"what", "it lives in memory only until this is mended"}});
    }
  }
  return written;
}

void GapStore::Start() {
  thread_ = std::thread([this] { Run(); });
}

void GapStore::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_.wait_for(lock, kPause, [this] { return stopping_; })) {
    lock.unlock();
    static_cast<void>(WriteChanged());
    lock.lock();
  }
}

void GapStore::Close() {
  if (closed_) {
    return;
  }
  closed_ = true;
  if (thread_.joinable()) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    stop_.notify_one();
    thread_.join();
  }
  for (Kept& kept : kept_) {
    kept.busy = false;
    const absl::Status status = Write(&kept, true);
    if (!status.ok()) {
      base::Log(base::LogLevel::kError, "mirror.gap_ledger_not_written",
                {{"mirror", kept.ledger->mirror()}, {"why", base::Message(status)}});
    }
  }
}

}  // namespace mirror
