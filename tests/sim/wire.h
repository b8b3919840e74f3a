// Wire: a stream as the simulated peers use it: bytes gathered until a packet or frame is complete.
//
// For tests: what is gathered has no bound.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "io/event.h"
#include "io/stream.h"
#include "io/task.h"

namespace sim {

struct Frame {
  char type = 0;
  std::string body;
};

class Wire {
 public:
  explicit Wire(io::Loop* loop) : stream(loop), event(loop) {}

  // Until more bytes came; false at the end, the break or the deadline.
  io::Task<bool> More(base::Deadline deadline) {
    stream.NotifyReadable(&event, 1);
    bool more = false;
    bool late = false;
    while (!more && !late && !stream.broken() && (stream.has_input() || !stream.ended())) {
      if (!stream.has_input()) {
        const uint32_t bits = co_await event.Wait(deadline);
        late = (bits & io::Event::kTimeout) != 0;
      }
      while (stream.has_input()) {
        const base::Slice slice = stream.TakeInput();
        bytes += slice.view();
        more = true;
      }
    }
    stream.NotifyReadable(nullptr, 0);
    co_return more;
  }

  // A start-up packet without its length; false if there will be none.
  io::Task<bool> NextPacket(std::string* packet, base::Deadline deadline) {
    while (bytes.size() < 4 || bytes.size() < base::LoadBe32(bytes.data())) {
      const bool more = co_await More(deadline);
      if (!more) {
        co_return false;
      }
    }
    const uint32_t length = base::LoadBe32(bytes.data());
    *packet = bytes.substr(4, length - 4);
    bytes.erase(0, length);
    co_return true;
  }

  bool TakeFrame(Frame* frame) {
    if (bytes.size() < 5) {
      return false;
    }
    const uint32_t length = base::LoadBe32(bytes.data() + 1);
    if (bytes.size() < size_t{length} + 1) {
      return false;
    }
    frame->type = bytes[0];
    frame->body = bytes.substr(5, length - 4);
    bytes.erase(0, size_t{length} + 1);
    return true;
  }
  io::Task<bool> NextFrame(Frame* frame, base::Deadline deadline) {
    for (;;) {
      if (TakeFrame(frame)) {
        co_return true;
      }
      const bool more = co_await More(deadline);
      if (!more) {
        co_return false;
      }
    }
  }

  io::Stream stream;
  io::Event event;
  std::string bytes;
};

// The text up to the NUL at `*at`, which moves behind it.
inline std::string TakeText(std::string_view body, size_t* at) {
  const size_t end = std::min(body.find('\0', *at), body.size());
  const std::string text(body.substr(*at, end - *at));
  *at = end + 1;
  return text;
}

}  // namespace sim
