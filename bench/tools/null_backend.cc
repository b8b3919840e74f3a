// A PostgreSQL server that answers at once and knows nothing: the other end for loading a proxy
// beyond what a real server gives. Everybody may log in; every SELECT has one row ("1"); the tags
// of BEGIN, COMMIT, SET and the like are right and so is the transaction state; COPY FROM STDIN is
// swallowed; "nullrows(N)" anywhere in a SELECT or COPY TO STDOUT streams at least N bytes of rows.
// No request fails, except that CopyFail is answered as the protocol demands.
//
// One thread is one epoll loop with a listener of its own (SO_REUSEPORT), sharing nothing. A
// connection buffers only an incomplete frame (bound: kMaxFrame) and unsent output; while output
// is unsent its input is not read. Any socket error, or a frame that cannot be, closes it.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bench/tools/address.h"
#include "bench/tools/null_answers.h"

namespace {

using bench::Answers;
using bench::Classify;
using bench::Get32;
using bench::HighestParameter;
using bench::Kind;
using bench::kStreamRun;
using bench::Put16;
using bench::Put32;
using bench::PutFrame;
using bench::PutTag;

constexpr uint32_t kSslRequest = 80877103;
constexpr uint32_t kGssRequest = 80877104;
constexpr size_t kMaxFrame = 64u << 20;
constexpr size_t kScratch = 64u << 10;
constexpr size_t kOutputRun = 256u << 10;

struct Portal {
  Kind kind;
  bool binary = false;
};

struct Connection {
  int fd = -1;
  bool started = false;
  bool closing = false;
  bool watching_output = false;
  char state = 'I';
  enum class Copy { kNone, kSimple, kExtended } copy = Copy::kNone;
  uint64_t skip = 0;  // bytes of a CopyData body still to swallow
  uint64_t copied = 0;
  uint64_t stream_left = 0;
  uint64_t stream_total = 0;
  bool stream_is_copy = false;
  bool stream_in_query = false;
  std::string input;   // an incomplete frame, or what waits behind a stream
  std::string output;  // what the socket did not take
  size_t output_at = 0;
  std::map<std::string, Kind, std::less<>> statements;
  std::map<std::string, Portal, std::less<>> portals;
};

// One epoll loop: its listeners, its connections, its scratch memory.
class Loop {
 public:
  Loop(const Answers& answers, std::vector<int> listeners)
      : answers_(answers), listeners_(std::move(listeners)), scratch_(kScratch) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void Run();

 private:
  void Accept(int listener);
  void OnReadable(Connection& c);
  void Consume(Connection& c, std::string_view bytes);
  size_t ConsumeStart(Connection& c, std::string_view bytes);
  size_t ConsumeFrame(Connection& c, std::string_view bytes);
  void OnFrame(Connection& c, char type, std::string_view body);
  void OnQuery(Connection& c, std::string_view text);
  void OnParse(Connection& c, std::string_view body);
  void OnBind(Connection& c, std::string_view body);
  void OnDescribe(Connection& c, std::string_view body);
  void OnExecute(Connection& c, std::string_view body);
  void OnClose(Connection& c, std::string_view body);
  void OnCopyEnd(Connection& c, bool failed);
  void Answer(Connection& c, const Kind& kind, bool in_query, bool binary);
  void StartStream(Connection& c, const Kind& kind, bool in_query);
  void PumpStream(Connection& c);
  void PutReady(const Connection& c) { PutFrame(out_, 'Z', std::string_view(&c.state, 1)); }
  void Flush(Connection& c);
  void OnWritable(Connection& c);
  void Watch(Connection& c, bool output);
  void Close(Connection& c);

  const Answers& answers_;
  std::vector<int> listeners_;
  std::vector<char> scratch_;
  std::string out_;  // what this event's frames are answered with
  std::vector<std::unique_ptr<Connection>> by_fd_;
  uint32_t next_pid_ = 1;
  int epoll_ = -1;
};

std::string_view TakeText(std::string_view& body) {
  const size_t end = std::min(body.find('\0'), body.size());
  const std::string_view text = body.substr(0, end);
  body.remove_prefix(std::min(end + 1, body.size()));
  return text;
}

uint32_t Take16(std::string_view& body) {
  if (body.size() < 2) return 0;
  const uint32_t v = static_cast<uint32_t>(static_cast<unsigned char>(body[0]) << 8) |
                     static_cast<unsigned char>(body[1]);
  body.remove_prefix(2);
  return v;
}

void Loop::Run() {
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  for (const int listener : listeners_) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    event.data.fd = listener;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, listener, &event);
  }
  std::array<epoll_event, 256> events;
  for (;;) {
    const int n = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (std::find(listeners_.begin(), listeners_.end(), fd) != listeners_.end()) {
        Accept(fd);
        continue;
      }
      Connection* c = by_fd_[static_cast<size_t>(fd)].get();
      if (c == nullptr) continue;
      if (c->watching_output) {
        OnWritable(*c);
      } else {
        OnReadable(*c);
      }
      if (c->closing) Close(*c);
    }
  }
}

