// Handling buffers: what a received slice costs until its chunk is free again.
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "base/slice.h"
#include "io/receive_pool.h"

namespace {

constexpr uint32_t kChunk = 64 * 1024;

// A chunk of the pool is cut into received ranges, each forwarded as one more slice.
void ReceiveAndForward(benchmark::State& state) {
  const auto received = static_cast<uint32_t>(state.range(0));
  io::ReceivePool pool(32, kChunk);
  for (auto _ : state) {
    base::Block* chunk = pool.Take();
    for (uint32_t at = 0; at + received <= kChunk; at += received) {
      const base::Slice whole(chunk, at, received);
      base::Slice part = whole.Sub(0, received);
      benchmark::DoNotOptimize(part);
    }
    pool.LetGo(chunk);
  }
  state.SetItemsProcessed(state.iterations() * (kChunk / received));
}
BENCHMARK(ReceiveAndForward)->Arg(128)->Arg(4096);

// What a slow peer costs: the bytes move to memory of the stream's own.
void CopyOut(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    base::Slice copy = base::Slice::CopyOf(bytes);
    benchmark::DoNotOptimize(copy);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(CopyOut)->Arg(128)->Arg(4096)->Arg(65536);

}  // namespace

BENCHMARK_MAIN();
