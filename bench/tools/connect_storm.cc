// A storm of logins beside a steady load: connects at a fixed rate, whatever comes back, logs in by
// trust, and leaves at once; meanwhile a few old connections go on asking SELECT 1 at their own
// pace. Says how many logins were done, how long they took, and what the storm did to the p99 of
// the steady load, which is first measured alone. Prints one JSON object.
//
//   connect_storm --connect HOST:PORT [--rate 5000] [--seconds 10] [--steady 16] [--pace-ms 10]
//
// Both loads are open: a request that is late because the one before it was late counts with the
// time since it was due. One thread, epoll, raw frames. Client addresses rotate over 127.0.0.x, so
// that no address runs out of ports. At most kOpening logins are under way: what does not fit is
// counted as shed. Status 1 if a login failed or was shed, or a steady client lost its connection.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/tools/address.h"

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr size_t kOpening = 4000;
constexpr unsigned kSources = 200;
constexpr auto kDrain = std::chrono::seconds(10);

struct Options {
  std::string connect;
  uint64_t rate = 5000;
  uint64_t seconds = 10;
  uint64_t steady = 16;
  uint64_t pace_ms = 10;
};

struct Connection {
  int fd = -1;
  bool steady = false;
  bool connected = false;
  bool ready = false;  // has seen its first ReadyForQuery
  bool asked = false;  // a query is out
  Clock::time_point due;
  std::string input;
};

void Put32(std::string& out, uint32_t v) {
  v = htonl(v);
  out.append(reinterpret_cast<const char*>(&v), 4);
}

std::string StartupMessage() {
  std::string body;
  Put32(body, 3 << 16);
  body.append("user\0postgres\0database\0postgres\0\0", 33);
  std::string out;
  Put32(out, static_cast<uint32_t>(body.size() + 4));
  return out + body;
}

uint32_t Get32(const char* at) {
  uint32_t v = 0;
  std::memcpy(&v, at, 4);
  return ntohl(v);
}

double Percentile(std::vector<uint64_t>& values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto at = static_cast<size_t>(static_cast<double>(values.size()) * part);
  return static_cast<double>(values[std::min(at, values.size() - 1)]);
}

uint64_t Since(Clock::time_point then) {
  const auto took = Clock::now() - then;
  return static_cast<uint64_t>(std::chrono::duration_cast<microseconds>(took).count());
}

class Storm {
 public:
  explicit Storm(const Options& options)
      : options_(options), address_(bench::ParseAddress(options.connect)) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
  }
  int Run();

 private:
  bool Open(bool steady, Clock::time_point due);
  void OnEvent(int fd, uint32_t events);
  void OnReadable(Connection& connection);
  void OnReady(Connection& connection);
  void Drop(Connection& connection, bool failed);
  void Ask();
  void Poll(Clock::time_point until);
  void RunStorm();
  void RunSteady(Clock::time_point until);
  [[nodiscard]] int Report(double baseline);

  const Options& options_;
  bench::Address address_;
  const std::string startup_ = StartupMessage();
  int epoll_ = -1;
  std::map<int, std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> steady_;
  std::vector<uint64_t> answers_us_;  // of the steady load, in this phase
  std::vector<uint64_t> logins_us_;
  uint64_t opened_ = 0;
  uint64_t failed_ = 0;
  uint64_t shed_ = 0;
  uint64_t steady_lost_ = 0;
  double seconds_ = 0;
};

bool Storm::Open(bool steady, Clock::time_point due) {
  const int fd = bench::NewSocket(address_);
  if (fd < 0) return false;
  if (address_.family == AF_INET) {
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(0x7f000002 + static_cast<uint32_t>(opened_ % kSources));
    bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source);
  }
  ++opened_;
  if (connect(fd, address_.get(), address_.size) != 0 && errno != EINPROGRESS) {
    close(fd);
    return false;
  }
  auto connection = std::make_unique<Connection>();
  connection->fd = fd;
  connection->steady = steady;
  connection->due = due;
  epoll_event event{};
  event.events = EPOLLOUT;
  event.data.fd = fd;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  if (steady) steady_.push_back(connection.get());
  connections_[fd] = std::move(connection);
  return true;
}

void Storm::Drop(Connection& connection, bool failed) {
  if (failed && connection.steady) ++steady_lost_;
  if (failed && !connection.steady) ++failed_;
  std::erase(steady_, &connection);
  close(connection.fd);
  connections_.erase(connection.fd);
}

