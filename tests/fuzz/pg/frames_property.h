// What must hold for any bytes that a frame reader gets, in either direction.
//
// Pure; aborts by CHECK when it does not hold, for the fuzz targets of both sides.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pg/frame.h"

namespace fuzz {

// The first four bytes choose the bounds and the cuts, the others are the stream. Pieces, one
// after the other, are the stream; cuts change nothing; memory stays within its bound; a body is
// never read behind its end, whatever view is taken of it.
void CheckFrames(pg::Side side, const uint8_t* data, size_t size);

}  // namespace fuzz
