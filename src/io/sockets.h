// The socket calls the io_uring and the epoll engine share. Any thread.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "io/address.h"
#include "io/tcp_tuning.h"

namespace io {

// A listening socket with SO_REUSEPORT and SO_REUSEADDR, close-on-exec, `flags` added to its type.
absl::StatusOr<int> OpenListener(const Address& address, int flags);
// An unconnected stream socket for `address`; an errno as a negative number on failure.
int OpenSocket(const Address& address, int flags);
// TCP_NODELAY and `tuning`, if it is a TCP socket.
void TuneSocket(int descriptor, const TcpTuning& tuning);
// Sends what fits, receives what is there, without waiting: bytes, or -errno (-EAGAIN: none; an
// interrupted call counts as that). Not by way of libc's functions, whose cancellation points cost
// a program with threads about 4 % of a small query.
int64_t SendNow(int descriptor, const iovec* pieces, uint32_t count);
int64_t ReceiveNow(int descriptor, void* to, size_t room);
absl::StatusOr<Address> BoundAddress(int descriptor);
Address PeerAddressOf(int descriptor);
class Acceptor;
// Gives `acceptor` whoever waits in the queue of a non-blocking listener; how many they were.
uint32_t AcceptWaiting(int listener, int flags, Acceptor* acceptor);
// An accept's errno that only time (or a closed socket) mends.
bool IsOutOfResources(int error);
// How long a listener that failed so rests; sooner if its own shard closes a socket.
inline constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

}  // namespace io
