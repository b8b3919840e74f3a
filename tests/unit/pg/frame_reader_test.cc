#include "pg/frame_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"

namespace pg {
namespace {

constexpr uint32_t kHeldMax = 64 * 1024;
constexpr uint32_t kFirstHeld = 64;

std::string Frame(char type, std::string_view body) {
  std::string frame(1, type);
  base::AppendBe32(&frame, static_cast<uint32_t>(body.size() + 4));
  frame += body;
  return frame;
}

std::string Header(int type, uint32_t length) {
  std::string header(1, static_cast<char>(type));
  base::AppendBe32(&header, length);
  return header;
}

// What came out of a stream, put together again, without where it was cut.
struct Seen {
  std::string bytes;
  std::vector<std::string> frames;
  std::string error;
  bool mid_frame = false;
  size_t memory_max = 0;
  bool operator==(const Seen& other) const {
    return bytes == other.bytes && frames == other.frames && error == other.error &&
           mid_frame == other.mid_frame;
  }
};

// Feeds a reader and checks of each piece what must hold for any stream.
class Stream {
 public:
  // `moves`: after every piece the rest of the chunk lies elsewhere.
  explicit Stream(Side side, uint32_t held_max = kHeldMax, bool moves = false)
      : side_(side), held_max_(held_max), moves_(moves), reader_(side, held_max, kFirstHeld) {}

  ReadResult Feed(std::string_view chunk) {
    reader_.Feed(chunk);
    Piece piece;
    for (;;) {
      const ReadResult result = reader_.Next(&piece);
      seen_.memory_max = std::max(seen_.memory_max, reader_.memory());
      if (result == ReadResult::kPiece) {
        if (moves_) {
          chunk = MoveRest(&piece);
        }
        Take(piece, chunk);
        continue;
      }
      if (result == ReadResult::kMore) {
        EXPECT_EQ(reader_.consumed(), chunk.size());
      }
      seen_.error = reader_.error();
      seen_.mid_frame = reader_.mid_frame();
      return result;
    }
  }
  const Seen& seen() const { return seen_; }
  const FrameReader& reader() const { return reader_; }

 private:
  std::string_view MoveRest(Piece* piece) {
    std::vector<char> rest(reader_.Rest(*piece).begin(), reader_.Rest(*piece).end());
    const std::string_view moved(rest.data(), rest.size());
    reader_.MoveRest(moved, piece);
    rest_ = std::move(rest);
    return moved;
  }

  void Take(const Piece& piece, std::string_view chunk) {
    const bool in_chunk = piece.bytes.data() >= chunk.data() &&
                          piece.bytes.data() + piece.bytes.size() <= chunk.data() + chunk.size();
    EXPECT_EQ(in_chunk, !piece.held);
    EXPECT_EQ(piece.bytes.size(), piece.body.size() + (piece.first ? kHeaderBytes : 0));
    EXPECT_TRUE(piece.bytes.ends_with(piece.body));
    EXPECT_EQ(piece.first, !open_);
    if (piece.first) {
      seen_.frames.emplace_back();
    }
    seen_.frames.back() += piece.bytes;
    seen_.bytes += piece.bytes;
    open_ = !piece.last;
    EXPECT_EQ(seen_.frames.back()[0], piece.type);
    if (piece.last) {
      EXPECT_EQ(seen_.frames.back().size(), piece.body_length + kHeaderBytes);
    }
    const uint64_t total = uint64_t{piece.body_length} + kHeaderBytes;
    if (RulesOf(side_)[static_cast<unsigned char>(piece.type)].whole && total <= held_max_) {
      EXPECT_TRUE(piece.whole());
    }
  }

