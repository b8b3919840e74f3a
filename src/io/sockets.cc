#include "io/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/status.h"

namespace io {
namespace {

constexpr int kBacklog = 4096;
constexpr int kOn = 1;

// A silent network drop is noticed within about 10 s: 3 probes, 2 s apart, after 4 s of silence.
constexpr int kKeepIdleSeconds = 4;
constexpr int kKeepIntervalSeconds = 2;
constexpr int kKeepProbes = 3;

void SetOption(int descriptor, int level, int name, int value) {
  // Best effort: a Unix socket has no TCP options.
  static_cast<void>(setsockopt(descriptor, level, name, &value, sizeof value));
}

}  // namespace

int OpenSocket(const Address& address, int flags) {
  const int descriptor = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  return descriptor < 0 ? -errno : descriptor;
}

absl::StatusOr<int> OpenListener(const Address& address, int flags) {
  const std::string where = "listen on " + address.ToString();
  const int descriptor = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (descriptor < 0) {
    return base::ErrnoError(where, errno);
  }
  SetOption(descriptor, SOL_SOCKET, SO_REUSEADDR, kOn);
  SetOption(descriptor, SOL_SOCKET, SO_REUSEPORT, kOn);
  if (bind(descriptor, address.get(), address.length()) != 0 || listen(descriptor, kBacklog) != 0) {
    const int error = errno;
    close(descriptor);
    return base::ErrnoError(where, error);
  }
  return descriptor;
}

void TuneSocket(int descriptor) {
  SetOption(descriptor, IPPROTO_TCP, TCP_NODELAY, kOn);
  const absl::StatusOr<Address> local = BoundAddress(descriptor);
  if (local.ok() && !local->is_unix() && local->is_loopback()) {
    // Within one machine there is nothing to pace: with BBR as the system's default its model and
    // its timers cost about 5 % of a small query's CPU. Reno is always there and always allowed.
    static_cast<void>(setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  }
  SetOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, kOn);
  SetOption(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdleSeconds);
  SetOption(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, kKeepIntervalSeconds);
  SetOption(descriptor, IPPROTO_TCP, TCP_KEEPCNT, kKeepProbes);
}

int64_t SendNow(int descriptor, const iovec* pieces, uint32_t count) {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  int64_t sent;
  if (count == 1) {
    sent =
        syscall(SYS_sendto, descriptor, pieces[0].iov_base, pieces[0].iov_len, kFlags, nullptr, 0);
  } else {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces);
    message.msg_iovlen = count;
    sent = syscall(SYS_sendmsg, descriptor, &message, kFlags);
  }
  return sent >= 0 ? sent : errno == EINTR ? -EAGAIN : -errno;
}

int64_t ReceiveNow(int descriptor, void* to, size_t room) {
  const int64_t got = syscall(SYS_recvfrom, descriptor, to, room, MSG_DONTWAIT, nullptr, nullptr);
  return got >= 0 ? got : errno == EINTR ? -EAGAIN : -errno;
}

absl::StatusOr<Address> BoundAddress(int descriptor) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return base::ErrnoError("getsockname", errno);
  }
  return Address::From(reinterpret_cast<const sockaddr*>(&storage), length);
}

bool IsOutOfResources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

Address PeerAddressOf(int descriptor) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return Address();
  }
  return Address::From(reinterpret_cast<const sockaddr*>(&storage), length);
}

}  // namespace io
