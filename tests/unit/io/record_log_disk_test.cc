// The record log on disks that are full, fail or are broken.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "base/fault_point.h"
#include "unit/io/record_log_rig.h"

namespace io_test {
namespace {

// No file of this process grows beyond `bytes`, as on a full disk.
class FileLimit {
 public:
  explicit FileLimit(uint64_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*const handler_)(int);
  rlimit before_{};
};

// Q12: nothing was written, so nothing has ended.
TEST(RecordLog, GoesOnWhenThereIsSpaceForASegmentAgain) {
  const Folder folder;
  LogRig run(folder.path(), SmallSegments());
  ASSERT_TRUE(run.Append("before").ok());
  {
    const FileLimit limit(4096);
    const Appended refused = run.Append(std::string(5000, 'x'));
    EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << base::Message(refused.status());
    EXPECT_TRUE(Mentions(refused.status(), folder.path()));
    EXPECT_TRUE(run.log().failure().ok());
  }
  EXPECT_EQ(*run.Append(std::string(5000, 'x')), 2u);
  EXPECT_EQ(*run.Append("after"), 3u);
  const Contents contents = ReadLog(folder.path());
  ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
  EXPECT_EQ(contents.records.size(), 3u);
}

// PR15: the first write that fails ends the log, for those behind it as well; opened again it has
// all that was acknowledged.
TEST(RecordLog, AFailedWriteIsFinal) {
  const Folder folder;
  {
    LogRig run(folder.path(), SmallSegments());
    ASSERT_TRUE(run.Append("before").ok());
    std::vector<Appended> refused;
    {
      const FileLimit limit(300);
      refused = run.Append(Numbered(2, 5, 600));
    }
    for (const Appended& each : refused) {
      ASSERT_FALSE(each.ok());
      EXPECT_TRUE(Mentions(each.status(), "has stopped"));
    }
    EXPECT_FALSE(run.Append("there is space again").ok());
    EXPECT_FALSE(run.log().failure().ok());
  }
  LogRig again(folder.path(), SmallSegments());
  ASSERT_TRUE(again.status().ok()) << base::Message(again.status());
  EXPECT_TRUE(again.Append("after").ok());
  const Contents contents = ReadLog(folder.path());
  ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
  EXPECT_EQ(contents.records.at(1), "before");
  EXPECT_EQ(contents.records.rbegin()->second, "after");
}

#if PGBRAID_FAULT_POINTS
io::RecordLogOptions OnThisThread() {  // for which faults are armed
  io::RecordLogOptions options = SmallSegments();
  options.worker = io::Worker::Kind::kInline;
  return options;
}

// PR15: a disk that fails while a segment is made is not a full one.
TEST(RecordLog, ABrokenDiskIsFinalForANewSegmentToo) {
  const Folder folder = Folder::InMemory();
  base::Prng prng(1);
  LogRig run(folder.path(), OnThisThread());
  base::FaultPoints::Arm("io.file.write.broken", 1, &prng);
  EXPECT_FALSE(run.Append("refused").ok());
  base::FaultPoints::DisarmAll();
  EXPECT_FALSE(run.Append("too late").ok());
  EXPECT_TRUE(Mentions(run.log().failure(), "has stopped"));
}

// What is found was perhaps never synced: it is before anybody counts on it, or the log is not
// opened.
TEST(RecordLog, OpeningBringsTheLastGroupToTheDisk) {
  const Folder folder = Folder::InMemory();
  Fill(folder.path());
  base::Prng prng(1);
  for (const char* fault : {"io.file.write", "io.file.sync"}) {
    base::FaultPoints::Arm(fault, 1, &prng);
    EXPECT_FALSE(LogRig(folder.path(), OnThisThread()).status().ok()) << fault;
    base::FaultPoints::DisarmAll();
  }
  EXPECT_TRUE(LogRig(folder.path(), OnThisThread()).status().ok());
}

// A log on a disk that fails by a seed, opened again and again, and what it has acknowledged.
class FailingDisk {
 public:
  explicit FailingDisk(uint64_t seed) : prng_(seed) {}
  // Appends until the run ends; faults happen meanwhile, not while it is opened.
  void Live() {
    LogRig run(folder_.path(), OnThisThread());
    ASSERT_TRUE(run.status().ok()) << base::Message(run.status());
    base::FaultPoints::Arm("io.file.write", 12, &prng_);
    base::FaultPoints::Arm("io.file.sync", 15, &prng_);
    base::FaultPoints::Arm("io.file.allocate", 4, &prng_);
    for (uint64_t steps = prng_.Below(16); steps > 0; --steps) {
      AppendSome(&run);
      if (prng_.OneIn(4)) {
        released_ = run.log().next_sequence() - 1;
        EXPECT_TRUE(run.Release(released_).ok());
      }
    }
    stops_ += run.log().failure().ok() ? 0 : 1;
    base::FaultPoints::DisarmAll();
  }
  void ExpectAllThere() const {
    const Contents contents = ReadLog(folder_.path());
    ASSERT_TRUE(contents.status.ok()) << base::Message(contents.status);
    for (const auto& [sequence, payload] : acknowledged_) {
      const auto found = contents.records.find(sequence);
      ASSERT_TRUE(found != contents.records.end() || sequence <= released_) << sequence;
      EXPECT_TRUE(found == contents.records.end() || found->second == payload) << sequence;
    }
  }
  uint64_t stops() const { return stops_; }
  uint64_t full() const { return full_; }

 private:
  void AppendSome(LogRig* run) {
    const std::vector<std::string> payloads =
        Numbered(number_, 1 + static_cast<int>(prng_.Below(6)), prng_.Below(700));
    number_ += static_cast<int>(payloads.size());
    const bool stopped = !run->log().failure().ok();
    const std::vector<Appended> results = run->Append(payloads);
    for (size_t i = 0; i < results.size(); ++i) {
      full_ += absl::IsResourceExhausted(results[i].status()) ? 1 : 0;
      if (results[i].ok()) {
        EXPECT_FALSE(stopped);
        EXPECT_TRUE(acknowledged_.emplace(*results[i], payloads[i]).second) << "a number again";
      }
    }
  }

  const Folder folder_ = Folder::InMemory();
  base::Prng prng_;
  std::map<uint64_t, std::string> acknowledged_;
  int number_ = 0;
  uint64_t released_ = 0;
  uint64_t stops_ = 0;
  uint64_t full_ = 0;
};

// Q12, Q13: whatever fails and whenever, what was acknowledged is there, in order, and nothing but
// what was appended; after a failed write or sync nothing is acknowledged.
TEST(RecordLog, WhatWasAcknowledgedSurvivesEveryFailure) {
  uint64_t stops = 0;
  uint64_t full = 0;
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FailingDisk disk(seed);
    for (int life = 0; life < 6; ++life) {
      disk.Live();
    }
    disk.ExpectAllThere();
    stops += disk.stops();
    full += disk.full();
  }
  EXPECT_GT(stops, 500u);
  EXPECT_GT(full, 500u);
}
#endif

}  // namespace
}  // namespace io_test
