// What an idle client costs a proxy: opens N connections through it, waits until each is logged
// in, and compares the proxy's memory (smaps_rollup: its own pages, without the kernel's socket
// buffers) before and after; then sends one query on every connection, checks every answer, and
// measures once more. Prints one JSON object. One thread, epoll, at most kOpening logins under way.
// Ends with status 1 if a connection could not be opened, was closed, or did not answer, or if
// nothing moves for kPatienceMs.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "bench/tools/address.h"

namespace {

constexpr size_t kOpening = 64;
constexpr size_t kWarmUp = 32;
constexpr size_t kPerSource = 5000;  // connections from one 127.0.0.x
constexpr int kPatienceMs = 30000;

struct Options {
  std::string connect;
  std::string user = "postgres";
  std::string database = "postgres";
  size_t clients = 9000;
  int pid = 0;
};

struct Memory {
  long rss_kib = -1;
  long pss_kib = -1;
};

Memory Measure(int pid) {
  Memory memory;
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("Rss:", 0) == 0) memory.rss_kib = std::atol(line.c_str() + 4);
    if (line.rfind("Pss:", 0) == 0) memory.pss_kib = std::atol(line.c_str() + 4);
  }
  return memory;
}

void Put32(std::string& out, uint32_t v) {
  v = htonl(v);
  out.append(reinterpret_cast<const char*>(&v), 4);
}

std::string StartUp(const Options& options) {
  std::string body;
  Put32(body, 196608);
  for (const std::string_view word :
       {std::string_view("user"), std::string_view(options.user), std::string_view("database"),
        std::string_view(options.database)}) {
    body.append(word);
    body.push_back('\0');
  }
  body.push_back('\0');
  std::string out;
  Put32(out, static_cast<uint32_t>(body.size() + 4));
  return out + body;
}

std::string Query(std::string_view text) {
  std::string out = "Q";
  Put32(out, static_cast<uint32_t>(text.size() + 5));
  out.append(text);
  out.push_back('\0');
  return out;
}

struct Client {
  int fd = -1;
  std::string input;
  bool has_row = false;
  bool ready = false;
};

class Crowd {
 public:
  explicit Crowd(const Options& options)
      : options_(options),
        address_(bench::ParseAddress(options.connect)),
        epoll_(epoll_create1(0)) {}
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // Both return the number of clients that got to ReadyForQuery.
  size_t OpenAll();
  size_t AskAll();

 private:
  bool Open(size_t index);
  // Handles events until at most `left` clients are waited for; false when something failed.
  bool Drain(size_t left);
  bool Read(Client& client);
  bool Parse(Client& client);
  bool Fail(const char* what) {
    std::fprintf(stderr, "idle_clients: %s (after %zu clients)\n", what, done_);
    return false;
  }

  const Options& options_;
  bench::Address address_;
  int epoll_;
  std::vector<Client> clients_;
  size_t waiting_ = 0;
  size_t done_ = 0;
};

bool Crowd::Open(size_t index) {
  Client& client = clients_[index];
  client.fd = bench::NewSocket(address_);
  if (client.fd < 0) return Fail(std::strerror(errno));
  const bool loopback = address_.family == AF_INET && options_.connect.rfind("127.", 0) == 0;
  if (loopback) {  // several source addresses: one has too few ports for many clients
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(0x7f000001u + static_cast<uint32_t>(index / kPerSource));
    const int one = 1;
    setsockopt(client.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(client.fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0) {
      return Fail(std::strerror(errno));
    }
  }
  if (connect(client.fd, address_.get(), address_.size) != 0 && errno != EINPROGRESS) {
    return Fail(std::strerror(errno));
  }
  epoll_event event{};
  event.events = EPOLLOUT;  // the start-up packet is sent once connected
  event.data.u64 = index;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, client.fd, &event);
  ++waiting_;
  return true;
}

bool Crowd::Drain(size_t left) {
  const std::string start = StartUp(options_);
  std::array<epoll_event, 256> events;
  while (waiting_ > left) {
    const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), kPatienceMs);
    if (n == 0) return Fail("nothing moved for 30 s");
    for (int i = 0; i < n; ++i) {
      const epoll_event& seen = events[static_cast<size_t>(i)];
      Client& client = clients_[seen.data.u64];
      if ((seen.events & EPOLLOUT) == 0) {
        if (!Read(client)) return false;
        continue;
      }
      const ssize_t sent = send(client.fd, start.data(), start.size(), MSG_NOSIGNAL);
      if (sent != static_cast<ssize_t>(start.size())) return Fail("could not connect");
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.u64 = seen.data.u64;
      epoll_ctl(epoll_, EPOLL_CTL_MOD, client.fd, &event);
    }
  }
  return true;
}

