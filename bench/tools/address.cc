#include "bench/tools/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

[[noreturn]] void Die(const std::string& what, const std::string& text, const char* why) {
  std::fprintf(stderr, "%s \"%s\": %s\n", what.c_str(), text.c_str(), why);
  std::exit(2);
}

}  // namespace

Address ParseAddress(const std::string& text) {
  Address address;
  if (text.rfind("unix:", 0) == 0) {
    sockaddr_un un{};
    un.sun_family = AF_UNIX;
    const std::string path = text.substr(5);
    if (path.empty() || path.size() >= sizeof un.sun_path) Die("address", text, "bad path length");
    std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
    std::memcpy(&address.storage, &un, sizeof un);
    address.size = sizeof un;
    address.family = AF_UNIX;
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) Die("address", text, "want HOST:PORT or unix:PATH");
  const std::string host = colon == 0 ? "127.0.0.1" : text.substr(0, colon);
  char* end = nullptr;
  const unsigned long port = std::strtoul(text.c_str() + colon + 1, &end, 10);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  if (*end != '\0' || port == 0 || port > 65535) Die("address", text, "the port is no port");
  in.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host.c_str(), &in.sin_addr) != 1) {
    Die("address", text, "the host is no numeric IPv4 address");
  }
  std::memcpy(&address.storage, &in, sizeof in);
  address.size = sizeof in;
  address.family = AF_INET;
  return address;
}

int NewSocket(const Address& address) {
  const int fd = socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && address.family == AF_INET) {
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  return fd;
}

int Listen(const std::string& text) {
  const Address address = ParseAddress(text);
  const int fd = NewSocket(address);
  if (fd < 0) Die("socket for", text, std::strerror(errno));
  const int one = 1;
  if (address.family == AF_INET) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  } else {
    unlink(text.c_str() + 5);
  }
  if (bind(fd, address.get(), address.size) != 0) Die("bind to", text, std::strerror(errno));
  if (listen(fd, 4096) != 0) Die("listen on", text, std::strerror(errno));
  return fd;
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace bench
