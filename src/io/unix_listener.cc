#include "io/unix_listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/status.h"

namespace io {
namespace {

constexpr int kBacklog = 4096;
constexpr mode_t kLockMode = 0600;

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Open(const std::string& path,
                                                                 mode_t mode, int flags) {
  ASSIGN_OR_RETURN(const Address address, Address::UnixPath(path));
  std::unique_ptr<UnixListener> listener(new UnixListener(path));
  RETURN_IF_ERROR(listener->Lock());
  RETURN_IF_ERROR(listener->RemoveStale(address));
  RETURN_IF_ERROR(listener->Listen(address, mode, flags));
  return listener;
}

UnixListener::~UnixListener() {
  if (bound_) {
    unlink(path_.c_str());
  }
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
  if (lock_ >= 0) {
    unlink(LockPath().c_str());  // while it is locked: nobody else can have made it theirs
    close(lock_);
  }
}

// A lock file that was left behind is locked by nobody. One that was removed between open and lock
// is not the one that others see.
absl::Status UnixListener::Lock() {
  for (;;) {
    const int lock = open(LockPath().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kLockMode);
    if (lock < 0) {
      return base::ErrnoError("listen on " + path_ + ": its lock file", errno);
    }
    if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      close(lock);
      return error == EWOULDBLOCK
                 ? base::Unavailable("listen on " + path_ + ": another process has it")
                 : base::ErrnoError("listen on " + path_ + ": its lock file", error);
    }
    struct stat ours {};
    struct stat seen {};
    if (fstat(lock, &ours) == 0 && stat(LockPath().c_str(), &seen) == 0 &&
        ours.st_ino == seen.st_ino && ours.st_dev == seen.st_dev) {
      lock_ = lock;
      ReadOwner();
      return absl::OkStatus();
    }
    close(lock);
  }
}

absl::Status UnixListener::RemoveStale(const Address& address) {
  const std::string where = "listen on " + path_;
  struct stat there {};
  if (lstat(path_.c_str(), &there) != 0) {
    return errno == ENOENT ? absl::OkStatus() : base::ErrnoError(where, errno);
  }
  if (!S_ISSOCK(there.st_mode)) {
    return base::Unavailable(where + ": there is a file of that name that is no socket");
  }
  if (owner_gone_) {
    return Unlink();
  }
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) {
    return base::ErrnoError(where, errno);
  }
  const int error = connect(probe, address.get(), address.length()) == 0 ? 0 : errno;
  close(probe);
  if (error != ECONNREFUSED) {  // EAGAIN: its backlog is full
    return base::Unavailable(where + ": another server listens there");
  }
  return Unlink();
}

absl::Status UnixListener::Unlink() {
  return unlink(path_.c_str()) == 0
             ? absl::OkStatus()
             : base::ErrnoError("listen on " + path_ + ": the file that another process left",
                                errno);
}

// What a killed process was accepting from may answer for a moment after its end (the kernel takes
// its time over a ring), so the lock file's first line is asked before the socket.
void UnixListener::ReadOwner() {
  char text[16] = "";
  const ssize_t got = read(lock_, text, sizeof text - 1);
  const int owner = got > 0 ? std::atoi(text) : 0;
  owner_gone_ = owner == getpid() || (owner > 0 && kill(owner, 0) != 0 && errno == ESRCH);
}

absl::Status UnixListener::Listen(const Address& address, mode_t mode, int flags) {
  const std::string where = "listen on " + path_;
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(lock_, 0) != 0 ||
      pwrite(lock_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return base::ErrnoError(where + ": its lock file", errno);
  }
  descriptor_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (descriptor_ < 0 || bind(descriptor_, address.get(), address.length()) != 0) {
    return base::ErrnoError(where, errno);
  }
  bound_ = true;
  // Before listen(): until then nobody can connect, whatever the umask made of the file.
  if (chmod(path_.c_str(), mode) != 0 || listen(descriptor_, kBacklog) != 0) {
    return base::ErrnoError(where, errno);
  }
  return absl::OkStatus();
}

absl::StatusOr<int> UnixListener::Duplicate() const {
  const int copy = fcntl(descriptor_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) {
    return base::ErrnoError("listen on " + path_, errno);
  }
  return copy;
}

}  // namespace io
