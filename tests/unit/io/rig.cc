#include "unit/io/rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "io/epoll_engine.h"
#include "io/uring_engine.h"

namespace io_test {

std::string NameOf(Kind kind) {
  switch (kind) {
    case Kind::kEpoll:
      return "epoll";
    case Kind::kUring:
      return "uring";
    case Kind::kUringClassic:
      return "uring_classic";
  }
  return "";
}

std::ostream& operator<<(std::ostream& out, Kind kind) { return out << NameOf(kind); }

std::string ParamName(const testing::TestParamInfo<Kind>& param) { return NameOf(param.param); }

std::vector<Kind> Kinds() {
  std::vector<Kind> kinds = {Kind::kEpoll};
  const io::UringSupport support = io::ProbeUring();
  if (support.usable) {
    kinds.push_back(Kind::kUringClassic);
  }
  if (support.incremental) {
    kinds.push_back(Kind::kUring);
  }
  return kinds;
}

std::unique_ptr<io::Engine> MakeEngine(Kind kind, const Sizes& sizes) {
  if (kind == Kind::kEpoll) {
    if (sizes.shape.count == 0) {
      return std::make_unique<io::EpollEngine>(256 * 1024);
    }
    return std::make_unique<io::EpollEngine>(sizes.shape, sizes.shape);
  }
  io::UringOptions options;
  options.ring_entries = sizes.ring_entries;
  options.completion_entries = sizes.completions;
  options.client_shape = options.server_shape = sizes.shape;
  options.support = io::ProbeUring();
  options.support.incremental = kind == Kind::kUring;
  absl::StatusOr<std::unique_ptr<io::UringEngine>> engine = io::UringEngine::Create(options);
  CHECK(engine.ok());
  return *std::move(engine);
}

bool Rig::CloseAll(const std::vector<io::Stream*>& streams) {
  for (io::Stream* stream : streams) {
    scope_.Spawn(CloseOne(stream, loop_.now()));
  }
  return Join();
}

Ends TcpPair() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  CHECK(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(listen(listener, 1) == 0);
  CHECK(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0);
  Ends ends;
  ends.theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(connect(ends.theirs, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  ends.ours = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  CHECK(ends.ours >= 0);
  close(listener);
  return ends;
}

Ends UnixPair() {
  int both[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) == 0);
  return Ends{both[0], both[1]};
}

void SetBuffers(int descriptor, int send_bytes, int receive_bytes) {
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes) == 0);
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) == 0);
}

std::string ReadNow(int descriptor, size_t most) {
  std::string bytes(most, '\0');
  const ssize_t got = recv(descriptor, bytes.data(), most, MSG_DONTWAIT);
  bytes.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return bytes;
}

bool AtEnd(int descriptor) {
  char byte;
  return recv(descriptor, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

void SendAll(int descriptor, std::string_view bytes) {
  const ssize_t sent = send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  CHECK(sent == static_cast<ssize_t>(bytes.size()));
}

void ResetBeneath(int descriptor) {
  const linger at_once{1, 0};
  CHECK(setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
  const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  CHECK(dup2(nothing, descriptor) == descriptor);
  close(nothing);
}

void ResetConnection(int descriptor) {
  ResetBeneath(descriptor);
  close(descriptor);
}

std::string Pattern(uint64_t owner, size_t from, size_t length) {
  std::string bytes(length, '\0');
  for (size_t i = 0; i < length; ++i) {
    const uint64_t mixed = (owner * 1'000'003 + from + i) * 0x9e3779b97f4a7c15u;
    bytes[i] = static_cast<char>(mixed >> 56);
  }
  return bytes;
}

io::Task<void> ReadAll(io::Stream* stream, std::string* got) {
  io::Event event(stream->loop());
  stream->NotifyReadable(&event, 1);
  while (!stream->ended() && !stream->broken()) {
    co_await event.Wait();
    while (stream->has_input()) {
      const base::Slice slice = stream->TakeInput();
      got->append(slice.view());
    }
  }
  stream->NotifyReadable(nullptr, 0);
}

io::Task<void> EchoBack(io::Stream* stream) {
  io::Event event(stream->loop());
  stream->NotifyReadable(&event, 1);
  while (!stream->ended() && !stream->broken()) {
    co_await event.Wait();
    while (stream->has_input()) {
      stream->Write(stream->TakeInput());
    }
  }
  stream->NotifyReadable(nullptr, 0);
  stream->FinishSend();
}

io::Task<void> CloseOne(io::Stream* stream, base::Deadline deadline) {
  co_await stream->Close(deadline);
}

io::Task<void> DialOne(io::Stream* stream, io::Address address, base::Deadline deadline,
                       absl::Status* status) {
  absl::Status dialled = co_await stream->Dial(address, io::Traffic::kServer, deadline);
  *status = dialled;
}

}  // namespace io_test
