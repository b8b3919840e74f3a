// What a spill is made of: batches, sealed and named; a cursor behind a log that grows; the mark;
// places of what is away.
#include <gtest/gtest.h>

#include "base/status.h"
#include "io/epoll_engine.h"
#include "io/record_log.h"
#include "io/scope.h"
#include "mirror/order.h"
#include "mirror/spill_batch.h"
#include "mirror/spill_cursor.h"
#include "unit/io/folder.h"

namespace mirror {
namespace {

using io_test::Folder;

const absl::Time kNow = absl::FromUnixMillis(1'700'000'000'000);

SpilledUnit Insert(uint64_t lane, const std::string& table) {
  SpilledUnit spilled;
  spilled.lane = lane;
  spilled.committed = kNow;
  Step step;
  step.text = base::Slice::CopyOf("INSERT INTO " + table + " VALUES ('canary')");
  spilled.unit.steps.push_back(step);
  spilled.unit.place.stamp = lane;
  return spilled;
}

std::string Record(const base::Seal& seal, std::string_view context) {
  SpillOwner owner;
  owner.lane = 7;
  owner.session = 70;
  owner.database = "shop";
  owner.parameters = {{"options", "-c a=b"}};
  BatchWriter writer({owner});
  writer.Add(Insert(7, "t"));
  writer.Add(Insert(7, "u"));
  writer.Add(Insert(7, "t"));
  return writer.Seal(seal, context);
}

const base::Seal& TestSeal() {
  static const base::Seal seal(std::string(base::Seal::kKeyBytes, 'k'));
  return seal;
}

TEST(SpillBatch, BringsBackUnitsAndWhoseTheyAre) {
  const std::string record = Record(TestSeal(), "m");
  const absl::StatusOr<std::string> body = OpenBatch(TestSeal(), "m", record);
  ASSERT_TRUE(body.ok());
  std::vector<SpillOwner> owners;
  std::vector<SpilledUnit> units;
  ASSERT_TRUE(ParseBatch(*body, &owners, &units));
  ASSERT_EQ(owners.size(), 1u);
  EXPECT_EQ(owners[0].lane, 7u);
  EXPECT_EQ(owners[0].session, 70u);
  EXPECT_EQ(owners[0].database, "shop");
  EXPECT_EQ(owners[0].parameters[0].second, "-c a=b");
  ASSERT_EQ(units.size(), 3u);
  EXPECT_EQ(units[1].unit.steps[0].text.view(), "INSERT INTO u VALUES ('canary')");
  EXPECT_EQ(units[1].committed, kNow);
}

// Names and numbers stand in the clear, nothing else.
TEST(SpillBatch, NamesItsTablesToWhoeverHasNoKey) {
  const std::string record = Record(TestSeal(), "m");
  EXPECT_EQ(record.find("canary"), std::string::npos);
  EXPECT_EQ(record.find("shop"), std::string::npos);
  SpillSummary summary;
  ASSERT_TRUE(ReadSummary(record, &summary));
  EXPECT_EQ(summary.units, 3u);
  EXPECT_EQ(summary.statements, 3u);
  ASSERT_EQ(summary.tables.size(), 2u);
  EXPECT_EQ(summary.tables["t"].transactions, 2u);
  EXPECT_EQ(summary.first, kNow);
  const std::vector<Gap> gaps = summary.Gaps(Cause::kSpillLost);
  EXPECT_EQ(gaps[0].table, "t");
  EXPECT_EQ(gaps[0].statements, 2u);
}

TEST(SpillBatch, RefusesAnotherKeyAnotherMirrorAndEveryFlippedBit) {
  const std::string record = Record(TestSeal(), "m");
  const base::Seal other(std::string(base::Seal::kKeyBytes, 'o'));
  EXPECT_FALSE(OpenBatch(other, "m", record).ok());
  EXPECT_FALSE(OpenBatch(TestSeal(), "n", record).ok());
  for (size_t bit = 0; bit < record.size() * 8; ++bit) {
    std::string flipped = record;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(OpenBatch(TestSeal(), "m", flipped).ok()) << bit;
  }
  for (size_t length = 0; length < record.size(); ++length) {
    EXPECT_FALSE(OpenBatch(TestSeal(), "m", record.substr(0, length)).ok()) << length;
  }
}

TEST(SpillSummary, WhatWasAddedCanBeTakenAway) {
  SpillSummary all;
  SpillSummary one;
  one.Add(Insert(1, "t").unit, kNow);
  all.Add(one);
  all.Add(Insert(1, "u").unit, kNow);
  all.Subtract(one);
  EXPECT_EQ(all.units, 1u);
  ASSERT_EQ(all.tables.size(), 1u);
  EXPECT_TRUE(all.tables.contains("u"));
}

TEST(SpillSummary, FoldsWhatHasNoRoom) {
  SpillSummary all;
  for (size_t i = 0; i < SpillSummary::kTablesMax + 10; ++i) {
    all.Add(Insert(1, "t" + std::to_string(i)).unit, kNow);
  }
  EXPECT_EQ(all.tables.size(), SpillSummary::kTablesMax + 1);
  EXPECT_EQ(all.tables["*"].transactions, 10u);
}

// -- files ----------------------------------------------------------------------------------------

class SpillCursorTest : public testing::Test {
 protected:
  void Run(io::Task<void> task) {
    scope_.Spawn(std::move(task));
    for (int i = 0; i < 5000 && scope_.running() > 0; ++i) {
      loop_.RunOnce(engine_.Now() + absl::Milliseconds(1));
    }
    ASSERT_EQ(scope_.running(), 0u);
  }
  io::Task<void> Append(std::string text) {
    const absl::StatusOr<uint64_t> sequence = co_await log_->Append(text);
    EXPECT_TRUE(sequence.ok());
  }
  io::Task<void> ReleaseAll() {
    const absl::Status status = co_await log_->ReleaseAll();
    EXPECT_TRUE(status.ok());
  }
  io::Task<void> Close() { co_await log_->Close(); }
  std::string Read(SpillCursor* cursor, uint64_t sequence) {
    const absl::StatusOr<std::string_view> record = cursor->Read(sequence, log_->next_sequence());
    return record.ok() ? std::string(*record) : std::string(base::Message(record.status()));
  }

