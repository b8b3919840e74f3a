// Nobody may ever read what was meant for somebody else: N clients ask questions that each carry a
// nonce, and compare every answer, while they die at random steps, race cancels and run into
// statement timeouts. What stands behind --connect may be a server or a pooler.
//
//   nonce_load --connect HOST:PORT [--user U] [--database D] [--password P] [--clients N]
//              [--queries N] [--seed N] [--faults N] [--without KIND,...] [--losses]
//
// --faults is how many of 1000 batches end in their client's death (default 3; 0: none die), and
// of 1000 logins thirty times as many;
// --without leaves out kinds of turns (turn_plan.h); --losses says that servers are being killed,
// so that FATAL errors and closed connections are no fault of whoever is tested.
//
// A raw epoll client without libpq, one thread. Prints what fired, how often, one `name=value` per
// line, and the first mismatches. Status 0: every answer was right and every kind of fault fired;
// 1: a mismatch, a client that heard nothing for kPatience, or a connection lost without --losses;
// 2: bad arguments.

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
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/tools/address.h"
#include "tests/load/nonce_client.h"
#include "tests/load/turn_plan.h"

namespace {

using Clock = std::chrono::steady_clock;
using load::Kind;
using load::Reading;
using std::chrono::milliseconds;

constexpr milliseconds kPatience{30000};
constexpr milliseconds kAgain{20};  // until a lost client comes again
constexpr size_t kShown = 10;       // mismatches printed

struct Options {
  std::string connect;
  load::Login login;
  size_t clients = 200;
  uint64_t queries = 1000000;
  uint64_t seed = 1;
  uint64_t faults = 3;
  bool losses = false;
  std::set<std::string, std::less<>> without;
};

// Where a client dies, if it does.
enum class Death : uint8_t {
  kNone,
  kUnsaid,       // connected, nothing said
  kHalfStartup,  // in the middle of its StartupMessage
  kStartup,      // before the answer to it
  kHalfBatch,    // in the middle of its requests
  kBatch,        // its requests sent, nothing read
  kAnswer,       // in the middle of the answers
  kCount,
};

constexpr std::array<std::string_view, static_cast<size_t>(Death::kCount)> kDeaths = {
    "",           "died_unsaid",    "died_in_startup", "died_after_startup", "died_in_requests",
    "died_asked", "died_in_answers"};

// How often each kind is chosen, out of the sum.
constexpr std::array<unsigned, load::kKinds> kWeights = {200, 60, 200, 250, 100, 80,
                                                         20,  20, 20,  40,  2,   3};

struct Client {
  Client(size_t number, const load::Login& login, load::Random& random)
      : speaks(number, login, random) {}

  load::NonceClient speaks;
  int fd = -1;
  uint64_t life = 0;  // which connection of this client it is
  bool connected = false;
  bool asked = false;  // the current batch has been sent whole
  Death death = Death::kNone;
  load::Plan plan;
  size_t at = 0;  // the batch of the plan that is out or comes next
  std::string out;
  Clock::time_point heard;
};

struct Cancel {
  int fd = -1;
  size_t client = 0;
  uint64_t life = 0;
  std::string bytes;
};

// Something to do later: life is that of the client it was meant for.
struct Due {
  enum class What : uint8_t { kConnect, kCancel } what;
  size_t client;
  uint64_t life;
};

class Load {
 public:
  explicit Load(const Options& options);
  int Run();

 private:
  void Connect(size_t i);
  void Close(Client& client, bool abruptly);
  void Die(size_t i);
  void Next(size_t i);
  void Write(size_t i);
  void OnEvent(uint64_t tag, uint32_t events);
  void OnReadable(size_t i);
  void OnRead(size_t i, Reading reading, const std::string& reply);
  void Lost(size_t i, const std::string& why);
  void FireCancel(const Due& due);
  void OnCancelEvent(int fd, uint32_t events);
  void RunDue();
  void CheckPatience();
  bool Chance(uint64_t of_1000) { return random_() % 1000 < of_1000; }
  Kind Choose();
  void Watch(int fd, uint64_t tag, uint32_t events, int how);
  [[nodiscard]] int Report(double seconds);

  const Options& options_;
  bench::Address address_;
  load::Random random_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::map<int, Cancel> cancels_;
  std::multimap<Clock::time_point, Due> due_;
  std::map<std::string, uint64_t, std::less<>> counts_;
  uint64_t mismatches_ = 0;
  uint64_t hung_ = 0;
  uint64_t lost_ = 0;
  int epoll_ = -1;
  bool ending_ = false;
};

constexpr uint64_t kCancelTag = uint64_t{1} << 32;

Load::Load(const Options& options)
    : options_(options), address_(bench::ParseAddress(options.connect)), random_(options.seed) {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  for (size_t i = 0; i < options.clients; ++i) {
    clients_.push_back(std::make_unique<Client>(i, options.login, random_));
  }
}

void Load::Watch(int fd, uint64_t tag, uint32_t events, int how) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  epoll_ctl(epoll_, how, fd, &event);
}

