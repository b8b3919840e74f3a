// Repeat: the client's own frames of the turn under way, for as long as the turn may have to be
// repeated: a server found that a shared statement's result type has changed, and ran nothing.
//
// In Pooled, so that there are as many as server connections and not as clients. A turn is kept
// from the first use of a shared statement on, outside of transactions, and only while nothing that
// runs stands before that use. Pure: frames in, an answer out. Bound: kBytesMax; a turn that is
// longer is not repeated.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pg/frame.h"
#include "turn/machine.h"

namespace backend {

class Repeat {
 public:
  static constexpr size_t kBytesMax = 16 * 1024;

  // Everything so far was answered. `idle`: and no transaction is open.
  void Begin(bool idle);
  // What comes until then cannot be repeated.
  void Close() { state_ = State::kClosed; }
  // True exactly if OnFrame() is to be told of the client's frames.
  bool open() const { return state_ != State::kClosed; }
  // A frame of the client was forwarded as `request`, or answered. `shared`: it names a statement
  // of a StatementTable. `told`: the client may know that statement's rows from an earlier turn.
  void OnFrame(const pg::Piece& piece, turn::RequestId request, bool shared, bool told);
  // The frames from `request` on, which has failed and run nothing; "" if they are not to be
  // repeated: something ran before it, or the client would not learn what its new rows look like.
  std::string_view From(turn::RequestId request) const;

 private:
  enum class State : uint8_t {
    kClosed,
    kNothing,  // so far nothing was worth keeping, and nothing ran
    kKeeping,
    kEnded,  // to the Sync
  };
  struct Frame {
    turn::RequestId request = 0;
    uint32_t at = 0;  // in bytes_
    char type = 0;
    bool shared = false;
    bool told = false;
  };
  void Keep(const pg::Piece& piece, turn::RequestId request, bool shared, bool told);
  bool TellsRows(size_t from) const;

  State state_ = State::kNothing;
  std::string bytes_;
  std::vector<Frame> frames_;
};

}  // namespace backend