void Storm::OnEvent(int fd, uint32_t events) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  if (connection.connected) return OnReadable(connection);
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Drop(connection, true);
  connection.connected = true;
  send(fd, startup_.data(), startup_.size(), MSG_NOSIGNAL);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Storm::OnReadable(Connection& connection) {
  std::array<char, 16384> bytes;
  const ssize_t n = recv(connection.fd, bytes.data(), bytes.size(), 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return Drop(connection, true);
  connection.input.append(bytes.data(), static_cast<size_t>(n));
  size_t at = 0;
  bool ready = false;
  while (connection.input.size() - at >= 5) {
    const char type = connection.input[at];
    const size_t size = size_t{Get32(connection.input.data() + at + 1)} + 1;
    if (type == 'E') return Drop(connection, true);
    if (connection.input.size() - at < size) break;
    ready = ready || type == 'Z';
    at += size;
  }
  connection.input.erase(0, at);
  if (ready) OnReady(connection);
}

void Storm::OnReady(Connection& connection) {
  if (!connection.steady) {
    logins_us_.push_back(Since(connection.due));
    send(connection.fd, "X\0\0\0\4", 5, MSG_NOSIGNAL);
    return Drop(connection, false);
  }
  if (connection.ready) answers_us_.push_back(Since(connection.due));
  const auto pace = milliseconds(options_.pace_ms);
  connection.due = connection.ready ? connection.due + pace : Clock::now() + pace;
  connection.ready = true;
  connection.asked = false;
}

// Every steady client whose time has come asks.
void Storm::Ask() {
  const auto now = Clock::now();
  for (Connection* connection : steady_) {
    if (!connection->ready || connection->asked || connection->due > now) continue;
    constexpr std::string_view kQuery("Q\0\0\0\x0dSELECT 1\0", 14);
    send(connection->fd, kQuery.data(), kQuery.size(), MSG_NOSIGNAL);
    connection->asked = true;
  }
}

void Storm::Poll(Clock::time_point until) {
  std::array<epoll_event, 256> events;
  const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now()).count();
  const int wait = static_cast<int>(std::clamp<int64_t>(left, 0, 1));
  const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait);
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events.at(static_cast<size_t>(i));
    OnEvent(event.data.fd, event.events);
  }
}

void Storm::RunSteady(Clock::time_point until) {
  while (Clock::now() < until) {
    Ask();
    Poll(until);
  }
}

void Storm::RunStorm() {
  const auto start = Clock::now();
  const uint64_t total = options_.rate * options_.seconds;
  uint64_t begun = 0;
  while (begun < total) {
    const uint64_t due = std::min(total, Since(start) * options_.rate / 1000000);
    for (; begun < due; ++begun) {
      const auto when = start + microseconds(begun * 1000000 / options_.rate);
      if (connections_.size() - steady_.size() >= kOpening) {
        ++shed_;
      } else if (!Open(false, when)) {
        ++failed_;
      }
    }
    Ask();
    Poll(Clock::now() + milliseconds(1));
  }
  const auto patience = Clock::now() + kDrain;
  while (connections_.size() > steady_.size() && Clock::now() < patience) {
    Ask();
    Poll(patience);
  }
  seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
  failed_ += connections_.size() - steady_.size();  // never answered
}

int Storm::Run() {
  for (uint64_t i = 0; i < options_.steady; ++i) Open(true, Clock::now());
  const auto half = std::chrono::seconds(std::max<uint64_t>(1, options_.seconds / 2));
  RunSteady(Clock::now() + half);
  const double baseline = Percentile(answers_us_, 0.99);
  const bool no_baseline = answers_us_.empty();
  answers_us_.clear();
  RunStorm();
  if (no_baseline) {
    std::fprintf(stderr, "connect_storm: error: no steady client was answered\n");
    return 1;
  }
  return Report(baseline);
}

int Storm::Report(double baseline) {
  const double p99 = Percentile(answers_us_, 0.99);
  std::printf(
      "{\"asked_rate\": %llu, \"rate\": %.0f, \"logins\": %zu, \"failed\": %llu, \"shed\": %llu, "
      "\"login_p50_us\": %.0f, \"login_p99_us\": %.0f, \"steady_p99_us\": %.0f, "
      "\"steady_p99_in_storm_us\": %.0f, \"steady_answers\": %zu, \"steady_lost\": %llu}\n",
      static_cast<unsigned long long>(options_.rate),
      static_cast<double>(logins_us_.size()) / seconds_, logins_us_.size(),
      static_cast<unsigned long long>(failed_), static_cast<unsigned long long>(shed_),
      Percentile(logins_us_, 0.5), Percentile(logins_us_, 0.99), baseline, p99, answers_us_.size(),
      static_cast<unsigned long long>(steady_lost_));
  return failed_ + shed_ + steady_lost_ == 0 ? 0 : 1;
}

Options Parse(const std::vector<std::string>& arguments) {
  Options options;
  const std::map<std::string, uint64_t*, std::less<>> numbers = {{"--rate", &options.rate},
                                                                 {"--seconds", &options.seconds},
                                                                 {"--steady", &options.steady},
                                                                 {"--pace-ms", &options.pace_ms}};
  for (size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const auto number = numbers.find(arguments[i]);
    if (number != numbers.end()) {
      *number->second = std::strtoull(arguments[i + 1].c_str(), nullptr, 10);
    } else if (arguments[i] == "--connect") {
      options.connect = arguments[i + 1];
    }
  }
  if (options.connect.empty() || options.rate == 0 || options.seconds == 0) {
    std::fprintf(stderr,
                 "usage: connect_storm --connect HOST:PORT [--rate N] [--seconds N] [--steady N] "
                 "[--pace-ms N]\n");
    std::exit(2);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Parse({std::next(argv), std::next(argv, argc)});
  bench::RaiseDescriptorLimit();
  std::signal(SIGPIPE, SIG_IGN);
  return Storm(options).Run();
}
