// UnixListener: a listening Unix socket under PostgreSQL's name, DIRECTORY/.s.PGSQL.PORT, and the
// lock that keeps a second process from taking it.
//
// Owned by the process, any one thread; shards accept from it through Duplicate(), since Unix
// sockets have no SO_REUSEPORT. A socket file whose process was killed is replaced; one that
// answers for a process that lives, and a file that is no socket, is an error. The lock is the one
// that PostgreSQL looks at too: DIRECTORY/.s.PGSQL.PORT.lock with our process id in its first line.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "io/address.h"

namespace io {

class UnixListener {
 public:
  // `flags` are added to the socket's type; `mode` is the file's.
  static absl::StatusOr<std::unique_ptr<UnixListener>> Open(const std::string& path, mode_t mode,
                                                            int flags);
  // Removes the file: nobody can connect any more, and whoever was not accepted is reset once the
  // duplicates are closed too.
  ~UnixListener();
  UnixListener(const UnixListener&) = delete;
  UnixListener& operator=(const UnixListener&) = delete;

  // One more descriptor of the same socket, the caller's.
  absl::StatusOr<int> Duplicate() const;
  const std::string& path() const { return path_; }

 private:
  explicit UnixListener(std::string path) : path_(std::move(path)) {}
  absl::Status Lock();
  void ReadOwner();
  absl::Status RemoveStale(const Address& address);
  absl::Status Unlink();
  absl::Status Listen(const Address& address, mode_t mode, int flags);
  std::string LockPath() const { return path_ + ".lock"; }

  const std::string path_;
  int lock_ = -1;
  int descriptor_ = -1;
  bool owner_gone_ = false;  // true exactly when the lock file names a process that is no more
  bool bound_ = false;  // true exactly when the file is ours to remove
};

}  // namespace io
