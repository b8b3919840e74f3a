// Units of captures on real files, read once for a plan and then again as the plan needs them.
#include "command/capture_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "command/capture_reader.h"
#include "command/replay_plan.h"
#include "unit/io/record_log_rig.h"

namespace command {
namespace {

using io_test::Folder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string TextOf(uint64_t acked) { return "INSERT INTO t VALUES " + std::to_string(acked); }

// A unit whose statement tells which it is.
std::string Unit(uint64_t acked) {
  mirror::Unit unit;
  mirror::Step step;
  step.text = base::Slice::CopyOf(TextOf(acked));
  unit.steps.push_back(step);
  unit.place.stamp = acked;
  unit.place.acked = acked;
  unit.bytes = 100;
  std::string record;
  mirror::AppendCapturedUnit(&record, 1, unit, absl::UnixEpoch());
  return record;
}

class CaptureLookupTest : public testing::Test {
 protected:
  // Adds to log `number`, whose segments have a few records each.
  void Write(const std::string& number, const std::vector<uint64_t>& acked) {
    io_test::LogRig run(Log(number), io_test::SmallSegments());
    ASSERT_TRUE(run.status().ok());
    for (const uint64_t one : acked) {
      ASSERT_TRUE(run.Append(Unit(one)).ok());
    }
  }
  std::string Log(const std::string& number) const { return folder_.path() + "/" + number; }
  static void Damage(const std::string& path) {
    std::string bytes = io_test::ReadFile(path);
    bytes[io::kLogHeaderBytes + io::kRecordHeaderBytes + 5] ^= 1;
    io_test::WriteFile(path, bytes);
  }
  // The first pass.
  void Plan() {
    auto opened = CaptureReader::Open(folder_.path());
    ASSERT_TRUE(opened.ok());
    mirror::Captured captured;
    for (;;) {
      const absl::StatusOr<bool> more = (*opened)->Next(&captured);
      ASSERT_TRUE(more.ok());
      if (!*more) {
        break;
      }
      plan_.Add(std::move(captured), (*opened)->place());
    }
    plan_.Finish();
    damage_ = (*opened)->damage();
    lookup_ = std::make_unique<CaptureLookup>((*opened)->logs());
  }
  // The second: which units come, by their statements; the first error ends it.
  std::vector<uint64_t> Play() {
    std::vector<uint64_t> acked;
    for (const ReplayPlan::Event& event : plan_.events()) {
      const absl::StatusOr<mirror::Unit> unit = lookup_->Read(plan_.units()[event.unit].place);
      if (!unit.ok()) {
        status_ = unit.status();
        break;
      }
      EXPECT_EQ(unit->steps.at(0).text.view(), TextOf(event.number));
      EXPECT_EQ(unit->place.acked, event.number);
      acked.push_back(event.number);
    }
    return acked;
  }
  static std::vector<uint64_t> Range(uint64_t from, uint64_t to) {
    std::vector<uint64_t> numbers;
    for (uint64_t i = from; i <= to; ++i) {
      numbers.push_back(i);
    }
    return numbers;
  }

  const Folder folder_;
  ReplayPlan plan_;
  std::vector<std::string> damage_;
  std::unique_ptr<CaptureLookup> lookup_;
  absl::Status status_;
};

TEST_F(CaptureLookupTest, UnitsOfSeveralLogsComeInTheOrderOfThePlan) {
  Write("0", {1, 4, 5, 9});
  Write("1", {2, 3, 8});
  Write("2", {6, 7});
  Plan();
  EXPECT_THAT(Play(), ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST_F(CaptureLookupTest, AnyOrderWithinALogWillDo) {
  std::vector<uint64_t> backwards = Range(1, 200);
  std::reverse(backwards.begin(), backwards.end());
  Write("0", backwards);
  ASSERT_GE(io_test::SegmentsOf(Log("0")).size(), 3U);
  Plan();
  EXPECT_EQ(Play(), Range(1, 200));
}

TEST_F(CaptureLookupTest, DamageInTheMiddleIsSteppedOverAndToldOnce) {
  Write("0", Range(1, 200));
  Write("1", Range(201, 203));
  const std::vector<std::string> segments = io_test::SegmentsOf(Log("0"));
  ASSERT_GE(segments.size(), 3U);
  Damage(segments[1]);
  Plan();
  const uint64_t first = std::stoull(std::filesystem::path(segments[1]).stem(), nullptr, 16);
  const uint64_t next = std::stoull(std::filesystem::path(segments[2]).stem(), nullptr, 16);
  std::vector<uint64_t> expected = Range(1, first - 1);
  for (const uint64_t one : Range(next, 203)) {
    expected.push_back(one);
  }
  EXPECT_EQ(Play(), expected);
  EXPECT_TRUE(status_.ok());
  EXPECT_THAT(damage_, ElementsAre(HasSubstr(segments[1])));
}

TEST_F(CaptureLookupTest, OnlyWhatTheFirstPassSawCounts) {
  Write("0", Range(1, 100));
  Plan();
  Write("0", Range(101, 300));
  Write("1", Range(301, 302));
  EXPECT_EQ(Play(), Range(1, 100));
  EXPECT_THAT(damage_, IsEmpty());
}

TEST_F(CaptureLookupTest, ASegmentThatHasGoneEndsItAtItsFirstUnit) {
  Write("0", Range(1, 200));
  Plan();
  const std::vector<std::string> segments = io_test::SegmentsOf(Log("0"));
  ASSERT_GE(segments.size(), 3U);
  std::filesystem::remove(segments[1]);
  const uint64_t first = std::stoull(std::filesystem::path(segments[1]).stem(), nullptr, 16);
  EXPECT_EQ(Play(), Range(1, first - 1));
  EXPECT_TRUE(absl::IsNotFound(status_));
  EXPECT_THAT(std::string(base::Message(status_)), HasSubstr(segments[1]));
}

TEST_F(CaptureLookupTest, AUnitThatIsNoLongerWhatItWasEndsIt) {
  Write("0", Range(1, 200));
  Plan();
  const std::vector<std::string> segments = io_test::SegmentsOf(Log("0"));
  ASSERT_GE(segments.size(), 3U);
  Damage(segments[1]);
  const uint64_t first = std::stoull(std::filesystem::path(segments[1]).stem(), nullptr, 16);
  EXPECT_EQ(Play(), Range(1, first - 1));
  EXPECT_TRUE(absl::IsDataLoss(status_));
  EXPECT_THAT(std::string(base::Message(status_)), HasSubstr(segments[1] + " at byte 32"));
}

TEST_F(CaptureLookupTest, ALogThatWasCutShortEndsIt) {
  Write("0", Range(1, 3));
  Plan();
  std::filesystem::resize_file(io_test::SegmentsOf(Log("0"))[0], io::kLogHeaderBytes + 40);
  EXPECT_THAT(Play(), IsEmpty());
  EXPECT_TRUE(absl::IsUnavailable(status_));
}

}  // namespace
}  // namespace command
