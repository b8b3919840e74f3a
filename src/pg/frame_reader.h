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
// Errors: an unknown type, a length under 4 or over the type's limit (PostgreSQL's own limits,
// src/backend/tcop/postgres.c SocketBackend and libpq's pqParseInput3) is kBad, for good;
// `error()` says what, in the words of PostgreSQL's message, for a 08P01.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "pg/frame.h"

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
  size_t consumed() const;
  // True exactly when a frame has begun and not ended (some of its bytes may be kept here).
  bool mid_frame() const;
  // Bytes of memory held now; 0 for a reader between frames.
  size_t memory() const;
  std::string_view error() const;