Kind Load::Choose() {
  for (;;) {
    unsigned total = 0;
    for (const unsigned weight : kWeights) total += weight;
    uint64_t at = random_() % total;
    size_t kind = 0;
    while (at >= kWeights.at(kind)) at -= kWeights.at(kind++);
    if (!options_.without.contains(load::NameOf(static_cast<Kind>(kind)))) {
      return static_cast<Kind>(kind);
    }
  }
}

void Load::Connect(size_t i) {
  Client& client = *clients_[i];
  client.fd = bench::NewSocket(address_);
  if (client.fd < 0) return Lost(i, "no socket");
  ++client.life;
  client.connected = client.asked = false;
  client.plan.clear();
  client.at = 0;
  client.heard = Clock::now();
  client.out = client.speaks.Start();
  client.death = Death::kNone;
  if (!ending_ && Chance(options_.faults * 30)) {  // logins are rarer than batches
    client.death = static_cast<Death>(1 + random_() % 3);
  }
  if (connect(client.fd, address_.get(), address_.size) != 0 && errno != EINPROGRESS) {
    return Lost(i, "connect failed");
  }
  Watch(client.fd, i, EPOLLOUT, EPOLL_CTL_ADD);
}

void Load::Close(Client& client, bool abruptly) {
  if (client.fd < 0) return;
  if (abruptly) {
    const linger reset{.l_onoff = 1, .l_linger = 0};
    setsockopt(client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  close(client.fd);
  client.fd = -1;
}

void Load::Die(size_t i) {
  Client& client = *clients_[i];
  ++counts_[std::string(kDeaths.at(static_cast<size_t>(client.death)))];
  // Its key must be worth nothing once it is gone, and least of all to its successor.
  const std::string key = client.speaks.key();
  Close(client, random_() % 2 == 0);
  Connect(i);
  if (!key.empty() && random_() % 4 == 0) {
    ++counts_["cancel_of_a_gone_client"];
    const int fd = bench::NewSocket(address_);
    if (fd < 0) return;
    connect(fd, address_.get(), address_.size);
    cancels_[fd] = {.fd = fd, .client = i, .life = 0, .bytes = load::CancelRequest(key)};
    Watch(fd, kCancelTag | static_cast<uint64_t>(fd), EPOLLOUT, EPOLL_CTL_ADD);
  }
}

// The client owes nothing: its next batch, of the plan it has or of a new one.
void Load::Next(size_t i) {
  Client& client = *clients_[i];
  if (client.speaks.TakeBrokenOff()) client.at = client.plan.size();
  if (client.at >= client.plan.size()) {
    if (ending_) return Close(client, false);
    const Kind kind = Choose();
    ++counts_["asked_" + std::string(load::NameOf(kind))];
    client.plan = client.speaks.planner().Make(kind);
    client.at = 0;
  }
  const load::Batch& batch = client.plan[client.at++];
  if (batch.cancel) {
    client.speaks.OnCancelPlanned();
    const auto delay = std::chrono::microseconds(random_() % 50000);
    due_.emplace(Clock::now() + delay, Due{Due::What::kCancel, i, client.life});
  }
  client.out = client.speaks.Begin(batch);
  client.asked = false;
  if (!ending_ && Chance(options_.faults)) {
    client.death = static_cast<Death>(4 + random_() % 3);
  }
  Write(i);
}

void Load::Write(size_t i) {
  Client& client = *clients_[i];
  const bool half = client.death == Death::kHalfStartup || client.death == Death::kHalfBatch;
  if (half) client.out.resize(random_() % client.out.size());
  while (!client.out.empty()) {
    const ssize_t n = send(client.fd, client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) return Lost(i, "closed while it was written to");
    if (n < 0) return Watch(client.fd, i, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    client.out.erase(0, static_cast<size_t>(n));
  }
  if (half || client.death == Death::kStartup || client.death == Death::kBatch) return Die(i);
  client.asked = true;
  Watch(client.fd, i, EPOLLIN, EPOLL_CTL_MOD);
}

void Load::OnEvent(uint64_t tag, uint32_t events) {
  if ((tag & kCancelTag) != 0) return OnCancelEvent(static_cast<int>(tag & ~kCancelTag), events);
  Client& client = *clients_[tag];
  if (client.fd < 0) return;
  if (!client.connected) {
    if ((events & (EPOLLERR | EPOLLHUP)) != 0) return Lost(tag, "connection refused");
    client.connected = true;
    if (client.death == Death::kUnsaid) return Die(tag);
    return Write(tag);
  }
  if ((events & EPOLLOUT) != 0 && !client.out.empty()) return Write(tag);
  OnReadable(tag);
}

void Load::OnReadable(size_t i) {
  Client& client = *clients_[i];
  std::array<char, 65536> bytes;
  // A dying client leaves in the middle of an answer, if it is long enough.
  const size_t most = client.death == Death::kAnswer ? 1 + random_() % 40 : bytes.size();
  const ssize_t n = recv(client.fd, bytes.data(), most, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return Lost(i, "closed by the other side");
  client.heard = Clock::now();
  if (client.death == Death::kAnswer) return Die(i);
  std::string reply;
  const Reading reading =
      client.speaks.Read(std::string_view(bytes.data(), static_cast<size_t>(n)), &reply);
  OnRead(i, reading, reply);
}

void Load::OnRead(size_t i, Reading reading, const std::string& reply) {
  Client& client = *clients_[i];
  switch (reading) {
    case Reading::kGoesOn:
      if (reply.empty()) return;
      client.out += reply;
      return Write(i);
    case Reading::kFree:
      return Next(i);
    case Reading::kLost:
      return Lost(i, client.speaks.text());
    case Reading::kMismatch:
      if (++mismatches_ <= kShown) std::printf("MISMATCH %s\n", client.speaks.text().c_str());
      std::fflush(stdout);
      Close(client, true);
      due_.emplace(Clock::now() + kAgain, Due{Due::What::kConnect, i, client.life});
  }
}

void Load::Lost(size_t i, const std::string& why) {
  Client& client = *clients_[i];
  if (++lost_ <= kShown || !options_.losses) std::printf("LOST client %zu: %s\n", i, why.c_str());
  std::fflush(stdout);
  Close(client, true);
  due_.emplace(Clock::now() + kAgain, Due{Due::What::kConnect, i, client.life});
}

void Load::FireCancel(const Due& due) {
  Client& client = *clients_[due.client];
  if (client.life != due.life || client.fd < 0) return;
  const int fd = bench::NewSocket(address_);
  if (fd < 0) return client.speaks.OnCancelOver();
  ++counts_["cancels"];
  connect(fd, address_.get(), address_.size);
  cancels_[fd] = {.fd = fd,
                  .client = due.client,
                  .life = due.life,
                  .bytes = load::CancelRequest(client.speaks.key())};
  Watch(fd, kCancelTag | static_cast<uint64_t>(fd), EPOLLOUT, EPOLL_CTL_ADD);
}

void Load::OnCancelEvent(int fd, uint32_t events) {
  const auto found = cancels_.find(fd);
  if (found == cancels_.end()) return;
  Cancel& cancel = found->second;
  if (!cancel.bytes.empty() && (events & (EPOLLERR | EPOLLHUP)) == 0) {
    send(fd, cancel.bytes.data(), cancel.bytes.size(), MSG_NOSIGNAL);
    cancel.bytes.clear();
    return Watch(fd, kCancelTag | static_cast<uint64_t>(fd), EPOLLIN, EPOLL_CTL_MOD);
  }
  // It says nothing, and closes when the request has been dealt with.
  Client& client = *clients_[cancel.client];
  if (client.life == cancel.life) client.speaks.OnCancelOver();
  close(fd);
  cancels_.erase(found);
}

void Load::RunDue() {
  const auto now = Clock::now();
  while (!due_.empty() && due_.begin()->first <= now) {
    const Due due = due_.begin()->second;
    due_.erase(due_.begin());
    if (due.what == Due::What::kCancel) {
      FireCancel(due);
    } else if (!ending_) {
      Connect(due.client);
    }
  }
}

void Load::CheckPatience() {
  const auto now = Clock::now();
  for (size_t i = 0; i < clients_.size(); ++i) {
    Client& client = *clients_[i];
    if (client.fd < 0 || now - client.heard < kPatience) continue;
    ++hung_;
    std::printf("HUNG client %zu: asked %s\n", i,
                client.at == 0 ? "to log in"
                               : client.plan[client.at - 1].turns[0].bytes.substr(5, 80).c_str());
    Close(client, true);
  }
}

int Load::Run() {
  const auto start = Clock::now();
  for (size_t i = 0; i < clients_.size(); ++i) Connect(i);
  std::array<epoll_event, 256> events;
  auto looked = start;
  for (;;) {
    const int wait = due_.empty() ? 100 : 1;
    const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), wait);
    for (int i = 0; i < n; ++i) {
      OnEvent(events.at(static_cast<size_t>(i)).data.u64, events.at(static_cast<size_t>(i)).events);
    }
    RunDue();
    if (Clock::now() - looked < milliseconds(100)) continue;
    looked = Clock::now();
    CheckPatience();
    uint64_t checked = 0;
    size_t open = 0;
    for (const auto& client : clients_) {
      checked += client->speaks.checked();
      open += client->fd >= 0 ? 1u : 0u;
    }
    ending_ = ending_ || checked >= options_.queries || hung_ > 0 || mismatches_ >= kShown;
    if (ending_ && open == 0) break;
  }
  return Report(std::chrono::duration<double>(Clock::now() - start).count());
}

int Load::Report(double seconds) {
  uint64_t checked = 0;
  for (const auto& client : clients_) {
    checked += client->speaks.checked();
    counts_["cancelled"] += client->speaks.cancelled();
  }
  bool all_fired = counts_["cancelled"] > 0 || options_.without.contains("cancel");
  for (size_t kind = 0; kind < load::kKinds; ++kind) {
    const std::string name(load::NameOf(static_cast<Kind>(kind)));
    all_fired = all_fired && (counts_["asked_" + name] > 0 || options_.without.contains(name));
  }
  for (size_t death = 1; death < kDeaths.size(); ++death) {
    const bool fired = counts_[std::string(kDeaths.at(death))] > 0;
    all_fired = all_fired && (fired || options_.faults == 0);
  }
  for (const auto& [name, count] : counts_) {
    std::printf("%s=%llu\n", name.c_str(), static_cast<unsigned long long>(count));
  }
  std::printf("seed=%llu\n", static_cast<unsigned long long>(options_.seed));
  std::printf(
      "checked=%llu\nseconds=%.1f\nper_second=%.0f\n"
      "lost=%llu\nhung=%llu\nmismatches=%llu\n",
      static_cast<unsigned long long>(checked), seconds, static_cast<double>(checked) / seconds,
      static_cast<unsigned long long>(lost_), static_cast<unsigned long long>(hung_),
      static_cast<unsigned long long>(mismatches_));
  const bool good = mismatches_ == 0 && hung_ == 0 && (lost_ == 0 || options_.losses);
  if (!all_fired) std::printf("some kind of question or death never came: ask for more queries\n");
  return good && all_fired ? 0 : 1;
}

[[noreturn]] void Usage(const std::string& why) {
  std::fprintf(stderr, "nonce_load: %s; see the head of tests/load/nonce_load.cc\n", why.c_str());
  std::exit(2);
}

void AddWords(std::string_view list, std::set<std::string, std::less<>>* words) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    const std::string word(list.substr(0, end));
    bool known = false;
    for (size_t kind = 0; kind < load::kKinds; ++kind) {
      known = known || load::NameOf(static_cast<Kind>(kind)) == word;
    }
    if (!known) Usage("there is no kind '" + word + "'");
    words->insert(word);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

Options Parse(const std::vector<std::string>& arguments) {
  Options options;
  std::map<std::string, std::string*, std::less<>> texts = {
      {"--connect", &options.connect},
      {"--user", &options.login.user},
      {"--database", &options.login.database},
      {"--password", &options.login.password}};
  uint64_t clients = options.clients;
  std::map<std::string, uint64_t*, std::less<>> numbers = {{"--clients", &clients},
                                                           {"--queries", &options.queries},
                                                           {"--seed", &options.seed},
                                                           {"--faults", &options.faults}};
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--losses") {
      options.losses = true;
      continue;
    }
    if (++i == arguments.size()) Usage(name + " wants a value");
    if (const auto text = texts.find(name); text != texts.end()) {
      *text->second = arguments[i];
    } else if (const auto number = numbers.find(name); number != numbers.end()) {
      *number->second = std::strtoull(arguments[i].c_str(), nullptr, 10);
    } else if (name == "--without") {
      AddWords(arguments[i], &options.without);
    } else {
      Usage("unknown option " + name);
    }
  }
  options.clients = clients;
  if (options.connect.empty() || clients == 0 || options.without.size() == load::kKinds) {
    Usage("--connect, clients and something to ask are needed");
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Parse({std::next(argv), std::next(argv, argc)});
  bench::RaiseDescriptorLimit();
  std::signal(SIGPIPE, SIG_IGN);
  return Load(options).Run();
}
