#include "io/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/status.h"
#include "io/engine.h"

namespace io {
namespace {

constexpr int kBacklog = 4096;
constexpr int kOn = 1;

#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44  // Linux 6.15
#endif

void SetOption(int descriptor, int level, int name, int value) {
  // Best effort: not every kernel has every option.
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

void TuneSocket(int descriptor, const TcpTuning& tuning) {
  const absl::StatusOr<Address> local = BoundAddress(descriptor);
  if (!local.ok() || local->is_unix()) {
    return;
  }
  SetOption(descriptor, IPPROTO_TCP, TCP_NODELAY, kOn);
  if (local->is_loopback()) {
    // Within one machine there is nothing to pace: with BBR as the system's default its model and
    // its timers cost about 5 % of a small query's CPU. Reno is always there and always allowed.
    static_cast<void>(setsockopt(descriptor, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
  }
  const auto seconds = [](absl::Duration time) {
    return static_cast<int>(absl::ToInt64Seconds(absl::Ceil(time, absl::Seconds(1))));
  };
  const auto milliseconds = [](absl::Duration time) {
    return static_cast<int>(absl::ToInt64Milliseconds(time));
  };
  if (tuning.keepalive_idle > absl::ZeroDuration()) {
    SetOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, kOn);
    SetOption(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, seconds(tuning.keepalive_idle));
    SetOption(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, seconds(tuning.keepalive_interval));
    SetOption(descriptor, IPPROTO_TCP, TCP_KEEPCNT, tuning.keepalive_count);
  }
  if (tuning.retry_max > absl::ZeroDuration()) {
    SetOption(descriptor, IPPROTO_TCP, TCP_RTO_MAX_MS, milliseconds(tuning.retry_max));
  }
  if (tuning.user_timeout > absl::ZeroDuration()) {
    SetOption(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds(tuning.user_timeout));
  }
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

uint32_t AcceptWaiting(int listener, int flags, Acceptor* acceptor) {
  uint32_t accepted = 0;
  while (accepted < SOMAXCONN) {  // more may come all the time
    const int descriptor = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | flags);
    if (descriptor < 0) {
      break;
    }
    ++accepted;
    acceptor->OnAccepted(descriptor);
  }
  return accepted;
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
