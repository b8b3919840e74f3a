// File: a file of this machine and its blocking calls, every failure a Status that names the path.
//
// The calls wait for the disk: they belong to a Worker's thread, or to the time before the shards
// run. Sources: open(2), pwrite(2), fdatasync(2), fallocate(2), flock(2).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace io {

class File {
 public:
  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  // kNotFound if there is none.
  static absl::StatusOr<File> OpenForReading(const std::string& path);
  // Readable and writable by the owner only; made if it is missing, with what it holds if not.
  static absl::StatusOr<File> OpenForWriting(const std::string& path);

  // Readable and writable, without a name once it is made: it goes when it is closed. What had the
  // name `path` is lost.
  static absl::StatusOr<File> MakeNameless(const std::string& path);

  bool is_open() const { return descriptor_ >= 0; }
  absl::StatusOr<uint64_t> Size() const;
  // All of it, at most what Size() said.
  absl::StatusOr<std::string> ReadAll() const;

  // kUnavailable also if it is shorter.
  absl::StatusOr<std::string> ReadAt(uint64_t offset, uint64_t size) const;
  // All of `bytes`; kResourceExhausted if the disk, the quota or a limit is full.
  absl::Status WriteAt(uint64_t offset, std::string_view bytes);
  // The data and what is needed to find it are on stable storage. After a failure nothing is known
  // of what was written before, and a second call may succeed although it is lost: do not call it.
  absl::Status Sync();
  // Zeros up to `size`, with their blocks; kResourceExhausted as WriteAt. Where the filesystem
  // cannot, nothing.
  absl::Status Allocate(uint64_t size);
  absl::Status Truncate(uint64_t size);
  // False if another descriptor, of this process or another, holds the lock. Held until the file is
  // closed, also by a kill.
  absl::StatusOr<bool> TryLock();

 private:
  File(int descriptor, std::string path);
  static absl::StatusOr<File> Open(const std::string& path, int flags);
  absl::StatusOr<std::string> ReadUpTo(uint64_t offset, uint64_t size) const;
  absl::Status Failed(std::string_view doing, int error) const;

  int descriptor_ = -1;
  std::string path_;
};

// Nothing if it is there already; the folder around it must be.
absl::Status MakeFolder(const std::string& path);
// Names without "." and "..", sorted.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path);
// The folder's entries are on stable storage: files made, renamed and removed in it stay so.
absl::Status SyncFolder(const std::string& path);
absl::Status RemoveFile(const std::string& path);
// An empty one.
absl::Status RemoveFolder(const std::string& path);
// `to` is then what `from` was, at once: whoever opens it finds the old file or the new one.
absl::Status RenameFile(const std::string& from, const std::string& to);

}  // namespace io
