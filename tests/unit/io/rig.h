// Rig: an engine and a loop for one test, on the test's own thread, and the sockets around them.
//
// Every test that takes a Kind runs on all engines that this kernel offers. Waiting is always for
// a condition; the guard of 30 s only ends a test that has failed.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "io/engine.h"
#include "io/event.h"
#include "io/loop.h"
#include "io/receive_pool.h"
#include "io/scope.h"
#include "io/stream.h"
#include "io/task.h"

namespace io_test {

enum class Kind : uint8_t { kEpoll, kUring, kUringClassic };
std::ostream& operator<<(std::ostream& out, Kind kind);
std::string NameOf(Kind kind);
std::string ParamName(const testing::TestParamInfo<Kind>& param);
std::vector<Kind> Kinds();

struct Sizes {
  uint32_t ring_entries = 64;
  uint32_t completions = 4096;
  io::ReceiveShape shape;  // count 0: the engine's own
};
std::unique_ptr<io::Engine> MakeEngine(Kind kind, const Sizes& sizes);

class Rig {
 public:
  explicit Rig(Kind kind, const Sizes& sizes = Sizes(), const base::Limits& limits = base::Limits())
      : limits_(limits), engine_(MakeEngine(kind, sizes)), loop_(engine_.get(), &limits_, 1),
        scope_(&loop_) {}

  io::Loop* loop() { return &loop_; }
  io::Engine& engine() { return *engine_; }
  io::Scope& scope() { return scope_; }

  // Turns the loop until `done()`; false if it did not come to that.
  template <typename Done>
  bool Until(Done done) {
    const base::Instant guard = base::Instant::MonotonicNow() + absl::Seconds(30);
    while (!done()) {
      if (base::Instant::MonotonicNow() > guard) {
        return false;
      }
      loop_.RunOnce(base::Instant::MonotonicNow() + absl::Milliseconds(1));
    }
    return true;
  }
  bool Join() {
    return Until([this] { return scope_.running() == 0; });
  }
  // Closes all of them and waits for it.
  bool CloseAll(const std::vector<io::Stream*>& streams);

 private:
  const base::Limits limits_;
  const std::unique_ptr<io::Engine> engine_;
  io::Loop loop_;
  io::Scope scope_;
};

// Two ends of one connection, owned by the test until it gives them away.
struct Ends {
  int ours = -1;
  int theirs = -1;
};
Ends TcpPair();
Ends UnixPair();
void SetBuffers(int descriptor, int send_bytes, int receive_bytes);
// What can be read now without waiting, at most `most` bytes; "" also at the end of the stream.
std::string ReadNow(int descriptor, size_t most);
bool AtEnd(int descriptor);  // the other side's end has come and nothing is left to read
void SendAll(int descriptor, std::string_view bytes);  // fits into the socket's buffer
void ResetConnection(int descriptor);  // closes with a RST
// The same to a descriptor that somebody else will close: it is /dev/null from now on.
void ResetBeneath(int descriptor);

// Bytes that tell where they stand and whose they are.
std::string Pattern(uint64_t owner, size_t from, size_t length);

// -- coroutines that several tests use ------------------------------------------------------------

// Gathers input until the stream ends or breaks.
io::Task<void> ReadAll(io::Stream* stream, std::string* got);
// Writes back what comes until the end of it, then half-closes.
io::Task<void> EchoBack(io::Stream* stream);
io::Task<void> CloseOne(io::Stream* stream, base::Deadline deadline);
io::Task<void> DialOne(io::Stream* stream, io::Address address, base::Deadline deadline,
                       absl::Status* status);

}  // namespace io_test
