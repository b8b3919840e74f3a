#include "fuzz/pg/frames_property.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/random.h"
#include "pg/frame_reader.h"
#include "pg/trace.h"
#include "pg/views.h"

namespace fuzz {
namespace {

struct Outcome {
  std::string bytes;
  std::string trace;
  std::string error;
  bool mid_frame = false;
  bool operator==(const Outcome&) const = default;
};

void TakeViews(std::string_view body) {
  static_cast<void>(pg::ReadQuery(body));
  static_cast<void>(pg::ReadParse(body));
  static_cast<void>(pg::ReadBind(body));
  static_cast<void>(pg::ReadExecute(body));
  static_cast<void>(pg::ReadTarget(body));
  static_cast<void>(pg::ReadCommandTag(body));
  static_cast<void>(pg::ReadReadyStatus(body));
  static_cast<void>(pg::ReadBackendKey(body));
  static_cast<void>(pg::ReadParameterStatus(body));
  static_cast<void>(pg::ReadAuthentication(body));
  static_cast<void>(pg::ReadSaslMechanisms(body));
  const pg::ErrorView error = pg::ReadError(body);
  CHECK(error.message.size() <= body.size());
}

// Reads one chunk; false when the stream is bad.
bool ReadChunk(pg::FrameReader* reader, pg::Trace* trace, uint32_t held_max, Outcome* outcome) {
  pg::Piece piece;
  for (;;) {
    const pg::ReadResult result = reader->Next(&piece);
    CHECK(reader->memory() <= held_max);
    if (result != pg::ReadResult::kPiece) {
      return result == pg::ReadResult::kMore;
    }
    CHECK(piece.body.size() <= piece.body_length);
    outcome->bytes += piece.bytes;
    trace->Add(piece, &outcome->trace);
    if (piece.whole()) {
      TakeViews(piece.body);
    }
  }
}

// `cut_max` 0: in one chunk.
Outcome Read(pg::Side side, std::string_view stream, uint32_t held_max, base::Prng* prng,
             uint32_t cut_max) {
  pg::FrameReader reader(side, held_max, 16);
  pg::Trace trace(side);
  Outcome outcome;
  while (!stream.empty()) {
    const size_t most = cut_max == 0 ? stream.size() : 1 + prng->Below(cut_max);
    const std::string chunk(stream.substr(0, std::min(most, stream.size())));
    stream.remove_prefix(chunk.size());
    reader.Feed(chunk);
    if (!ReadChunk(&reader, &trace, held_max, &outcome)) {
      break;
    }
  }
  outcome.error = reader.error();
  outcome.mid_frame = reader.mid_frame();
  return outcome;
}

}  // namespace

void CheckFrames(pg::Side side, const uint8_t* data, size_t size) {
  if (size < 4) {
    return;
  }
  const auto* bytes = reinterpret_cast<const char*>(data);
  const uint32_t held_max = 16 + base::LoadBe16(bytes) % 1000;
  base::Prng prng(base::LoadBe32(bytes));
  const std::string_view stream(bytes + 4, size - 4);
  const Outcome whole = Read(side, stream, held_max, &prng, 0);
  CHECK(stream.starts_with(whole.bytes));
  CHECK(!whole.error.empty() || whole.mid_frame || whole.bytes == stream);
  for (const uint32_t cut_max : {1u, 3u, 40u}) {
    CHECK(Read(side, stream, held_max, &prng, cut_max) == whole);
  }
}

}  // namespace fuzz
