// FrameReader: where frames begin and end in a stream of bytes, without copying their bodies.
//
//   reader.Feed(chunk);
//   while ((got = reader.Next(&piece)) == ReadResult::kPiece) { ... }
//
// In one direction of one connection; the owner is the pump of that stream. Three cases only make
// it copy: a header cut by the end of a chunk (at most 4 bytes), a frame that must be seen whole
// and is cut by the end of a chunk (at most frame_held_max bytes, given back when done), nothing
// else. Pieces come in wire order and their `bytes`, concatenated, are exactly what was fed.
//
// What lies where, with a chunk that ends inside a frame:
//
//   chunk   [ frame | frame | hea        [der body | frame ...       [ body, second part | ...
//                             '--------> header_ --> held piece         (kStreaming)
//                                             '---> held_ (whole type): frame, gathered (kHolding)
//
// Errors: an unknown type, a length under 4 or over the type's limit (PostgreSQL's own limits,
// src/backend/tcop/postgres.c SocketBackend and libpq's pqParseInput3) is kBad, for good;
// `error()` says what, in the words of PostgreSQL's message, for a 08P01.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "pg/frame.h"
#include "pg/frame_rules.h"

namespace pg {

enum class ReadResult : uint8_t {
  kPiece,  // *piece is set
  kMore,   // the chunk is used up; what is incomplete is kept
  kBad,    // the stream cannot be understood any more
};

class FrameReader {
 public:
  // `held_max`: frames of "whole" types up to this many bytes (header included) come whole;
  // longer ones in pieces. `first_held`: first size of the memory for a cut one, bytes.
  FrameReader(Side side, uint32_t held_max, uint32_t first_held);

  // `chunk` must stay valid until Next() says kMore, which must have happened for the one before.
  void Feed(std::string_view chunk);
  ReadResult Next(Piece* piece);

  // How much of the chunk last fed has been handed out in pieces that are not held, or taken into
  // the reader's memory.
  size_t consumed() const { return static_cast<size_t>(at_ - begin_); }
  // What is left of the chunk from `last` on, the piece handed out last.
  std::string_view Rest(const Piece& last) const {
    return last.held ? std::string_view(at_, left())
                     : std::string_view(last.bytes.data(), last.bytes.size() + left());
  }
  // From now on that lies in `copy`; `*last` follows.
  void MoveRest(std::string_view copy, Piece* last);

  // True exactly when a frame has begun and not ended (some of its bytes may be kept here).
  bool mid_frame() const { return state_ != State::kBetween && state_ != State::kHandedOut; }
  // True exactly when a frame's first piece was handed out and its last one was not.
  bool mid_pieces() const { return state_ == State::kStreaming; }
  // Bytes of memory held now; 0 for a reader between frames.
  size_t memory() const { return held_capacity_; }
  std::string_view error() const { return error_; }

 private:
  enum class State : uint8_t {
    kBetween,    // the next byte is a type byte
    kHeader,     // 1 to 4 bytes of a header are in header_
    kHolding,    // a whole frame is being gathered in held_; held_count_ bytes are there
    kHandedOut,  // a gathered frame was handed out; its memory goes at the next call
    kStreaming,  // the header was handed out; body_left_ bytes are still to come
    kBad,        // error_ says why; nothing more is read
  };

  ReadResult NextSlow(Piece* piece);
  ReadResult ReadHeader(Piece* piece);
  ReadResult BeginFrame(Piece* piece, uint32_t in_chunk);
  ReadResult Gather(Piece* piece);
  ReadResult Stream(Piece* piece);
  ReadResult Bad(std::string error);
  void MoveTo(State to);
  void Hold(size_t count);
  void ReleaseHeld();
  void AssertInvariants() const;
  size_t left() const { return static_cast<size_t>(end_ - at_); }

  // For life.
  const FrameRule* rules_;
  Side side_;
  uint32_t held_max_;
  uint32_t first_held_;
  // The chunk last fed.
  const char* begin_ = nullptr;
  const char* at_ = nullptr;
  const char* end_ = nullptr;
  // The frame begun.
  State state_ = State::kBetween;
  uint8_t header_count_ = 0;
  char header_[kHeaderBytes] = {};
  uint32_t body_left_ = 0;             // kStreaming
  uint32_t held_count_ = 0;            // kHolding
  uint32_t held_capacity_ = 0;
  std::unique_ptr<char[]> held_;
  std::string error_;
};

// The common case, a frame that lies in the chunk as a whole, is inline: a table look-up, two
// comparisons and no memory.
inline ReadResult FrameReader::Next(Piece* piece) {
  if (state_ == State::kBetween && left() >= kHeaderBytes) {
    const FrameRule& rule = rules_[static_cast<unsigned char>(*at_)];
    const uint32_t length = base::LoadBe32(at_ + 1);
    if (length >= rule.length_min && length <= rule.length_max && length < left()) {
      piece->type = *at_;
      piece->first = true;
      piece->last = true;
      piece->held = false;
      piece->body_length = length - 4;
      piece->bytes = std::string_view(at_, size_t{length} + 1);
      piece->body = std::string_view(at_ + kHeaderBytes, length - 4);
      at_ += size_t{length} + 1;
      return ReadResult::kPiece;
    }
  }
  return NextSlow(piece);
}

}  // namespace pg
