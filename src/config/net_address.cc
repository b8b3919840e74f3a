#include "config/net_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace config {
namespace {

constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

NetAddress FromIpv6(const in6_addr& address) {
  NetAddress result;
  result.family = NetFamily::kIpv6;
  std::memcpy(result.bytes.data(), &address, sizeof address);
  if (std::equal(kMapped.begin(), kMapped.end(), result.bytes.begin())) {
    NetAddress inner;
    inner.family = NetFamily::kIpv4;
    std::copy_n(result.bytes.begin() + kMapped.size(), 4, inner.bytes.begin());
    return inner;
  }
  return result;
}

NetAddress FromIpv4(const in_addr& address) {
  NetAddress result;
  result.family = NetFamily::kIpv4;
  std::memcpy(result.bytes.data(), &address, sizeof address);
  return result;
}

uint32_t BitsOf(NetFamily family) { return family == NetFamily::kIpv4 ? 32 : 128; }

}  // namespace

std::optional<NetAddress> NetAddress::From(const sockaddr* address) {
  switch (address->sa_family) {
    case AF_UNIX:
      return NetAddress();
    case AF_INET: {
      sockaddr_in inet;
      std::memcpy(&inet, address, sizeof inet);
      return FromIpv4(inet.sin_addr);
    }
    case AF_INET6: {
      sockaddr_in6 inet;
      std::memcpy(&inet, address, sizeof inet);
      return FromIpv6(inet.sin6_addr);
    }
    default:
      return std::nullopt;
  }
}

std::optional<NetAddress> NetAddress::Parse(std::string_view text) {
  const std::string terminated(text);
  in_addr ipv4;
  in6_addr ipv6;
  if (inet_pton(AF_INET, terminated.c_str(), &ipv4) == 1) {
    return FromIpv4(ipv4);
  }
  if (inet_pton(AF_INET6, terminated.c_str(), &ipv6) == 1) {
    return FromIpv6(ipv6);
  }
  return std::nullopt;
}

bool NetAddress::IsLoopback() const {
  switch (family) {
    case NetFamily::kUnix:
      return true;
    case NetFamily::kIpv4:
      return bytes[0] == 127;
    case NetFamily::kIpv6:
      return bytes[15] == 1 && std::all_of(bytes.begin(), bytes.end() - 1,
                                           [](uint8_t byte) { return byte == 0; });
  }
  return false;
}

std::optional<NetRange> NetRange::Of(const NetAddress& address, uint32_t prefix) {
  if (address.family == NetFamily::kUnix || prefix > BitsOf(address.family)) {
    return std::nullopt;
  }
  NetRange range;
  range.address = address;
  for (uint32_t bit = 0; bit < prefix; ++bit) {
    range.mask[bit / 8] = static_cast<uint8_t>(range.mask[bit / 8] | (0x80u >> (bit % 8)));
  }
  return range;
}

bool NetRange::Contains(const NetAddress& peer) const {
  if (peer.family != address.family) {
    return false;
  }
  for (size_t i = 0; i < BitsOf(address.family) / 8; ++i) {
    if ((peer.bytes[i] & mask[i]) != (address.bytes[i] & mask[i])) {
      return false;
    }
  }
  return true;
}

bool NetRange::IsLoopback() const {
  const bool all = std::all_of(mask.begin(), mask.end(), [](uint8_t byte) { return byte == 0xff; });
  return address.IsLoopback() && (address.family == NetFamily::kIpv4 ? mask[0] == 0xff : all);
}

std::vector<NetAddress> OwnAddresses() {
  std::vector<NetAddress> own;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return own;
  }
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr ||
        (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6)) {
      continue;
    }
    const std::optional<NetAddress> address = NetAddress::From(entry->ifa_addr);
    if (address.has_value()) {
      own.push_back(*address);
    }
  }
  freeifaddrs(list);
  return own;
}

}  // namespace config
