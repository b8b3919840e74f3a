// Address: where a socket listens or connects: IPv4, IPv6 or a Unix socket's path.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace io {

class Address {
 public:
  Address() = default;
  // A numeric IPv4 or IPv6 address ("" and "*": any IPv4 address).
  static absl::StatusOr<Address> Numeric(std::string_view host, uint16_t port);
  // An absolute path; at most 107 bytes.
  static absl::StatusOr<Address> UnixPath(std::string_view path);
  static Address From(const sockaddr* address, socklen_t length);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return length_; }
  int family() const { return storage_.ss_family; }
  bool is_unix() const { return family() == AF_UNIX; }
  bool is_loopback() const;  // a Unix socket counts as one
  uint16_t port() const;     // 0 for a Unix socket
  std::string ToString() const;  // "" for the address that was never set

 private:
  sockaddr_storage storage_{};
  socklen_t length_ = 0;
};

}  // namespace io
