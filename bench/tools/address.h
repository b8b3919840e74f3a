// Addresses and sockets of the benchmark tools: "HOST:PORT" (numeric IPv4) or "unix:PATH".
// Used at start-up and per connection, on any thread, keeping no state. A bad address or a failed
// listen ends the program with a message: a benchmark without its socket has nothing to measure.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <string>

namespace bench {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family = AF_UNSPEC;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// Exits with status 2 when `text` is no address.
Address ParseAddress(const std::string& text);

// A non-blocking listening socket (SO_REUSEADDR, SO_REUSEPORT; a Unix path is replaced).
int Listen(const std::string& text);

// A non-blocking socket for ParseAddress' family, TCP_NODELAY where it applies; -1 and errno.
int NewSocket(const Address& address);

// Raises the soft descriptor limit to the hard one.
void RaiseDescriptorLimit();

}  // namespace bench