bool Crowd::Read(Client& client) {
  std::array<char, 8192> bytes;
  const ssize_t n = recv(client.fd, bytes.data(), bytes.size(), 0);
  if (n < 0 && errno == EAGAIN) return true;
  if (n <= 0) return Fail("a connection was closed");
  client.input.append(bytes.data(), static_cast<size_t>(n));
  return Parse(client);
}

bool Crowd::Parse(Client& client) {
  std::string_view rest = client.input;
  while (rest.size() >= 5) {
    uint32_t length;
    std::memcpy(&length, rest.data() + 1, 4);
    length = ntohl(length);
    if (length < 4 || length > (1u << 20)) return Fail("a frame that cannot be");
    if (rest.size() < size_t{length} + 1) break;
    if (rest[0] == 'E') return Fail("an ErrorResponse");
    if (rest[0] == 'R' && length == 8 && rest.substr(5, 4) != std::string_view("\0\0\0\0", 4)) {
      return Fail("the server wants a password; this tool needs trust");
    }
    if (rest[0] == 'D') client.has_row = true;
    if (rest[0] == 'Z') {
      client.ready = true;
      --waiting_;
      ++done_;
    }
    rest.remove_prefix(size_t{length} + 1);
  }
  client.input = std::string(rest);
  return true;
}

size_t Crowd::OpenAll() {
  clients_.resize(options_.clients);
  for (size_t i = 0; i < clients_.size(); ++i) {
    if (!Open(i) || !Drain(kOpening)) return done_;
  }
  Drain(0);
  return done_;
}

size_t Crowd::AskAll() {
  const std::string query = Query("SELECT 1");
  done_ = 0;
  for (Client& client : clients_) {
    client.has_row = client.ready = false;
    if (send(client.fd, query.data(), query.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(query.size())) {
      Fail("a query could not be sent");
      continue;
    }
    ++waiting_;
    if (!Drain(kOpening)) break;
  }
  Drain(0);
  return static_cast<size_t>(std::count_if(clients_.begin(), clients_.end(),
                                           [](const Client& c) { return c.ready && c.has_row; }));
}

bool ReadOptions(int argc, char** argv, Options& options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    const char* value = argv[i + 1];
    if (flag == "--connect") {
      options.connect = value;
    } else if (flag == "--clients") {
      options.clients = std::strtoul(value, nullptr, 10);
    } else if (flag == "--pid") {
      options.pid = std::atoi(value);
    } else if (flag == "--user") {
      options.user = value;
    } else if (flag == "--database") {
      options.database = value;
    } else {
      return false;
    }
  }
  return argc % 2 == 1 && !options.connect.empty() && options.pid > 0 && options.clients > 0;
}

double PerClient(long before, long after, size_t clients) {
  return static_cast<double>(after - before) * 1024.0 / static_cast<double>(clients);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!ReadOptions(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: idle_clients --connect HOST:PORT --pid PROXY [--clients 9000]\n"
                 "                    [--user NAME] [--database NAME]\n");
    return 2;
  }
  bench::RaiseDescriptorLimit();
  // What the proxy touches once, at its first clients, is no cost of a client.
  Options few = options;
  few.clients = kWarmUp;
  Crowd warm_up(few);
  const bool warm = warm_up.OpenAll() == kWarmUp && warm_up.AskAll() == kWarmUp;
  const Memory before = Measure(options.pid);
  if (!warm || before.rss_kib < 0) {
    std::fprintf(stderr, "idle_clients: process %d: no answers, or no memory to read\n",
                 options.pid);
    return 1;
  }
  Crowd crowd(options);
  const size_t opened = crowd.OpenAll();
  const Memory idle = Measure(options.pid);
  const size_t answered = opened == options.clients ? crowd.AskAll() : 0;
  const Memory after = Measure(options.pid);
  std::printf(
      "{\"clients\": %zu, \"opened\": %zu, \"answered\": %zu, \"rss_before_kib\": %ld, "
      "\"rss_idle_kib\": %ld, \"pss_before_kib\": %ld, \"pss_idle_kib\": %ld, "
      "\"bytes_per_client\": %.0f, \"bytes_per_client_after_query\": %.0f}\n",
      options.clients, opened, answered, before.rss_kib, idle.rss_kib, before.pss_kib, idle.pss_kib,
      PerClient(before.pss_kib, idle.pss_kib, options.clients),
      PerClient(before.pss_kib, after.pss_kib, options.clients));
  return answered == options.clients ? 0 : 1;
}