  Folder folder_;
  io::EpollEngine engine_{64 * 1024};
  base::Limits limits_;
  io::Loop loop_{&engine_, &limits_, 1};
  io::Scope scope_{&loop_};
  std::unique_ptr<io::RecordLog> log_;
};

TEST_F(SpillCursorTest, FollowsALogThatGrowsAndIsEmptied) {
  io::RecordLogOptions options;
  options.segment_bytes = 4096;
  auto opened = io::RecordLog::Open(&loop_, folder_.path() + "/log", options);
  ASSERT_TRUE(opened.ok());
  log_ = *std::move(opened);
  SpillCursor cursor(folder_.path() + "/log");
  for (uint64_t i = 1; i <= 20; ++i) {
    Run(Append("record " + std::to_string(i) + std::string(900, 'x')));
    if (i % 3 == 0) {  // as it grows
      EXPECT_EQ(Read(&cursor, i - 1).substr(0, 7 + std::to_string(i - 1).size()),
                "record " + std::to_string(i - 1));
    }
  }
  for (uint64_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(Read(&cursor, i), "record " + std::to_string(i) + std::string(900, 'x'));
  }
  EXPECT_GT(log_->segments(), 3u);
  Run(ReleaseAll());
  EXPECT_EQ(log_->segments(), 0u);
  cursor.Forget();
  Run(Append("after"));
  EXPECT_EQ(Read(&cursor, 21), "after");
  EXPECT_NE(Read(&cursor, 20).find("no record 20"), std::string::npos);
  Run(Close());
}

TEST_F(SpillCursorTest, SaysWhatIsDamaged) {
  auto opened = io::RecordLog::Open(&loop_, folder_.path() + "/log", io::RecordLogOptions());
  ASSERT_TRUE(opened.ok());
  log_ = *std::move(opened);
  Run(Append("first"));
  Run(Append("second"));
  Run(Close());
  const std::string path = io::SegmentPath(folder_.path() + "/log", 1);
  std::string bytes = io_test::ReadFile(path);
  bytes[bytes.find("first")] = 'F';
  io_test::WriteFile(path, bytes);
  SpillCursor cursor(folder_.path() + "/log");
  EXPECT_NE(Read(&cursor, 1).find("damaged at byte"), std::string::npos);
}

TEST(SpillMark, IsReadAsItWasWrittenOrRefused) {
  const Folder folder;
  EXPECT_EQ(ReadSpillMark(folder.path())->handed, 0u);
  const std::string path = folder.path() + "/" + std::string(kSpillMarkName);
  absl::StatusOr<io::File> file = io::File::OpenForWriting(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(ReadSpillMark(folder.path())->done, 0u);
  ASSERT_TRUE(WriteSpillMark(&*file, SpillMark{.handed = 9, .done = 4}).ok());
  EXPECT_EQ(ReadSpillMark(folder.path())->handed, 9u);
  EXPECT_EQ(ReadSpillMark(folder.path())->done, 4u);
  std::string bytes = io_test::ReadFile(path);
  bytes[0] = 8;
  io_test::WriteFile(path, bytes);
  EXPECT_FALSE(ReadSpillMark(folder.path()).ok());
  io_test::WriteFile(path, bytes.substr(0, 10));
  EXPECT_FALSE(ReadSpillMark(folder.path()).ok());
}

// -- places of what is away -----------------------------------------------------------------------

class NoShard final : public OrderBoard::Shard {
 public:
  void PostLook() override {}
};

TEST(OrderAway, OthersWaitForWhatIsAwayUntilItIsBackAndResolved) {
  OrderBoard board;
  NoShard shard;
  Order order(&board, &shard);
  const Place away{.stamp = 3, .acked = 3, .is_explicit = true};
  const Place here{.stamp = 5, .acked = 5, .is_explicit = false};
  order.Add(away, true);
  order.Add(here);
  EXPECT_TRUE(order.FirstIsAway());
  EXPECT_FALSE(order.Passed(Mark::kAcked, 3));
  EXPECT_FALSE(order.Passed(Mark::kOpen, 4));
  order.Back(away);
  EXPECT_FALSE(order.FirstIsAway());
  EXPECT_FALSE(order.Passed(Mark::kOpen, 4));
  order.Resolve(away, false);
  EXPECT_TRUE(order.Passed(Mark::kOpen, 4));
  order.Resolve(here, false);
}

TEST(OrderAway, WhatIsLostIsWaitedForByNobody) {
  OrderBoard board;
  NoShard shard;
  Order order(&board, &shard);
  const Place here{.stamp = 2, .acked = 2, .is_explicit = false};
  order.Add(here);
  order.Add(Place{.stamp = 3, .acked = 3, .is_explicit = true}, true);
  order.Add(Place{.stamp = 4, .acked = 4, .is_explicit = false}, true);
  order.LoseAway();
  EXPECT_FALSE(order.Passed(Mark::kOpen, 4));  // for what is here
  order.Resolve(here, false);
  for (const Mark mark : {Mark::kAcked, Mark::kRun, Mark::kExplicit, Mark::kOpen}) {
    EXPECT_TRUE(order.Passed(mark, 9));
  }
}

}  // namespace
}  // namespace mirror
