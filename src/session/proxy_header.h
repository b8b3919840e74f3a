// The PROXY protocol's header, versions 1 and 2: what a load balancer sends in front of a client's
// own bytes to say where that client is (HAProxy's proxy-protocol.txt).
//
// Pure; any thread. Bytes in, as many as have arrived; the answer is that more are needed, a
// header, or that it is none. What cannot become a header is refused at its first wrong byte.
// Bound: kProxyHeaderMax bytes; a longer version 2 header is refused as soon as it says so.
#pragma once

#include <cstddef>
#include <string_view>

#include "io/address.h"

namespace session {

inline constexpr size_t kProxyHeaderMax = 4096;  // version 1: 107

enum class ProxyHeaderResult {
  kMore,      // the header is not complete
  kComplete,  // *header is set
  kBad,       // no header, or one that this program cannot take
};

struct ProxyHeader {
  size_t length = 0;  // bytes of the header; what follows is the client's
  // False for LOCAL (the balancer's own health check), UNKNOWN, UNSPEC and Unix sockets: then the
  // connection's own address is the client's.
  bool has_source = false;
  io::Address source;
};

ProxyHeaderResult ReadProxyHeader(std::string_view bytes, ProxyHeader* header);

// True exactly when `bytes` begin as a header of either version does: for a word in the log about
// a peer that should not send one. At least four bytes.
bool LooksLikeProxyHeader(std::string_view bytes);

}  // namespace session