  const Side side_;
  const uint32_t held_max_;
  const bool moves_;
  FrameReader reader_;
  std::vector<char> rest_;
  bool open_ = false;
  Seen seen_;
};

Seen ReadIn(Side side, std::string_view bytes, size_t chunk_bytes, uint32_t held_max = kHeldMax,
            bool moves = false) {
  Stream stream(side, held_max, moves);
  while (!bytes.empty()) {
    // A copy of its own, so that a sanitizer sees a look behind the chunk.
    const std::string chunk(bytes.substr(0, chunk_bytes));
    bytes.remove_prefix(chunk.size());
    if (stream.Feed(chunk) == ReadResult::kBad) {
      break;
    }
  }
  return stream.seen();
}

std::string Conversation() {
  return Frame('Q', std::string("select 1\0", 9)) + Frame('S', "") + Frame('d', "row\n") +
         Frame('d', "") + Frame('P', std::string(300, 'x')) + Frame('H', "") +
         Frame('Q', std::string(200, 'q')) + Frame('X', "");
}

TEST(FrameReader, FramesOfOneChunkComeAsViewsOfIt) {
  const std::string bytes = Conversation();
  Stream stream(Side::kFrontend);
  EXPECT_EQ(stream.Feed(bytes), ReadResult::kMore);
  EXPECT_EQ(stream.seen().bytes, bytes);
  EXPECT_EQ(stream.seen().frames.size(), 8u);
  EXPECT_EQ(stream.seen().memory_max, 0u);
  EXPECT_FALSE(stream.reader().mid_frame());
}

TEST(FrameReader, AHeldFrameKeepsItsMemoryUntilTheNextCall) {
  FrameReader reader(Side::kFrontend, kHeldMax, kFirstHeld);
  const std::string frame = Frame('Q', std::string(99, 'q'));
  Piece piece;
  reader.Feed(std::string_view(frame).substr(0, 50));
  EXPECT_EQ(reader.Next(&piece), ReadResult::kMore);
  EXPECT_TRUE(reader.mid_frame());
  EXPECT_EQ(reader.memory(), 64u);
  reader.Feed(std::string_view(frame).substr(50));
  ASSERT_EQ(reader.Next(&piece), ReadResult::kPiece);
  EXPECT_TRUE(piece.held);
  EXPECT_EQ(piece.bytes, frame);
  EXPECT_FALSE(reader.mid_frame());
  EXPECT_EQ(reader.memory(), 128u);
  EXPECT_EQ(reader.Next(&piece), ReadResult::kMore);
  EXPECT_EQ(reader.memory(), 0u);
}

TEST(FrameReader, AWholeFrameOverTheBoundComesInPieces) {
  const std::string bytes = Frame('Q', std::string(2000, 'q')) + Frame('S', "");
  const Seen seen = ReadIn(Side::kFrontend, bytes, 100, 1000);
  EXPECT_EQ(seen.bytes, bytes);
  EXPECT_EQ(seen.memory_max, 0u);
  const Seen held = ReadIn(Side::kFrontend, Frame('Q', std::string(995, 'q')), 100, 1000);
  EXPECT_EQ(held.memory_max, 1000u);
}

// The declared length says nothing about memory: it grows with what has arrived.
TEST(FrameReader, MemoryFollowsTheBytesThatArrived) {
  Stream stream(Side::kFrontend);
  const std::string begin = Header('Q', kHeldMax - 1) + std::string(10, 'q');
  EXPECT_EQ(stream.Feed(begin), ReadResult::kMore);
  EXPECT_EQ(stream.reader().memory(), kFirstHeld);
}

TEST(FrameReader, AnErrorIsForGood) {
  Stream stream(Side::kFrontend);
  EXPECT_EQ(stream.Feed("S"), ReadResult::kMore);
  EXPECT_EQ(stream.Feed(std::string("\0\0\0\3", 4)), ReadResult::kBad);
  EXPECT_EQ(stream.Feed(Frame('S', "")), ReadResult::kBad);
  EXPECT_EQ(stream.seen().error, "invalid message length 3 of message type \"S\"");
  EXPECT_EQ(stream.seen().bytes, "");
}

TEST(FrameReader, AnUnknownTypeIsBadBeforeItsLengthIsThere) {
  Stream frontend(Side::kFrontend);
  EXPECT_EQ(frontend.Feed("m"), ReadResult::kBad);
  EXPECT_EQ(frontend.seen().error, "invalid frontend message type 109");
  Stream backend(Side::kBackend);
  EXPECT_EQ(backend.Feed("Q"), ReadResult::kBad);
  EXPECT_EQ(backend.seen().error, "invalid backend message type 0x51");
}

// The limits of PostgreSQL, written down a second time from its sources and manual.
struct Expected {
  uint32_t least = 0;
  uint32_t most = 0;
};

Expected ExpectedOf(Side side, int type) {
  const auto in = [type](std::string_view types) {
    return type != 0 && types.find(static_cast<char>(type)) != std::string_view::npos;
  };
  if (side == Side::kFrontend) {
    if (in("QPBFd")) return {4, 0x3ffffffe};
    if (in("CDEHSXcf")) return {4, 10'000};
    if (in("p")) return {4, 65'535};
    return {};
  }
  if (in("123Insc")) return {4, 4};
  if (in("Z")) return {5, 5};
  if (in("K")) return {12, 264};
  if (in("R")) return {8, 65'535};
  if (in("t")) return {6, 262'146};
  if (in("d")) return {4, 0x3ffffffe};
  if (in("DT")) return {6, 0x3ffffffe};
  if (in("EN")) return {5, 0x3ffffffe};
  if (in("V")) return {8, 0x3ffffffe};
  if (in("A")) return {10, 0x3ffffffe};
  if (in("C")) return {5, 30'000};
  if (in("S")) return {6, 30'000};
  if (in("GHW")) return {7, 30'000};
  if (in("v")) return {12, 30'000};
  return {};
}

TEST(FrameReader, D1_EveryTypeAndLength) {
  for (const Side side : {Side::kFrontend, Side::kBackend}) {
    for (int type = 0; type < 256; ++type) {
      const Expected expected = ExpectedOf(side, type);
      for (const uint32_t length :
           {0u, 3u, 4u, 5u, expected.least, expected.most, expected.most + 1, 0x7fffffffu,
            0x80000000u, 0xffffffffu}) {
        SCOPED_TRACE(testing::Message() << "side " << static_cast<int>(side) << " type " << type
                                        << " length " << length);
        const bool good = expected.most > 0 && length >= expected.least && length <= expected.most;
        Stream stream(side);
        const std::string header = Header(type, length);
        const ReadResult whole = stream.Feed(header);
        EXPECT_EQ(whole, good ? ReadResult::kMore : ReadResult::kBad);
        EXPECT_EQ(stream.seen().error.empty(), good);
        EXPECT_LE(stream.seen().memory_max, kFirstHeld);
        EXPECT_EQ(ReadIn(side, header, 1), stream.seen());
      }
    }
  }
}

TEST(FrameReader, D6_HeaderSplitAtEveryOffset) {
  const std::string bytes = Conversation();
  const Seen whole = ReadIn(Side::kFrontend, bytes, bytes.size());
  ASSERT_EQ(whole.bytes, bytes);
  for (size_t first = 0; first <= bytes.size(); ++first) {
    Stream stream(Side::kFrontend);
    const std::string head = bytes.substr(0, first);
    const std::string tail = bytes.substr(first);
    EXPECT_EQ(stream.Feed(head), ReadResult::kMore);
    EXPECT_EQ(stream.Feed(tail), ReadResult::kMore);
    EXPECT_EQ(stream.seen(), whole) << "split at " << first;
  }
}

TEST(FrameReader, D6_OneMessageOverManyBuffers) {
  const std::string bytes =
      Frame('Q', std::string(6400, 'q')) + Frame('d', std::string(6400, 'd')) + Frame('S', "");
  const Seen whole = ReadIn(Side::kFrontend, bytes, bytes.size());
  for (size_t buffers = 1; buffers <= 64; ++buffers) {
    EXPECT_EQ(ReadIn(Side::kFrontend, bytes, 6400 / buffers), whole) << buffers << " buffers";
  }
}

TEST(FrameReader, D6_TenThousandMessagesInOneSegment) {
  std::string bytes;
  for (int i = 0; i < 10'000; ++i) {
    bytes += Frame(i % 2 == 0 ? 'D' : 'C', i % 2 == 0 ? std::string(20, 'v') : "SELECT 1");
  }
  const Seen whole = ReadIn(Side::kBackend, bytes, bytes.size());
  EXPECT_EQ(whole.frames.size(), 10'000u);
  EXPECT_EQ(whole.memory_max, 0u);
  EXPECT_EQ(ReadIn(Side::kBackend, bytes, 7), whole);
}

TEST(FrameReader, D6_RandomSplitsOfRandomStreamsGiveTheSame) {
  base::Prng prng(20'231);
  for (int round = 0; round < 500; ++round) {
    std::string bytes;
    for (int i = 0; i < 20; ++i) {
      constexpr std::string_view kTypes = "QPBdDdSHpTCE";
      bytes += Frame(kTypes[prng.Below(kTypes.size())], std::string(prng.Below(300), 'b'));
    }
    const Side side = prng.OneIn(2) ? Side::kFrontend : Side::kBackend;
    const uint32_t held_max = static_cast<uint32_t>(5 + prng.Below(300));
    const Seen whole = ReadIn(side, bytes, bytes.size(), held_max);
    EXPECT_EQ(ReadIn(side, bytes, 1 + prng.Below(64), held_max), whole) << "round " << round;
    EXPECT_EQ(ReadIn(side, bytes, 1 + prng.Below(2000), held_max, true), whole)
        << "moved, round " << round;
  }
}

TEST(FrameReader, D8_AMegabyteOfNameIsStreamedNotHeld) {
  const std::string bytes = Frame('P', std::string(1 << 20, 'n'));
  const Seen seen = ReadIn(Side::kFrontend, bytes, 4096);
  EXPECT_EQ(seen.bytes, bytes);
  EXPECT_LE(seen.memory_max, kHeldMax);
  // Describe, Execute and Close are short messages for the server, so for us.
  EXPECT_EQ(ReadIn(Side::kFrontend, Header('D', (1 << 20) + 6), 5).error,
            "invalid message length 1048582 of message type \"D\"");
}

}  // namespace
}  // namespace pg
