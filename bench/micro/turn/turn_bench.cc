// What one turn costs in turn::Machine alone: the frames are made beforehand, so that this is the
// ledger's part of a turn and nothing else. Aim: at most 60 ns per turn.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "turn/machine.h"

namespace {

std::vector<pg::Piece> Frames(std::string_view types) {
  std::vector<pg::Piece> frames;
  for (const char type : types) {
    pg::Piece piece;
    piece.type = type;
    piece.first = piece.last = true;
    if (type == 'Z') {
      piece.body = "I";
      piece.body_length = 1;
    }
    frames.push_back(piece);
  }
  return frames;
}

void Turns(benchmark::State& state, std::string_view request, std::string_view reply) {
  turn::Machine machine(1000, 7);
  machine.OnReply(Frames("Z")[0]);
  const std::vector<pg::Piece> requests = Frames(request);
  const std::vector<pg::Piece> replies = Frames(reply);
  for (auto _ : state) {
    for (const pg::Piece& piece : requests) benchmark::DoNotOptimize(machine.OnRequest(piece, 7));
    for (const pg::Piece& piece : replies) {
      benchmark::DoNotOptimize(machine.OnReply(piece).kind);
    }
  }
  if (!machine.poolable()) state.SkipWithError("the turns did not come out even");
}

BENCHMARK_CAPTURE(Turns, simple, "Q", "TDCZ");
BENCHMARK_CAPTURE(Turns, extended, "PBDES", "12TDCZ");
BENCHMARK_CAPTURE(Turns, rows_1000, "Q", [] {
  static const std::string reply = "T" + std::string(1000, 'D') + "CZ";
  return std::string_view(reply);
}());
BENCHMARK_CAPTURE(Turns, pipeline_of_64, [] {
  static const std::string request(64, 'Q');
  return std::string_view(request);
}(), [] {
  static const std::string reply = [] {
    std::string replies;
    for (int i = 0; i < 64; ++i) replies += "TDCZ";
    return replies;
  }();
  return std::string_view(reply);
}());

}  // namespace

BENCHMARK_MAIN();
