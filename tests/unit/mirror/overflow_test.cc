// What open transactions have on the disk: it comes back as it was, within its bounds, and what the
// disk does to it is told.
#include "mirror/overflow.h"

#include <gtest/gtest.h>

#include "base/fault_point.h"
#include "base/random.h"
#include "io/epoll_engine.h"
#include "mirror/gap_ledger.h"
#include "mirror/unit_codec.h"
#include "sql/tables.h"
#include "unit/io/folder.h"

namespace mirror {
namespace {

constexpr int64_t kInFlight = 64 << 10;

Unit Inserts(const std::string& table, int count) {
  Unit unit;
  for (int i = 0; i < count; ++i) {
    Step step;
    step.text = base::Slice::CopyOf("INSERT INTO " + table + " VALUES (" + std::to_string(i) + ")");
    unit.steps.push_back(step);
  }
  unit.bytes = count * 100;
  return unit;
}

std::vector<base::Slice> Data(size_t bytes) {
  return {base::Slice::CopyOf(std::string(bytes, 'd'))};
}

class OverflowTest : public testing::Test {
 protected:
  void SetUp() override {
    config_.spill_dir = folder_.path() + "/spill";
    Open();
  }
  void Open() {
    root_.reset();
    absl::StatusOr<std::unique_ptr<SpillRoot>> root = SpillRoot::Open(config_, {});
    ASSERT_TRUE(root.ok()) << root.status();
    root_ = std::move(*root);
    overflow_ = std::make_unique<Overflow>(&loop_, root_.get(), &in_flight_, 0,
                                           io::Worker::Kind::kInline);
  }
  void TearDown() override {
    stored_.Reset();
    Do(overflow_->Close());
  }
  void Do(io::Task<void> task) {
    io::Scope scope(&loop_);
    scope.Spawn(std::move(task));
    while (scope.running() > 0) {
      loop_.RunOnce(engine_.Now() + absl::Milliseconds(1));
    }
  }
  base::Held<Stored> New() { return overflow_->NewStored(overflow_->NewFile()); }
  absl::StatusOr<std::string> Read(uint32_t record) {
    absl::StatusOr<std::string> bytes = std::string();
    Do(ReadTo(record, &bytes));
    return bytes;
  }
  io::Task<void> ReadTo(uint32_t record, absl::StatusOr<std::string>* to) {
    *to = co_await stored_->file->Read(record);
  }

  io_test::Folder folder_;
  config::Config config_;
  base::Limits limits_;
  io::EpollEngine engine_{64 * 1024};
  io::Loop loop_{&engine_, &limits_, 1};
  base::CreditPool in_flight_{kInFlight, 1};
  std::unique_ptr<SpillRoot> root_;
  std::unique_ptr<Overflow> overflow_;
  base::Held<Stored> stored_;
};

TEST_F(OverflowTest, BringsBackStatementsAndData) {
  stored_ = New();
  EXPECT_EQ(overflow_->Store(stored_.get(), Inserts("t", 3)), Cause::kNone);
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(5000)), Cause::kNone);
  EXPECT_EQ(stored_->records, (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ(stored_->statements, 3u);
  Unit unit;
  absl::Time none;
  ASSERT_EQ(ParseUnit(Read(0).value(), &unit, &none), UnitResult::kGood);
  ASSERT_EQ(unit.steps.size(), 3u);
  EXPECT_EQ(unit.steps[2].text.view(), "INSERT INTO t VALUES (2)");
  EXPECT_EQ(Read(1).value(), std::string(5000, 'd'));
  EXPECT_EQ(stored_->file->Tables(), (std::map<std::string, uint64_t>{{"t", 3}}));
}

TEST_F(OverflowTest, TablesOnTheirWayMayBeAny) {
  stored_ = New();
  EXPECT_EQ(overflow_->Store(stored_.get(), Inserts("t", 3)), Cause::kNone);
  EXPECT_TRUE(Read(0).ok());
  Unit unit;
  unit.steps.emplace_back();
  unit.steps[0].stored = stored_;
  EXPECT_EQ(unit.statements(), 3u);
  EXPECT_EQ(TablesOf(unit), (std::map<std::string, uint64_t>{{"t", 3}}));
  stored_->file.Reset();
  EXPECT_EQ(TablesOf(unit), (std::map<std::string, uint64_t>{{std::string(sql::kAnyTable), 3}}));
}

TEST_F(OverflowTest, FilesHaveNoNamesAndGiveBackTheirShare) {
  stored_ = New();
  const int64_t before = root_->disk()->left();
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(30'000)), Cause::kNone);
  EXPECT_TRUE(Read(0).ok());
  EXPECT_LT(root_->disk()->left(), before);
  EXPECT_EQ(io::ListFolder(config_.spill_dir).value(), std::vector<std::string>{"spill.lock"});
  stored_.Reset();
  Do(overflow_->Close());
  overflow_ = std::make_unique<Overflow>(&loop_, root_.get(), &in_flight_, 1,
                                         io::Worker::Kind::kInline);
  EXPECT_EQ(root_->disk()->left(), before);
}

TEST_F(OverflowTest, TakesNoMoreThanItsShares) {
  stored_ = New();
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(kInFlight + 1)), Cause::kOverBudget);
  EXPECT_FALSE(overflow_->IsFull(true));
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(kInFlight * 7 / 8)), Cause::kNone);
  EXPECT_TRUE(overflow_->IsFull(false));
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(kInFlight / 4)), Cause::kOverBudget);
  EXPECT_TRUE(Read(0).ok());  // then it is written
  EXPECT_FALSE(overflow_->IsFull(true));
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(kInFlight / 4)), Cause::kNone);
  stored_.Reset();
  Do(overflow_->Close());
  config_.limits.spill_max = 20'000;
  overflow_.reset();
  Open();
  stored_ = New();
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(30'000)), Cause::kOverBudget);
}

#if PGBRAID_FAULT_POINTS
TEST_F(OverflowTest, WhatCannotBeWrittenIsTold) {
  base::Prng prng(1);
  stored_ = New();
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(1000)), Cause::kNone);
  ASSERT_TRUE(Read(0).ok());
  base::FaultPoints::Arm("io.file.write.broken", 1, &prng);
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(1000)), Cause::kNone);  // nobody knows yet
  EXPECT_FALSE(Read(1).ok());
  base::FaultPoints::DisarmAll();
  EXPECT_FALSE(stored_->file->failure().ok());
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(1000)), Cause::kSpillLost);
  EXPECT_FALSE(Read(0).ok());
  EXPECT_EQ(overflow_->metrics().failures.value(), 1u);
}

TEST_F(OverflowTest, WhatCannotBeReadIsTold) {
  base::Prng prng(1);
  stored_ = New();
  EXPECT_EQ(overflow_->Store(stored_.get(), Data(1000)), Cause::kNone);
  ASSERT_TRUE(Read(0).ok());
  base::FaultPoints::Arm("io.file.read.broken", 1, &prng);
  EXPECT_FALSE(Read(0).ok());
  base::FaultPoints::DisarmAll();
  EXPECT_FALSE(stored_->file->failure().ok());
}
#endif

}  // namespace
}  // namespace mirror
