// The socket calls the io_uring and the epoll engine share. Any thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "io/address.h"

namespace io {

// A listening socket with SO_REUSEPORT and SO_REUSEADDR, close-on-exec, `flags` added to its type.
absl::StatusOr<int> OpenListener(const Address& address, int flags);
// An unconnected stream socket for `address`; an errno as a negative number on failure.
int OpenSocket(const Address& address, int flags);
// TCP_NODELAY and keep-alive, where the socket has them.
void TuneSocket(int descriptor);
absl::StatusOr<Address> BoundAddress(int descriptor);
std::string PeerNameOf(int descriptor);
// An accept's errno that only time (or a closed socket) mends.
bool IsOutOfResources(int error);
// How long a listener that failed so rests; sooner if its own shard closes a socket.
inline constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

}  // namespace io
