// Conversation: the bytes of both directions of a connection, step by step, and how they look to
// the proxy's readers when they arrive whole, byte by byte, or cut in two at any offset.
//
// A value, built by a test from the builders. Reading checks that the pieces of each direction,
// one after the other, are exactly the bytes sent.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "pg/frame.h"

namespace protocol {

// Turns bytes of one step into the chunks in which they arrive.
struct Cut {
  size_t step = SIZE_MAX;   // the step that is cut at `offset`; none: SIZE_MAX
  size_t offset = 0;
  bool every_byte = false;  // all steps, byte by byte
};

class Conversation {
 public:
  // A start-up packet, without a type byte.
  Conversation& Startup(std::string bytes) { return Add(Kind::kStartup, std::move(bytes)); }
  // The server's one-byte answer to the SSLRequest or GSSENCRequest before.
  Conversation& Answer(char answer) { return Add(Kind::kAnswer, std::string(1, answer)); }
  Conversation& Client(std::string frames) { return Add(Kind::kClient, std::move(frames)); }
  Conversation& Server(std::string frames) { return Add(Kind::kServer, std::move(frames)); }

  size_t steps() const { return steps_.size(); }
  size_t bytes(size_t step) const { return steps_[step].bytes.size(); }
  // The trace of the conversation; what went wrong in reading is a line that begins with '!'.
  std::string Read(const Cut& cut) const;

 private:
  enum class Kind : uint8_t { kStartup, kAnswer, kClient, kServer };
  struct Step {
    Kind kind;
    std::string bytes;
  };
  Conversation& Add(Kind kind, std::string bytes);
  static std::vector<std::string> ChunksOf(const Step& step, size_t index, const Cut& cut);

  std::vector<Step> steps_;
};

}  // namespace protocol