void Loop::Accept(int listener) {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (by_fd_.size() <= static_cast<size_t>(fd)) by_fd_.resize(static_cast<size_t>(fd) + 1);
    by_fd_[static_cast<size_t>(fd)] = std::make_unique<Connection>();
    by_fd_[static_cast<size_t>(fd)]->fd = fd;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }
}

// True while a long frame is still incomplete: it is then not looked at again for every segment.
bool WaitsForMore(const Connection& c) {
  if (!c.started || c.skip > 0 || c.input.size() < 5 || c.input[0] == 'd') return false;
  const uint32_t length = Get32(c.input.data() + 1);
  return length <= kMaxFrame && c.input.size() < size_t{length} + 1;
}

void Loop::OnReadable(Connection& c) {
  const ssize_t n = recv(c.fd, scratch_.data(), scratch_.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    c.closing = true;
    return;
  }
  out_.clear();
  const std::string_view bytes(scratch_.data(), static_cast<size_t>(n));
  if (c.input.empty()) {
    Consume(c, bytes);
  } else {
    c.input.append(bytes);
    if (WaitsForMore(c)) return;
    const std::string whole = std::exchange(c.input, {});
    Consume(c, whole);
  }
  Flush(c);
}

void Loop::Consume(Connection& c, std::string_view bytes) {
  while (!bytes.empty() && !c.closing && c.stream_left == 0 && out_.size() < kOutputRun) {
    const size_t used = c.started ? ConsumeFrame(c, bytes) : ConsumeStart(c, bytes);
    if (used == 0) break;
    bytes.remove_prefix(used);
  }
  c.input.assign(bytes);
  if (c.input.empty() && c.input.capacity() > 4096) c.input.shrink_to_fit();
}

size_t Loop::ConsumeStart(Connection& c, std::string_view bytes) {
  if (bytes.size() < 8) return 0;
  const uint32_t length = Get32(bytes.data());
  const uint32_t code = Get32(bytes.data() + 4);
  if (length < 8 || length > 10000) {
    c.closing = true;
    return 0;
  }
  if (bytes.size() < length) return 0;
  if (code == kSslRequest || code == kGssRequest) {
    out_.push_back('N');
  } else if (code >> 16 == 3) {
    c.started = true;
    if ((code & 0xffff) != 0) PutFrame(out_, 'v', std::string_view("\0\0\0\0\0\0\0\0", 8));
    out_.append(answers_.login);
    std::string key;
    Put32(key, next_pid_++);
    Put32(key, static_cast<uint32_t>(c.fd));
    PutFrame(out_, 'K', key);
    PutReady(c);
  } else {  // a CancelRequest: nothing here runs long enough to be cancelled
    c.closing = true;
  }
  return length;
}

size_t Loop::ConsumeFrame(Connection& c, std::string_view bytes) {
  if (c.skip > 0) {
    const size_t step = static_cast<size_t>(std::min<uint64_t>(c.skip, bytes.size()));
    c.skip -= step;
    return step;
  }
  if (bytes.size() < 5) return 0;
  const uint32_t length = Get32(bytes.data() + 1);
  if (length < 4 || (length > kMaxFrame && bytes[0] != 'd')) {
    c.closing = true;
    return 0;
  }
  if (bytes[0] == 'd') {
    c.skip = length - 4;
    c.copied += c.skip;
    return 5;
  }
  if (bytes.size() < size_t{length} + 1) return 0;
  OnFrame(c, bytes[0], bytes.substr(5, length - 4));
  return size_t{length} + 1;
}

void Loop::OnFrame(Connection& c, char type, std::string_view body) {
  const bool copying = c.copy != Connection::Copy::kNone;
  switch (type) {
    case 'Q':
      return OnQuery(c, TakeText(body));
    case 'P':
      return OnParse(c, body);
    case 'B':
      return OnBind(c, body);
    case 'D':
      return OnDescribe(c, body);
    case 'E':
      return OnExecute(c, body);
    case 'C':
      return OnClose(c, body);
    case 'c':
      return OnCopyEnd(c, false);
    case 'f':
      return OnCopyEnd(c, true);
    case 'S':
      if (!copying) PutReady(c);  // inside COPY IN a Sync is swallowed
      return;
    case 'F':
      PutFrame(out_, 'V', std::string_view("\xff\xff\xff\xff", 4));
      return PutReady(c);
    case 'X':
      c.closing = true;
      return;
    default:
      return;  // Flush: answers leave at the end of every event
  }
}

