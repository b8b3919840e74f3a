#include "session/proxy_header.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

namespace session {
namespace {

constexpr std::string_view kSignature1 = "PROXY ";
constexpr size_t kLineMax = 107;  // of version 1, its end included
constexpr std::string_view kSignature2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kFixed2 = 16;  // signature, version and command, family, length
constexpr size_t kAddresses4 = 12;
constexpr size_t kAddresses6 = 36;
constexpr size_t kAddressesUnix = 216;
constexpr uint8_t kChecksumType = 0x03;  // PP2_TYPE_CRC32C

// -- version 1 ------------------------------------------------------------------------------------

// The next word; words are separated by one space each.
std::string_view TakeWord(std::string_view* line) {
  const size_t end = std::min(line->find(' '), line->size());
  const std::string_view word = line->substr(0, end);
  line->remove_prefix(std::min(line->size(), end + 1));
  return word;
}

// 0 to 65535 without leading zeros.
std::optional<uint16_t> ReadPort(std::string_view text) {
  const bool digits =
      !text.empty() && text.size() <= 5 &&
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || (text.size() > 1 && text[0] == '0')) {
    return std::nullopt;
  }
  uint32_t port = 0;
  for (const char c : text) {
    port = port * 10 + static_cast<uint32_t>(c - '0');
  }
  return port <= UINT16_MAX ? std::optional<uint16_t>(static_cast<uint16_t>(port)) : std::nullopt;
}

bool ReadSource(std::string_view host, std::string_view port, int family, io::Address* source) {
  const std::optional<uint16_t> number = ReadPort(port);
  if (!number.has_value() || host.empty() || host == "*") {
    return false;
  }
  const absl::StatusOr<io::Address> address = io::Address::Numeric(host, *number);
  if (!address.ok() || address->family() != family) {
    return false;
  }
  *source = *address;
  return true;
}

ProxyHeaderResult ReadVersion1(std::string_view bytes, ProxyHeader* header) {
  const size_t end = bytes.substr(0, kLineMax).find("\r\n");
  if (end == std::string_view::npos) {
    return bytes.size() >= kLineMax ? ProxyHeaderResult::kBad : ProxyHeaderResult::kMore;
  }
  header->length = end + 2;
  std::string_view line = bytes.substr(0, end);
  line.remove_prefix(kSignature1.size());
  const std::string_view protocol = TakeWord(&line);
  if (protocol == "UNKNOWN") {
    return ProxyHeaderResult::kComplete;  // whatever stands behind it
  }
  const int family = protocol == "TCP4" ? AF_INET : protocol == "TCP6" ? AF_INET6 : AF_UNSPEC;
  const std::string_view source = TakeWord(&line);
  const std::string_view destination = TakeWord(&line);
  const std::string_view source_port = TakeWord(&line);
  io::Address unused;
  if (family == AF_UNSPEC || !ReadSource(source, source_port, family, &header->source) ||
      !ReadSource(destination, line, family, &unused)) {
    return ProxyHeaderResult::kBad;
  }
  header->has_source = true;
  return ProxyHeaderResult::kComplete;
}

// -- version 2 ------------------------------------------------------------------------------------

uint8_t ByteAt(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

size_t Number16(std::string_view bytes, size_t at) {
  return size_t{ByteAt(bytes, at)} << 8 | ByteAt(bytes, at + 1);
}

// CRC-32C (RFC 3720) of `bytes`, those from `hole` to `hole` + 4 taken as zeros.
uint32_t Checksum(std::string_view bytes, size_t hole) {
  constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected
  uint32_t sum = ~0u;
  for (size_t i = 0; i < bytes.size(); ++i) {
    sum ^= i >= hole && i < hole + 4 ? 0u : ByteAt(bytes, i);
    for (int bit = 0; bit < 8; ++bit) {
      sum = (sum >> 1) ^ ((sum & 1) != 0 ? kPolynomial : 0);
    }
  }
  return ~sum;
}

// The fields behind the addresses, from `at` on: each well formed, a checksum right.
bool CheckFields(std::string_view header, size_t at) {
  while (at < header.size()) {
    if (header.size() - at < 3) {
      return false;
    }
    const size_t value = at + 3;
    const size_t length = Number16(header, at + 1);
    if (length > header.size() - value) {
      return false;
    }
    if (ByteAt(header, at) == kChecksumType) {
      const bool right = length == 4 && (Number16(header, value) << 16 |
                                         Number16(header, value + 2)) == Checksum(header, value);
      if (!right) {
        return false;
      }
    }
    at = value + length;
  }
  return true;
}

template <typename Socket, typename Host>
io::Address AddressOf(int family, Host Socket::*host, in_port_t Socket::*port,
                      const char* host_bytes, const char* port_bytes) {
  Socket socket{};
  reinterpret_cast<sockaddr*>(&socket)->sa_family = static_cast<sa_family_t>(family);
  std::memcpy(&(socket.*host), host_bytes, sizeof(Host));
  std::memcpy(&(socket.*port), port_bytes, sizeof(in_port_t));
  return io::Address::From(reinterpret_cast<const sockaddr*>(&socket), sizeof socket);
}

ProxyHeaderResult ReadVersion2(std::string_view bytes, ProxyHeader* header) {
  if (bytes.size() < kFixed2) {
    return ProxyHeaderResult::kMore;
  }
  const uint8_t command = ByteAt(bytes, 12);
  const uint8_t family = ByteAt(bytes, 13);
  const size_t length = kFixed2 + Number16(bytes, 14);
  if ((command != 0x20 && command != 0x21) || length > kProxyHeaderMax) {
    return ProxyHeaderResult::kBad;
  }
  if (bytes.size() < length) {
    return ProxyHeaderResult::kMore;
  }
  header->length = length;
  if (command == 0x20) {
    return ProxyHeaderResult::kComplete;  // LOCAL: what stands behind it is to be skipped
  }
  const bool v4 = family == 0x11;
  const bool v6 = family == 0x21;
  const bool other = family == 0x00 || family == 0x31;  // UNSPEC; a Unix stream has no host
  const size_t addresses = v4 ? kAddresses4 : v6 ? kAddresses6 : other ? 0 : length;
  const size_t fields = kFixed2 + (family == 0x31 ? kAddressesUnix : addresses);
  if (fields > length || (family != 0x00 && !CheckFields(bytes.substr(0, length), fields))) {
    return ProxyHeaderResult::kBad;
  }
  const char* const at = bytes.data() + kFixed2;
  if (v4) {
    header->source = AddressOf(AF_INET, &sockaddr_in::sin_addr, &sockaddr_in::sin_port, at, at + 8);
  } else if (v6) {
    header->source =
        AddressOf(AF_INET6, &sockaddr_in6::sin6_addr, &sockaddr_in6::sin6_port, at, at + 32);
  }
  header->has_source = v4 || v6;
  return ProxyHeaderResult::kComplete;
}

bool BeginsAs(std::string_view bytes, std::string_view signature) {
  const size_t common = std::min(bytes.size(), signature.size());
  return bytes.substr(0, common) == signature.substr(0, common);
}

}  // namespace

ProxyHeaderResult ReadProxyHeader(std::string_view bytes, ProxyHeader* header) {
  *header = ProxyHeader();
  if (BeginsAs(bytes, kSignature1)) {
    return bytes.size() < kSignature1.size() ? ProxyHeaderResult::kMore
                                             : ReadVersion1(bytes, header);
  }
  if (BeginsAs(bytes, kSignature2)) {
    return ReadVersion2(bytes, header);
  }
  return ProxyHeaderResult::kBad;
}

bool LooksLikeProxyHeader(std::string_view bytes) {
  return bytes.size() >= 4 && (BeginsAs(bytes, kSignature1) || BeginsAs(bytes, kSignature2));
}

}  // namespace session
