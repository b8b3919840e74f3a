// NetAddress and NetRange: the addresses that rules about clients name.
//
// Plain values; any thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace config {

enum class NetFamily : uint8_t { kUnix, kIpv4, kIpv6 };

struct NetAddress {
  NetFamily family = NetFamily::kUnix;
  std::array<uint8_t, 16> bytes{};  // kIpv4: the first four

  // An IPv4 address mapped into IPv6 is the IPv4 address. Nothing for other families.
  static std::optional<NetAddress> From(const sockaddr* address);
  // "10.0.0.1", "::1"; without a zone.
  static std::optional<NetAddress> Parse(std::string_view text);
  bool IsLoopback() const;  // a Unix socket counts as one
  auto operator<=>(const NetAddress&) const = default;
};

// All addresses that agree with `address` in the bits of `mask`.
struct NetRange {
  NetAddress address;
  std::array<uint8_t, 16> mask{};

  // `prefix`: at most 32 or 128 bits.
  static std::optional<NetRange> Of(const NetAddress& address, uint32_t prefix);
  bool Contains(const NetAddress& peer) const;
  bool IsLoopback() const;  // all of it
};

// This machine's own addresses, as they are now.
std::vector<NetAddress> OwnAddresses();

}  // namespace config