void Loop::OnQuery(Connection& c, std::string_view text) {
  Answer(c, Classify(text), true, false);
  const bool waits = c.stream_left > 0 || c.copy != Connection::Copy::kNone;
  if (!waits) PutReady(c);
}

void Loop::OnParse(Connection& c, std::string_view body) {
  const std::string_view name = TakeText(body);
  const std::string_view text = TakeText(body);
  Kind kind = Classify(text);
  kind.parameters = std::max(HighestParameter(text), Take16(body));
  c.statements.insert_or_assign(std::string(name), std::move(kind));
  PutFrame(out_, '1', {});
}

void Loop::OnBind(Connection& c, std::string_view body) {
  const std::string_view portal = TakeText(body);
  const std::string_view name = TakeText(body);
  const uint32_t formats = Take16(body);
  body.remove_prefix(std::min<size_t>(formats * size_t{2}, body.size()));
  const uint32_t values = Take16(body);
  for (uint32_t i = 0; i < values && body.size() >= 4; ++i) {
    const uint32_t length = Get32(body.data());
    body.remove_prefix(4);
    if (length != 0xffffffff) body.remove_prefix(std::min<size_t>(length, body.size()));
  }
  const bool binary = Take16(body) > 0 && Take16(body) == 1;
  const auto statement = c.statements.find(name);
  Portal bound{statement == c.statements.end() ? Kind{} : statement->second, binary};
  const auto known = c.portals.find(portal);
  if (known == c.portals.end()) {
    c.portals.emplace(portal, std::move(bound));
  } else {
    known->second = std::move(bound);
  }
  PutFrame(out_, '2', {});
}

void Loop::OnDescribe(Connection& c, std::string_view body) {
  using Verb = Kind::Verb;
  if (body.empty()) return;
  const char what = body[0];
  body.remove_prefix(1);
  const std::string_view name = TakeText(body);
  Portal portal;
  if (what == 'S') {
    if (const auto it = c.statements.find(name); it != c.statements.end()) portal.kind = it->second;
    std::string types;
    Put16(types, portal.kind.parameters);
    for (uint32_t i = 0; i < portal.kind.parameters; ++i) Put32(types, 25);
    PutFrame(out_, 't', types);
  } else if (const auto it = c.portals.find(name); it != c.portals.end()) {
    portal = it->second;
  }
  switch (portal.kind.verb) {
    case Verb::kRows:
    case Verb::kStream:
      out_.append(portal.binary ? answers_.rows_binary : answers_.rows_text);
      return;
    case Verb::kPartitions:
      out_.append(answers_.partitions_head);
      return;
    default:
      PutFrame(out_, 'n', {});
  }
}

void Loop::OnExecute(Connection& c, std::string_view body) {
  const auto it = c.portals.find(TakeText(body));
  if (it == c.portals.end()) return Answer(c, Kind{}, false, false);
  Answer(c, it->second.kind, false, it->second.binary);
}

void Loop::OnClose(Connection& c, std::string_view body) {
  if (!body.empty()) {
    const char what = body[0];
    body.remove_prefix(1);
    const std::string name(TakeText(body));
    if (what == 'S') {
      c.statements.erase(name);
    } else {
      c.portals.erase(name);
    }
  }
  PutFrame(out_, '3', {});
}

void Loop::OnCopyEnd(Connection& c, bool failed) {
  const auto was = std::exchange(c.copy, Connection::Copy::kNone);
  if (was == Connection::Copy::kNone) return;
  if (failed) {
    constexpr char kBody[] = "SERROR\0VERROR\0C57014\0MCOPY from stdin failed\0";
    PutFrame(out_, 'E', std::string_view(kBody, sizeof kBody));
  } else {
    PutTag(out_, "COPY " + std::to_string(c.copied));
  }
  if (was == Connection::Copy::kSimple) PutReady(c);
}

void Loop::Answer(Connection& c, const Kind& kind, bool in_query, bool binary) {
  using Verb = Kind::Verb;
  switch (kind.verb) {
    case Verb::kEmpty:
      PutFrame(out_, 'I', {});
      return;
    case Verb::kRows:
      if (in_query) out_.append(binary ? answers_.rows_binary : answers_.rows_text);
      out_.append(answers_.one_row);
      PutTag(out_, "SELECT 1");
      return;
    case Verb::kPartitions:
      if (in_query) out_.append(answers_.partitions_head);
      out_.append(answers_.partitions_row);
      PutTag(out_, "SELECT 1");
      return;
    case Verb::kStream:
    case Verb::kCopyOut:
      return StartStream(c, kind, in_query);
    case Verb::kCopyIn:
      PutFrame(out_, 'G', std::string_view("\0\0\1\0\0", 5));
      c.copy = in_query ? Connection::Copy::kSimple : Connection::Copy::kExtended;
      c.copied = 0;
      return;
    case Verb::kBegin:
      c.state = 'T';
      break;
    case Verb::kEnd:
      c.state = 'I';
      break;
    case Verb::kOther:
      break;
  }
  PutTag(out_, kind.tag);
}

