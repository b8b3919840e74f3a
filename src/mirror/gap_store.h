// GapStore: keeps the gap ledgers of a process in files, so that a restart forgets no gap.
//
// Made by server/ before the shards and closed after them, on the main thread; writes on a thread
// of its own, since a disk may be slow and no shard waits for it. A file is replaced as a whole, at
// most once in kPause, when its ledger has changed, or when the mirror's queue is no longer
// what the file says of it: empty, or not.
// Failure: Open says why a folder cannot serve; later a file that cannot be written is an error in
// the log, tried again, and counted. A file that cannot be read is kept under another name, and
// the mirror's ledger begins by saying that it was lost.
// What a kill loses: what happened since the last write, so at most kPause and the time of a write.
// If work was queued then, the next start says so: an entry for sql::kAnyTable, cause "crash".
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/counters.h"
#include "io/file.h"
#include "mirror/gap_ledger.h"

namespace mirror {

class GapStore {
 public:
  // `folder` is made, for its owner alone, if it is missing; one process has it at a time. The
  // ledgers get what their files hold; they outlive the store.
  static absl::StatusOr<std::unique_ptr<GapStore>> Open(const std::string& folder,
                                                        const std::vector<GapLedger*>& ledgers);
  ~GapStore();
  GapStore(const GapStore&) = delete;
  GapStore& operator=(const GapStore&) = delete;

  // The thread that writes.
  void Start();
  // After the last Record: the thread ends, and the files say that nothing is missing from them.
  void Close();

  // Writes what has changed; Start's thread does so every kPause. False: a file was not written.
  bool WriteChanged();

 private:
  struct Kept {
    GapLedger* ledger = nullptr;
    std::string path;
    uint64_t version = 0;  // of the ledger, as it was written
    uint64_t offered = 0;  // at the last look
    bool busy = false;     // true exactly when the file says that work was queued
    bool stale = true;     // true exactly when the file must be written in any case
  };

  GapStore(std::string folder, io::File lock)
      : folder_(std::move(folder)), lock_(std::move(lock)) {}
  absl::Status Load(Kept* kept);
  static absl::Status SetAside(const std::string& path);
  absl::Status Write(Kept* kept, bool clean);
  bool Look(Kept* kept);
  void Run();

  const std::string folder_;
  const io::File lock_;  // held until the store dies
  std::vector<Kept> kept_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace mirror
