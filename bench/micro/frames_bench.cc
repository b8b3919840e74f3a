// Reading frames: what FrameReader costs per frame, for the chunks that occur.
#include <benchmark/benchmark.h>

#include <string>

#include "pg/builders.h"
#include "pg/frame_reader.h"

namespace {

constexpr uint32_t kHeldMax = 64 * 1024;
constexpr uint32_t kFirstHeld = 8192;
constexpr int kTurns = 64;

std::string DataRow(size_t bytes) {
  std::string row;
  static_cast<void>(pg::AppendCopyData(&row, std::string(bytes, 'x')));
  row[0] = 'D';
  return row;
}

// What a server answers to a small SELECT, many times over.
std::string Answers() {
  std::string one = DataRow(40);
  pg::AppendReadyForQuery(&one, 'I');
  std::string all;
  for (int i = 0; i < kTurns; ++i) {
    all += one;
  }
  return all;
}

void Read(benchmark::State& state, const std::string& stream, size_t chunk) {
  pg::FrameReader reader(pg::Side::kBackend, kHeldMax, kFirstHeld);
  int64_t frames = 0;
  for (auto _ : state) {
    for (size_t at = 0; at < stream.size(); at += chunk) {
      reader.Feed(std::string_view(stream).substr(at, chunk));
      pg::Piece piece;
      while (reader.Next(&piece) == pg::ReadResult::kPiece) {
        benchmark::DoNotOptimize(piece);
        frames += piece.last ? 1 : 0;
      }
    }
  }
  state.SetItemsProcessed(frames);
}

void SmallFramesInOneChunk(benchmark::State& state) {
  const std::string stream = Answers();
  Read(state, stream, stream.size());
}
BENCHMARK(SmallFramesInOneChunk);

// Each frame of 46 bytes or 6 is cut somewhere.
void SmallFramesCutEverywhere(benchmark::State& state) { Read(state, Answers(), 17); }
BENCHMARK(SmallFramesCutEverywhere);

void LongRowsInReceivedChunks(benchmark::State& state) { Read(state, DataRow(1 << 20), 65536); }
BENCHMARK(LongRowsInReceivedChunks);

}  // namespace

BENCHMARK_MAIN();