void Loop::StartStream(Connection& c, const Kind& kind, bool in_query) {
  c.stream_is_copy = kind.verb == Kind::Verb::kCopyOut;
  c.stream_in_query = in_query;
  c.stream_left = c.stream_total = kind.stream_rows;
  if (c.stream_is_copy) {
    PutFrame(out_, 'H', std::string_view("\0\0\1\0\0", 5));
  } else if (in_query) {
    out_.append(answers_.rows_text);
  }
}

// Adds rows to out_ until it is well filled or the stream has ended.
void Loop::PumpStream(Connection& c) {
  const std::string& run = c.stream_is_copy ? answers_.copy_rows : answers_.stream_rows;
  while (c.stream_left > 0 && out_.size() < kOutputRun) {
    const uint64_t rows = std::min<uint64_t>(c.stream_left, kStreamRun);
    out_.append(run, 0, static_cast<size_t>(rows) * (run.size() / kStreamRun));
    c.stream_left -= rows;
  }
  if (c.stream_left > 0) return;
  if (c.stream_is_copy) PutFrame(out_, 'c', {});
  PutTag(out_, (c.stream_is_copy ? "COPY " : "SELECT ") + std::to_string(c.stream_total));
  if (c.stream_in_query) PutReady(c);
}

// Sends what this event produced, and goes on producing for as long as the socket takes all of it.
void Loop::Flush(Connection& c) {
  for (;;) {
    if (c.stream_left > 0) PumpStream(c);
    if (out_.empty()) return;
    const ssize_t n = send(c.fd, out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      c.closing = true;
      return;
    }
    const size_t sent = n < 0 ? 0 : static_cast<size_t>(n);
    if (sent < out_.size()) {
      c.output.assign(out_, sent);
      c.output_at = 0;
      return Watch(c, true);
    }
    out_.clear();
    if (c.stream_left > 0) continue;
    if (c.input.empty()) return;
    const size_t before = c.input.size();
    const std::string rest = std::exchange(c.input, {});
    Consume(c, rest);
    if (c.input.size() == before && out_.empty()) return;
  }
}

void Loop::OnWritable(Connection& c) {
  const ssize_t n = send(c.fd, c.output.data() + c.output_at, c.output.size() - c.output_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) {
    c.closing = errno != EAGAIN && errno != EINTR;
    return;
  }
  c.output_at += static_cast<size_t>(n);
  if (c.output_at < c.output.size()) return;
  std::string().swap(c.output);
  Watch(c, false);
  out_.clear();
  const std::string rest = std::exchange(c.input, {});
  Consume(c, rest);
  Flush(c);
}

void Loop::Watch(Connection& c, bool output) {
  epoll_event event{};
  event.events = output ? EPOLLOUT : EPOLLIN;
  event.data.fd = c.fd;
  epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &event);
  c.watching_output = output;
}

void Loop::Close(Connection& c) {
  const int fd = c.fd;
  close(fd);
  by_fd_[static_cast<size_t>(fd)].reset();
}

int Usage() {
  std::fprintf(stderr,
               "usage: null_backend [--listen HOST:PORT] [--unix PATH] [--threads N]\n"
               "A PostgreSQL server that answers at once. Prints \"ready\" when it listens.\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::string listen_on;
  std::string unix_path;
  int threads = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--listen") {
      listen_on = argv[i + 1];
    } else if (flag == "--unix") {
      unix_path = argv[i + 1];
    } else if (flag == "--threads") {
      threads = std::atoi(argv[i + 1]);
    } else {
      return Usage();
    }
  }
  if (argc % 2 == 0 || threads < 1 || threads > 64 || (listen_on.empty() && unix_path.empty())) {
    return Usage();
  }
  bench::RaiseDescriptorLimit();
  const int shared = unix_path.empty() ? -1 : bench::Listen("unix:" + unix_path);
  const Answers answers;
  std::vector<std::unique_ptr<Loop>> loops;
  for (int i = 0; i < threads; ++i) {
    std::vector<int> listeners;
    if (!listen_on.empty()) listeners.push_back(bench::Listen(listen_on));
    if (shared >= 0) listeners.push_back(shared);
    loops.push_back(std::make_unique<Loop>(answers, std::move(listeners)));
  }
  std::puts("ready");
  std::fflush(stdout);
  std::vector<std::thread> running;
  for (auto& loop : loops) running.emplace_back([&loop] { loop->Run(); });
  for (auto& thread : running) thread.join();
}
