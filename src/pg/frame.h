// Frame and Piece: one protocol message, and the part of one that a reader has in hand.
//
// A frame is a type byte, a length (of itself and the body, big-endian) and a body. Frames that
// the proxy must see whole (a Query, a ReadyForQuery) come as one Piece; long ones and row data
// come as pieces, as their bytes arrive, so that nothing is ever allocated from a declared length.
#pragma once

#include <cstdint>
#include <string_view>

namespace pg {

inline constexpr uint32_t kHeaderBytes = 5;  // type and length

// Which side sent the frame: type bytes mean different things in each direction.
enum class Side : uint8_t { kFrontend, kBackend };

struct Piece {
  char type = 0;             // 'Q', 'Z', ...
  bool first = false;        // true exactly when `bytes` starts with the header
  bool last = false;         // true exactly when `bytes` ends the frame
  bool held = false;         // true exactly when `bytes` lies in the reader's memory, not in the
                             // chunk last fed: valid until the next call of Next()
  uint32_t body_length = 0;  // of the whole frame: declared length - 4
  std::string_view bytes;    // the wire bytes of this piece, header included if first
  std::string_view body;     // those of `bytes` behind the header
  bool whole() const { return first && last; }
};

}  // namespace pg
