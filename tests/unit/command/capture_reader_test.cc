// Captures on real files, whole and damaged.
#include "command/capture_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "unit/io/record_log_rig.h"

namespace command {
namespace {

using io_test::Folder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A record of which is known only which one it is.
std::string Lost(uint64_t session) {
  std::string record;
  mirror::AppendLost(&record, session, mirror::Cause::kTooLarge);
  return record;
}

// A capture in which log `number` has the records `from` to `to` in segments of a few each.
class CaptureReaderTest : public testing::Test {
 protected:
  void Write(const std::string& number, uint64_t from, uint64_t to) {
    io_test::LogRig run(Log(number), io_test::SmallSegments());
    ASSERT_TRUE(run.status().ok());
    for (uint64_t i = from; i <= to; ++i) {
      ASSERT_TRUE(run.Append(Lost(i)).ok());
    }
  }
  std::string Log(const std::string& number) const { return folder_.path() + "/" + number; }
  // Makes another byte of one of a segment.
  static void Damage(const std::string& path, size_t at) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.put('\x55');
  }
  // The sessions of what can be read.
  std::vector<uint64_t> Read() {
    auto opened = CaptureReader::Open(folder_.path());
    EXPECT_TRUE(opened.ok());
    reader_ = *std::move(opened);
    std::vector<uint64_t> sessions;
    mirror::Captured captured;
    for (;;) {
      const absl::StatusOr<bool> more = reader_->Next(&captured);
      EXPECT_TRUE(more.ok());
      if (!more.ok() || !*more) {
        return sessions;
      }
      sessions.push_back(captured.session);
    }
  }

  const Folder folder_;
  std::unique_ptr<CaptureReader> reader_;
};

TEST_F(CaptureReaderTest, ReadsOneLogAfterTheOther) {
  Write("0", 1, 3);
  Write("1", 11, 12);
  EXPECT_THAT(Read(), ElementsAre(1, 2, 3, 11, 12));
  EXPECT_THAT(reader_->damage(), IsEmpty());
  EXPECT_EQ(reader_->Complaints(), "");
}

TEST_F(CaptureReaderTest, GoesOnBehindADamagedSegment) {
  Write("0", 1, 300);
  Write("1", 1001, 1002);
  const std::vector<std::string> segments = io_test::SegmentsOf(Log("0"));
  ASSERT_GE(segments.size(), 3U);
  Damage(segments[1], io::kLogHeaderBytes + 20);
  const std::vector<uint64_t> read = Read();
  const uint64_t first = std::stoull(std::filesystem::path(segments[1]).stem(), nullptr, 16);
  const uint64_t next = std::stoull(std::filesystem::path(segments[2]).stem(), nullptr, 16);
  std::vector<uint64_t> expected;
  for (uint64_t i = 1; i <= 300; ++i) {
    if (i < first || i >= next) {
      expected.push_back(i);
    }
  }
  expected.insert(expected.end(), {1001, 1002});
  EXPECT_EQ(read, expected);
  ASSERT_EQ(reader_->damage().size(), 1U);
  EXPECT_THAT(reader_->damage()[0], HasSubstr(segments[1]));
  EXPECT_THAT(reader_->damage()[0],
              HasSubstr("; " + std::to_string(next - first) + " records are lost"));
  EXPECT_THAT(reader_->Complaints(), HasSubstr("pgbraid: " + segments[1]));
}

TEST_F(CaptureReaderTest, NamesASegmentThatIsMissing) {
  Write("0", 1, 300);
  const std::vector<std::string> segments = io_test::SegmentsOf(Log("0"));
  ASSERT_GE(segments.size(), 3U);
  std::filesystem::remove(segments[1]);
  const std::vector<uint64_t> read = Read();
  const uint64_t first = std::stoull(std::filesystem::path(segments[1]).stem(), nullptr, 16);
  const uint64_t next = std::stoull(std::filesystem::path(segments[2]).stem(), nullptr, 16);
  EXPECT_EQ(read.size(), 300 - (next - first));
  EXPECT_EQ(read.back(), 300U);
  EXPECT_EQ(reader_->damage().size(), 1U);
}

TEST_F(CaptureReaderTest, ALogWithoutItsIdentityIsLostAndTheOthersAreNot) {
  Write("0", 1, 3);
  Write("1", 11, 12);
  std::filesystem::remove(Log("0") + "/" + std::string(io::kIdentityName));
  EXPECT_THAT(Read(), ElementsAre(11, 12));
  ASSERT_EQ(reader_->damage().size(), 1U);
  EXPECT_THAT(reader_->damage()[0], HasSubstr(Log("0")));
}

TEST_F(CaptureReaderTest, NamesLogsThatAreMissing) {
  Write("1", 11, 12);
  Write("4", 41, 41);
  EXPECT_THAT(Read(), ElementsAre(11, 12, 41));
  EXPECT_THAT(reader_->damage(), ElementsAre(HasSubstr("3 of its logs, numbered 0 to 4")));
}

TEST_F(CaptureReaderTest, ARecordThatIsNoCapturesIsSteppedOver) {
  {
    io_test::LogRig run(Log("0"));
    ASSERT_TRUE(run.Append(Lost(1)).ok());
    ASSERT_TRUE(run.Append("U\1nothing").ok());
    ASSERT_TRUE(run.Append(Lost(2)).ok());
  }
  EXPECT_THAT(Read(), ElementsAre(1, 2));
  EXPECT_THAT(reader_->damage(), ElementsAre(HasSubstr("record 2 is no capture's")));
}

TEST_F(CaptureReaderTest, AFolderWithoutLogsIsNoCapture) {
  EXPECT_TRUE(absl::IsInvalidArgument(CaptureReader::Open(folder_.path()).status()));
}

}  // namespace
}  // namespace command
