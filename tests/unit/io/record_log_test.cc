// The record log on real files: order, groups, segments, claims, damage, crashes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/bytes.h"
#include "base/crypto.h"
#include "unit/io/record_log_rig.h"

namespace io_test {
namespace {

TEST(RecordLog, IsReadAsItWasAppended) {
  const Folder folder;
  const std::vector<std::string> first = Numbered(1, 50);
  const std::vector<std::string> second = Numbered(51, 5);
  {
    LogRig run(folder.path());
    ASSERT_TRUE(run.status().ok()) << base::Message(run.status());
    const std::vector<Appended> results = run.Append(first);
    for (size_t i = 0; i < results.size(); ++i) {
      ASSERT_TRUE(results[i].ok());
      EXPECT_EQ(*results[i], i + 1);
    }
  }
  LogRig again(folder.path());
  ASSERT_TRUE(again.status().ok());
  EXPECT_EQ(again.log().next_sequence(), 51u);
  io::RecordReader found(again.log().found());
  io::Record record;
  ASSERT_TRUE(found.Next(&record).value());
  EXPECT_EQ(record.payload, first[0]);
  EXPECT_EQ(*again.Append(second).back(), 55u);
  const Contents contents = ReadLog(folder.path());
  ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
  ASSERT_EQ(contents.records.size(), 55u);
  EXPECT_EQ(contents.records.at(7), first[6]);
  EXPECT_EQ(contents.records.at(55), second[4]);
}

TEST(RecordLog, OneSyncServesAllThatWait) {
  const Folder folder;
  LogRig run(folder.path());
  run.Append(Numbered(1, 500));
  EXPECT_EQ(run.log().groups(), 1u) << "all of them were there before the first write";
  io::RecordLogOptions options;
  options.group_bytes = 1000;
  const Folder other;
  LogRig bounded(other.path(), options);
  bounded.Append(Numbered(1, 100, 150));
  EXPECT_GE(bounded.log().groups(), 20u);
}

TEST(RecordLog, WhatIsAcknowledgedCanBeReadAtOnce) {
  const Folder folder;
  LogRig run(folder.path(), SmallSegments());
  for (int i = 1; i <= 60; ++i) {
    const Appended appended = run.Append("number " + std::to_string(i));
    ASSERT_TRUE(appended.ok());
    const Contents contents = ReadLog(folder.path());
    ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
    ASSERT_EQ(contents.records.size(), static_cast<size_t>(i));
    EXPECT_EQ(contents.records.at(*appended), "number " + std::to_string(i));
  }
}

TEST(RecordLog, ARecordMayBeLargerThanASegment) {
  const Folder folder;
  const std::string large = Pattern(1, 0, 100'000);
  {
    LogRig run(folder.path(), SmallSegments());
    ASSERT_TRUE(run.Append("small").ok());
    ASSERT_TRUE(run.Append(large).ok());
    ASSERT_TRUE(run.Append("after").ok());
    EXPECT_EQ(run.log().segments(), 3u);
  }
  const Contents contents = ReadLog(folder.path());
  EXPECT_EQ(contents.records.at(2), large);
  EXPECT_EQ(contents.records.at(3), "after");
}

TEST(RecordLog, ClosedItHoldsNoMoreSpaceThanItsRecords) {
  const Folder folder;
  LogRig run(folder.path());
  ASSERT_TRUE(run.Append("x").ok());
  const std::string segment = SegmentsOf(folder.path()).front();
  EXPECT_EQ(std::filesystem::file_size(segment), 64u << 20);
  run.Close();
  EXPECT_EQ(std::filesystem::file_size(segment), io::kLogHeaderBytes + io::RecordSize(1));
}

// Q18: whoever holds it keeps it, until its end, even by a kill.
TEST(RecordLog, ASecondOpenerIsRefused) {
  const Folder folder;
  {
    LogRig run(folder.path());
    LogRig second(folder.path());
    EXPECT_TRUE(absl::IsFailedPrecondition(second.status()));
    EXPECT_TRUE(Mentions(second.status(), folder.path() + " is in use"));
  }
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t child = fork();
  if (child == 0) {
    absl::StatusOr<io::File> identity = io::File::OpenForWriting(folder / "LOG");
    const bool locked = identity.ok() && identity->TryLock().value();
    static_cast<void>(write(told[1], locked ? "y" : "n", 1));
    pause();
    _exit(0);
  }
  char answer = 0;
  ASSERT_EQ(read(told[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_TRUE(absl::IsFailedPrecondition(LogRig(folder.path()).status()));
  kill(child, SIGKILL);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(LogRig(folder.path()).status().ok());
  close(told[0]);
  close(told[1]);
}

TEST(RecordLog, EveryShardClaimsItsPartOfWhatIsThere) {
  const Folder folder;
  for (const char* name : {"0", "1", "2", "5", "7x", "notes"}) {
    std::filesystem::create_directory(folder / name);
  }
  EXPECT_EQ(*io::LogsOfShard(folder.path(), 0, 2),
            (std::vector<std::string>{folder / "0", folder / "2"}));
  EXPECT_EQ(*io::LogsOfShard(folder.path(), 1, 2),
            (std::vector<std::string>{folder / "1", folder / "5"}));
  EXPECT_EQ(*io::LogsOfShard(folder.path(), 3, 4), std::vector<std::string>{folder / "3"});
  EXPECT_TRUE(absl::IsNotFound(io::LogsOfShard(folder / "none", 0, 1).status()));
}

TEST(RecordLog, ReleaseRemovesWholeOldSegmentsOnly) {
  const Folder folder;
  LogRig run(folder.path(), SmallSegments());
  run.Append(Numbered(1, 40, 300));
  const size_t before = run.log().segments();
  EXPECT_TRUE(run.Release(1).ok());
  EXPECT_EQ(run.log().segments(), before) << "its other records are still needed";
  EXPECT_TRUE(run.Release(25).ok());
  EXPECT_LT(run.log().segments(), before);
  Contents contents = ReadLog(folder.path());
  ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
  EXPECT_LE(contents.records.begin()->first, 26u);
  EXPECT_GT(contents.records.begin()->first, 1u);
  EXPECT_TRUE(run.Release(40).ok());
  EXPECT_EQ(run.log().segments(), 1u);
  EXPECT_EQ(*run.Append("on"), 41u);
  run.Close();
  contents = ReadLog(folder.path());
  EXPECT_EQ(contents.records.at(41), "on");
}

// -- damage ---------------------------------------------------------------------------------------

// Q14, L11: what is not as it was written is refused by name, whole segments included.
TEST(RecordLog, DamageBeforeTheEndIsRefused) {
  const auto damaged_by = [](const auto& damage) {
    const Folder folder = Folder::InMemory();
    Fill(folder.path());
    const std::vector<std::string> segments = SegmentsOf(folder.path());
    damage(segments);
    const Contents contents = ReadLog(folder.path());
    EXPECT_TRUE(absl::IsDataLoss(contents.status)) << base::Message(contents.status);
    EXPECT_TRUE(Mentions(contents.status, ".segment at byte"));
    EXPECT_LT(contents.records.size(), 40u);
  };
  using Paths = std::vector<std::string>;
  damaged_by([](const Paths& all) { std::filesystem::remove(all[1]); });
  damaged_by([](const Paths& all) {
    std::filesystem::resize_file(all[1], std::filesystem::file_size(all[1]) - 1);
  });
  damaged_by([](const Paths& all) {  // a whole record less
    std::filesystem::resize_file(all[1], std::filesystem::file_size(all[1]) -
                                             io::RecordSize(Numbered(10, 1, 300)[0].size()));
  });
  damaged_by([](const Paths& all) { std::filesystem::resize_file(all[1], 0); });
  damaged_by([](const Paths& all) { WriteFile(all[2], ReadFile(all[1])); });
  damaged_by([](const Paths& all) {
    const std::string one = ReadFile(all[0]);
    WriteFile(all[0], ReadFile(all[1]));
    WriteFile(all[1], one);
  });
  damaged_by([](const Paths& all) {
    std::string bytes = ReadFile(all[0]);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    WriteFile(all[0], bytes);
  });
  damaged_by([](const Paths& all) {
    const Folder foreign;
    Fill(foreign.path());
    WriteFile(all[1], ReadFile(SegmentsOf(foreign.path())[1]));
  });
}

TEST(RecordLog, WithoutItsIdentityItIsRefused) {
  const Folder folder;
  Fill(folder.path());
  std::string identity = ReadFile(folder / "LOG");
  std::filesystem::remove(folder / "LOG");
  EXPECT_TRUE(absl::IsDataLoss(LogRig(folder.path()).status()));
  WriteFile(folder / "LOG", identity.substr(0, 20));
  EXPECT_TRUE(absl::IsDataLoss(LogRig(folder.path()).status()));
  EXPECT_TRUE(absl::IsDataLoss(ReadLog(folder.path()).status));
}

// N4: a log of another version is never misread.
TEST(RecordLog, AnotherVersionIsRefused) {
  const Folder folder;
  Fill(folder.path());
  std::string identity = ReadFile(folder / "LOG");
  identity[7] = '2';
  const uint64_t sum = base::Checksum(std::string_view(identity).substr(0, 24));
  base::StoreLe64(identity.data() + 24, sum);
  WriteFile(folder / "LOG", identity);
  const LogRig run(folder.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(run.status()));
  EXPECT_TRUE(Mentions(run.status(), "another version of pgbraid"));
}

// Q14: a crash may leave any part of the newest write. Opened again, the log goes on behind what is
// whole.
TEST(RecordLog, ATornEndIsCutOffAndTheLogGoesOn) {
  const Folder folder = Folder::InMemory();
  std::string path;
  {
    LogRig run(folder.path(), SmallSegments());
    ASSERT_TRUE(run.Append("first").ok());
    run.Append(Numbered(2, 3, 20));
    run.Close();
    path = SegmentsOf(folder.path()).front();
  }
  const std::string whole = ReadFile(path);
  const size_t first = io::kLogHeaderBytes + io::RecordSize(5);
  for (size_t length = first; length < whole.size(); ++length) {
    WriteFile(path, whole.substr(0, length) + std::string(length % 3 == 0 ? 100 : 0, '\0'));
    {
      LogRig run(folder.path(), SmallSegments());
      ASSERT_TRUE(run.status().ok()) << base::Message(run.status());
      const uint64_t next = run.log().next_sequence();
      ASSERT_GE(next, 2u);
      ASSERT_EQ(*run.Append("on"), next);
      const Contents contents = ReadLog(folder.path());
      ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
      ASSERT_EQ(contents.records.size(), next);
      ASSERT_EQ(contents.records.at(next), "on");
    }
    const std::vector<std::string> segments = SegmentsOf(folder.path());
    ASSERT_EQ(segments.size(), 2u);
    std::filesystem::remove(segments.back());
  }
}

// Appends without end and tells the number of each record once it is acknowledged.
[[noreturn]] void AppendUntilKilled(const std::string& folder, int told) {
  LogRig run(folder, SmallSegments());
  for (;;) {
    const Appended appended = run.Append("a record that a kill must not lose");
    const uint64_t sequence = appended.ok() ? *appended : 0;
    static_cast<void>(write(told, &sequence, sizeof sequence));
  }
}

TEST(RecordLog, AKillLosesNothingThatWasAcknowledged) {
  const Folder folder;
  uint64_t acknowledged = 0;
  for (int life = 1; life <= 5; ++life) {
    int told[2];
    ASSERT_EQ(pipe(told), 0);
    const pid_t child = fork();
    if (child == 0) {
      AppendUntilKilled(folder.path(), told[1]);
    }
    close(told[1]);
    for (int i = 0; i < life * 7; ++i) {
      ASSERT_EQ(read(told[0], &acknowledged, sizeof acknowledged),
                static_cast<ssize_t>(sizeof acknowledged));
    }
    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    while (read(told[0], &acknowledged, sizeof acknowledged) > 0) {
    }
    close(told[0]);
    const Contents contents = ReadLog(folder.path());
    ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
    ASSERT_GE(contents.records.size(), acknowledged);
  }
  EXPECT_GE(acknowledged, 7u * 15);
}

// Q15: a segment that was being made when the machine stopped.
TEST(RecordLog, ASegmentThatWasNeverBegunIsRemoved) {
  for (const size_t bytes : {0u, 10u, 4096u}) {
    const Folder folder;
    Fill(folder.path());
    const size_t segments = SegmentsOf(folder.path()).size();
    WriteFile(io::SegmentPath(folder.path(), 41), std::string(bytes, '\0'));
    LogRig run(folder.path(), SmallSegments());
    ASSERT_TRUE(run.status().ok()) << base::Message(run.status());
    EXPECT_EQ(run.log().segments(), segments);
    EXPECT_EQ(*run.Append("on"), 41u);
    EXPECT_EQ(ReadLog(folder.path()).records.size(), 41u);
  }
}

}  // namespace
}  // namespace io_test
