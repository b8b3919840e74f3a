// ReceivePool and BufferRing: every chunk is at one place at a time, whatever the order in which
// slices go.
#include "io/buffer_ring.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <vector>

#include "base/random.h"
#include "io/uring_probe.h"
#include "io/uring_ring.h"
#include "unit/io/rig.h"

namespace io_test {
namespace {

TEST(ReceivePoolTest, HandsOutTheLastChunkThatCameBack) {
  io::ReceivePool pool(3, 4096);
  base::Block* const first = pool.Take();
  base::Block* const second = pool.Take();
  EXPECT_NE(first, second);
  EXPECT_TRUE(first->lent);
  pool.LetGo(first);
  EXPECT_EQ(pool.Take(), first);
  base::Block* const third = pool.Take();
  EXPECT_EQ(pool.Take(), nullptr);
  EXPECT_EQ(pool.free_count(), 0u);
  for (base::Block* chunk : {first, second, third}) {
    pool.LetGo(chunk);
  }
  EXPECT_EQ(pool.free_count(), 3u);
}

TEST(ReceivePoolTest, ChunkComesBackWithItsLastSlice) {
  io::ReceivePool pool(1, 4096);
  base::Block* const chunk = pool.Take();
  base::Slice one(chunk, 0, 10);
  base::Slice two = one.Sub(2, 4);
  pool.LetGo(chunk);
  one.Reset();
  EXPECT_EQ(pool.free_count(), 0u);
  two.Reset();
  EXPECT_EQ(pool.free_count(), 1u);
}

TEST(ReceiveShapeTest, ChunksFollowTheBufferSizeButStayUsable) {
  for (const bool incremental : {true, false}) {
    const io::ReceiveShape shape = io::ServerShape(256 * 1024, incremental);
    EXPECT_EQ(shape.chunk_bytes * shape.posted, 256u * 1024) << "what one round may bring";
  }
  EXPECT_EQ(io::ClientShape(1, false).chunk_bytes, 4096u);
  for (const bool incremental : {true, false}) {
    EXPECT_GT(io::ClientShape(65'536, incremental).count,
              io::ClientShape(65'536, incremental).posted);
  }
}

class BufferRingTest : public testing::TestWithParam<Kind> {};

std::vector<Kind> RingKinds() {
  std::vector<Kind> kinds = Kinds();
  std::erase(kinds, Kind::kEpoll);
  return kinds;
}
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BufferRingTest);
INSTANTIATE_TEST_SUITE_P(Rings, BufferRingTest, testing::ValuesIn(RingKinds()), ParamName);

// Every reference of every chunk is the kernel's (posted) or a slice's; a free one has none.
void ExpectAccounts(io::BufferRing& ring, const std::vector<base::Slice>& held) {
  std::map<const base::Block*, uint32_t> by_slices;
  for (const base::Slice& slice : held) {
    ++by_slices[slice.block()];
  }
  uint32_t unreferenced = 0;
  uint32_t posted = 0;
  for (uint32_t i = 0; i < ring.pool().count(); ++i) {
    const base::Block* chunk = ring.pool().chunk(i);
    const uint32_t slices = by_slices.contains(chunk) ? by_slices[chunk] : 0;
    ASSERT_GE(chunk->references, slices);
    ASSERT_LE(chunk->references - slices, 1u);
    posted += chunk->references - slices;
    unreferenced += chunk->references == 0 ? 1 : 0;
  }
  ASSERT_EQ(posted, ring.posted());
  ASSERT_EQ(unreferenced, ring.pool().free_count());
}

TEST_P(BufferRingTest, EveryChunkIsPostedReferencedOrFree) {
  absl::StatusOr<io::UringRing> ring = io::UringRing::Create(64, false);
  ASSERT_TRUE(ring.ok());
  const bool incremental = GetParam() == Kind::kUring;
  base::Prng prng(23);
  const Ends ends = UnixPair();
  {
    io::BufferRing buffers(ring->get(), 3, io::ReceiveShape{4096, 8, 4}, incremental);
    ASSERT_EQ(buffers.Register(), 0);
    std::vector<base::Slice> held;
    std::string sent;
    std::string got;
    bool armed = false;
    for (int step = 0; step < 3000; ++step) {
      if (buffers.TopUp() && !armed) {
        io_uring_sqe* entry = ring->Entry();
        io_uring_prep_recv_multishot(entry, ends.ours, nullptr, 0, 0);
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = buffers.group();
        armed = true;
      }
      const std::string part = Pattern(1, sent.size(), 1 + prng.Below(prng.OneIn(5) ? 6000 : 90));
      if (prng.OneIn(2) && send(ends.theirs, part.data(), part.size(), MSG_DONTWAIT) ==
                               static_cast<ssize_t>(part.size())) {
        sent += part;
      }
      ASSERT_EQ(ring->Enter(base::Instant(), base::Instant()), 0);
      ring->Reap([&](const io_uring_cqe& completion) {
        armed = (completion.flags & IORING_CQE_F_MORE) != 0;
        if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
          held.push_back(buffers.Received(completion, static_cast<uint32_t>(completion.res)));
          got += held.back().view();
        }
      });
      ExpectAccounts(buffers, held);
      while (!held.empty() && prng.OneIn(2)) {
        const size_t which = prng.Below(held.size());
        held[which] = std::move(held.back());
        held.pop_back();
        ExpectAccounts(buffers, held);
      }
    }
    EXPECT_GT(got.size(), 100'000u);
    EXPECT_EQ(got, sent.substr(0, got.size()));
    held.clear();
    shutdown(ends.ours, SHUT_RDWR);
    while (armed) {
      ASSERT_EQ(ring->Enter(base::Instant(), base::Instant::Never()), 0);
      ring->Reap([&](const io_uring_cqe& completion) {
        armed = (completion.flags & IORING_CQE_F_MORE) != 0;
        if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
          buffers.Received(completion, static_cast<uint32_t>(std::max(completion.res, 0)));
        }
      });
    }
  }
  close(ends.ours);
  close(ends.theirs);
}

}  // namespace
}  // namespace io_test
