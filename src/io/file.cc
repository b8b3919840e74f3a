#include "io/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/fault_point.h"
#include "base/status.h"

namespace io {
namespace {

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::StatusCode::kResourceExhausted;
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

// "writing /var/lib/x: No space left on device"
absl::Status FileError(std::string_view doing, std::string_view path, int error) {
  const std::string what = std::string(doing) + " " + std::string(path);
  return base::Error(CodeOf(error), base::Message(base::ErrnoError(what, error)));
}

}  // namespace

File::File(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), path_(std::move(other.path_)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(path_, other.path_);
  return *this;
}

File::~File() {
  if (descriptor_ >= 0) {
    close(descriptor_);
  }
}

absl::StatusOr<File> File::Open(const std::string& path, int flags) {
  const int descriptor = open(path.c_str(), flags | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (descriptor < 0) {
    return FileError("opening", path, errno);
  }
  return File(descriptor, path);
}

absl::StatusOr<File> File::OpenForReading(const std::string& path) { return Open(path, O_RDONLY); }

absl::StatusOr<File> File::OpenForWriting(const std::string& path) {
  return Open(path, O_RDWR | O_CREAT);
}

absl::StatusOr<File> File::MakeNameless(const std::string& path) {
  ASSIGN_OR_RETURN(File file, Open(path, O_RDWR | O_CREAT | O_TRUNC));
  RETURN_IF_ERROR(RemoveFile(path));
  return file;
}

absl::Status File::Failed(std::string_view doing, int error) const {
  return FileError(doing, path_, error);
}

absl::StatusOr<uint64_t> File::Size() const {
  struct stat found{};
  if (fstat(descriptor_, &found) != 0) {
    return Failed("looking at", errno);
  }
  return static_cast<uint64_t>(found.st_size);
}

absl::StatusOr<std::string> File::ReadAll() const {
  ASSIGN_OR_RETURN(const uint64_t size, Size());
  return ReadUpTo(0, size);
}

absl::StatusOr<std::string> File::ReadAt(uint64_t offset, uint64_t size) const {
  if (FAULT_POINT("io.file.read.broken")) {
    return Failed("reading", EIO);
  }
  ASSIGN_OR_RETURN(std::string bytes, ReadUpTo(offset, size));
  if (bytes.size() < size) {
    return base::Unavailable("reading " + path_ + ": it is shorter than what was written");
  }
  return bytes;
}

// Fewer bytes where the file ends.
absl::StatusOr<std::string> File::ReadUpTo(uint64_t offset, uint64_t size) const {
  std::string bytes(size, '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = pread(descriptor_, bytes.data() + done, bytes.size() - done,
                              static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Failed("reading", errno);
    }
    if (got == 0) {
      break;
    }
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

absl::Status File::WriteAt(uint64_t offset, std::string_view bytes) {
  if (FAULT_POINT("io.file.write.broken")) {
    return Failed("writing", EIO);
  }
  if (FAULT_POINT("io.file.write")) {
    // As a full disk does: the first part of it is written.
    static_cast<void>(pwrite(descriptor_, bytes.data(), bytes.size() / 2,
                             static_cast<off_t>(offset)));
    return Failed("writing", ENOSPC);
  }
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return Failed("writing", errno);
    }
    offset += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status File::Sync() {
  if (FAULT_POINT("io.file.sync")) {
    return Failed("syncing", EIO);
  }
  return fdatasync(descriptor_) == 0 ? absl::OkStatus() : Failed("syncing", errno);
}

absl::Status File::Allocate(uint64_t size) {
  if (FAULT_POINT("io.file.allocate")) {
    return Failed("allocating", ENOSPC);
  }
  int result;
  do {
    result = fallocate(descriptor_, 0, 0, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  return result == 0 || errno == EOPNOTSUPP ? absl::OkStatus() : Failed("allocating", errno);
}

absl::Status File::Truncate(uint64_t size) {
  const int result = ftruncate(descriptor_, static_cast<off_t>(size));
  return result == 0 ? absl::OkStatus() : Failed("truncating", errno);
}

absl::StatusOr<bool> File::TryLock() {
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0) {
    return true;
  }
  return errno == EWOULDBLOCK ? absl::StatusOr<bool>(false) : Failed("locking", errno);
}

absl::Status MakeFolder(const std::string& path) {
  const bool made = mkdir(path.c_str(), S_IRWXU) == 0 || errno == EEXIST;
  return made ? absl::OkStatus() : FileError("making the folder", path, errno);
}

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& path) {
  DIR* folder = opendir(path.c_str());
  if (folder == nullptr) {
    return FileError("listing", path, errno);
  }
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(folder)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") {
      names.emplace_back(name);
    }
  }
  const int error = errno;
  closedir(folder);
  if (error != 0) {
    return FileError("listing", path, error);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status SyncFolder(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) {
    return FileError("opening", path, errno);
  }
  const int error = fsync(descriptor) == 0 ? 0 : errno;
  close(descriptor);
  return error == 0 ? absl::OkStatus() : FileError("syncing", path, error);
}

absl::Status RemoveFile(const std::string& path) {
  return unlink(path.c_str()) == 0 ? absl::OkStatus() : FileError("removing", path, errno);
}

absl::Status RemoveFolder(const std::string& path) {
  return rmdir(path.c_str()) == 0 ? absl::OkStatus() : FileError("removing", path, errno);
}

absl::Status RenameFile(const std::string& from, const std::string& to) {
  if (FAULT_POINT("io.file.rename")) {
    return FileError("renaming", from, EIO);
  }
  return rename(from.c_str(), to.c_str()) == 0 ? absl::OkStatus()
                                               : FileError("renaming", from, errno);
}

}  // namespace io
