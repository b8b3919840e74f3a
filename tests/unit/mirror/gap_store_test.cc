// The ledger's file: its text, its name, and what a restart finds after every kind of end.
#include "mirror/gap_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "mirror/gap_file.h"
#include "mirror/mirror_metrics.h"
#include "unit/io/folder.h"

namespace mirror {
namespace {

using io_test::Folder;
using io_test::ReadFile;
using io_test::WriteFile;

const std::vector<std::string>& Table() {
  static const std::vector<std::string> table = {"t"};
  return table;
}

// "table cause statements/transactions", one line per gap.
std::string Told(const std::vector<Gap>& gaps) {
  std::string text;
  for (const Gap& gap : gaps) {
    text += gap.table + " " + std::string(Name(gap.cause)) + " " + std::to_string(gap.statements) +
            "/" + std::to_string(gap.transactions) + "\n";
  }
  return text;
}

// One life of a process with one mirror. Its end is a kill, unless it closes the store.
class Life {
 public:
  explicit Life(const std::string& folder, const std::string& mirror = "m") : ledger_(mirror) {
    absl::StatusOr<std::unique_ptr<GapStore>> store = GapStore::Open(folder, {&ledger_});
    status = store.status();
    if (store.ok()) {
      store_ = *std::move(store);
    }
    ledger_.Watch(&metrics);
  }
  void Lose() { ledger_.Record(Cause::kTimeout, "", Table(), 1, absl::Now()); }
  GapLedger& ledger() { return ledger_; }
  GapStore& store() { return *store_; }
  std::string Told() const { return mirror::Told(ledger_.Snapshot()); }

  absl::Status status;
  MirrorMetrics metrics;

 private:
  GapLedger ledger_;
  std::unique_ptr<GapStore> store_;
};

// The folder as a kill would leave it: what a life does afterwards does not reach it.
class Killed {
 public:
  explicit Killed(const Folder& from) {
    for (const auto& entry : std::filesystem::directory_iterator(from.path())) {
      std::filesystem::copy(entry.path(), folder_.path());
    }
  }
  const std::string& path() const { return folder_.path(); }

 private:
  const Folder folder_;
};

GapFile Sample() {
  GapFile file;
  file.mirror = "next-version";
  file.written = absl::FromUnixMillis(1769903999123);
  file.pending = 7;
  Gap gap;
  gap.table = "s.\"Odd \\ \xc3\xbc\"";
  gap.cause = Cause::kRefused;
  gap.sqlstate = "42P01";
  gap.first = absl::FromUnixMillis(1769900000000);
  gap.last = absl::FromUnixMillis(1769900000001);
  gap.statements = UINT64_MAX;
  gap.transactions = 3;
  file.gaps = {gap, gap};
  file.gaps[1].table = "";
  return file;
}

TEST(GapFile, IsReadAsItWasWritten) {
  const GapFile file = Sample();
  const std::string text = FormatGapFile(file);
  const absl::StatusOr<GapFile> read = ParseGapFile(text);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->mirror, file.mirror);
  EXPECT_EQ(read->pending, file.pending);
  EXPECT_EQ(read->written, file.written);
  EXPECT_EQ(FormatGapFile(*read), text);
  GapFile busy = Sample();
  busy.pending.reset();
  busy.clean = true;
  busy.folded = true;
  const absl::StatusOr<GapFile> again = ParseGapFile(FormatGapFile(busy));
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->pending.has_value());
  EXPECT_TRUE(again->clean && again->folded);
}

TEST(GapFile, IsRefusedTornAtEveryByte) {
  const std::string text = FormatGapFile(Sample());
  for (size_t length = 0; length + 1 < text.size(); ++length) {  // the newline may be gone
    EXPECT_FALSE(ParseGapFile(text.substr(0, length)).ok()) << length;
  }
}

TEST(GapFile, IsRefusedWithOtherContent) {
  const std::string text = FormatGapFile(Sample());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    const size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return ParseGapFile(changed.replace(at, from.size(), to)).ok();
  };
  EXPECT_TRUE(with("42P01", "42P02"));
  EXPECT_FALSE(with("\"version\":1", "\"version\":2"));
  EXPECT_FALSE(with("\"version\":1,", ""));
  EXPECT_FALSE(with("\"clean\":false", "\"clean\":0"));
  EXPECT_FALSE(with("\"clean\":false", "\"clean\":false,\"clean\":false"));
  EXPECT_FALSE(with("refused", "confused"));
  EXPECT_FALSE(with("\"refused\"", "\"none\""));
  EXPECT_FALSE(with("\"pending\":7", "\"pending\":-7"));
  EXPECT_FALSE(with("\"pending\"", "\"bending\""));
  EXPECT_FALSE(with("2026-01-31T22:53:20.001Z", "2026-01-31T22:53:19.001Z"));  // before the first
  EXPECT_FALSE(with("2026-01-31T22:53:20.000Z", "2026-13-31T22:53:20.000Z"));
  EXPECT_FALSE(with("\xc3\xbc", "\xc3"));
  EXPECT_FALSE(with("}\n", "}}\n"));
  EXPECT_FALSE(with(",\"transactions\":3", ""));
}

TEST(GapFile, HasANameThatLeavesNoFolder) {
  EXPECT_EQ(GapFileName("next-version_1.b"), "gap-ledger-next-version_1.b.json");
  EXPECT_EQ(GapFileName("../a b\xff"), "gap-ledger-..%2Fa%20b%FF.json");
}

TEST(GapStore, ARestartForgetsNothing) {
  const Folder folder;
  {
    Life life(folder.path());
    ASSERT_TRUE(life.status.ok()) << base::Message(life.status);
    life.Lose();
    life.Lose();
    life.store().Close();
  }
  Life life(folder.path());
  EXPECT_EQ(life.Told(), "t timeout 2/2\n");
  life.Lose();
  EXPECT_EQ(life.Told(), "t timeout 3/3\n");
}

TEST(GapStore, TheFolderIsForItsOwnerAlone) {
  const Folder folder;
  const std::string state = folder / "state";
  Life life(state);
  ASSERT_TRUE(life.status.ok());
  struct stat about {};
  ASSERT_EQ(stat(state.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0700u);
  ASSERT_EQ(stat((state + "/gap-ledger-m.json").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST(GapStore, AFolderThatCannotServeIsRefused) {
  const Folder folder;
  WriteFile(folder / "file", "");
  const absl::Status status = Life(folder / "file").status;
  EXPECT_FALSE(status.ok());
  EXPECT_NE(base::Message(status).find(folder / "file"), std::string::npos);
  EXPECT_FALSE(Life(folder / "not/there").status.ok());
  std::filesystem::create_directory(folder / "gap-ledger-m.json.new");  // in the way of a write
  EXPECT_FALSE(Life(folder.path()).status.ok());
}

TEST(GapStore, ASecondProcessIsRefused) {
  const Folder folder;
  Life first(folder.path());
  ASSERT_TRUE(first.status.ok());
  Life second(folder.path());
  EXPECT_NE(base::Message(second.status).find("in use by another pgbraid"), std::string::npos);
}

TEST(GapStore, AKillWithNothingQueuedLeavesNoGap) {
  const Folder folder;
  Life life(folder.path());
  life.Lose();
  EXPECT_TRUE(life.store().WriteChanged());
  const Killed killed(folder);
  EXPECT_EQ(Life(killed.path()).Told(), "t timeout 1/1\n");
}

TEST(GapStore, AKillWithWorkQueuedIsAGapOfAnyTable) {
  const Folder folder;
  Life life(folder.path());
  life.metrics.offered.Add(5);
  life.metrics.queued_units.Add(5);
  EXPECT_TRUE(life.store().WriteChanged());
  const absl::Time before = absl::Now();
  const Killed killed(folder);
  Life next(killed.path());
  ASSERT_EQ(next.Told(), "* crash 0/5\n");
  const Gap crash = next.ledger().Snapshot()[0];
  EXPECT_LE(crash.first, before);
  EXPECT_GE(crash.last, crash.first);
  EXPECT_GT(crash.first, before - absl::Minutes(5));
}

// It is written once as busy, not each time that a queue is empty for a moment.
TEST(GapStore, WorkThatComesAndGoesIsUnknownUntilItIsQuiet) {
  const Folder folder;
  Life life(folder.path());
  life.metrics.offered.Add(1);
  EXPECT_TRUE(life.store().WriteChanged());
  const std::string file = folder / "gap-ledger-m.json";
  const std::string busy = ReadFile(file);
  EXPECT_NE(busy.find("\"pending\":null"), std::string::npos);
  life.metrics.offered.Add(1);
  EXPECT_TRUE(life.store().WriteChanged());
  EXPECT_EQ(ReadFile(file), busy);
  EXPECT_EQ(Life(Killed(folder).path()).Told(), "* crash 0/0\n");
  EXPECT_TRUE(life.store().WriteChanged());
  const std::string quiet = ReadFile(file);
  EXPECT_NE(quiet.find("\"pending\":0"), std::string::npos);
  EXPECT_EQ(Life(Killed(folder).path()).Told(), "");
  EXPECT_TRUE(life.store().WriteChanged());
  EXPECT_EQ(ReadFile(file), quiet);
}

TEST(GapStore, AFileThatIsNoLedgerIsKeptAndSaid) {
  const Folder folder;
  const std::string file = folder / "gap-ledger-m.json";
  for (const char* content : {"", "{\"version\":1", "no JSON"}) {
    WriteFile(file, content);
    Life life(folder.path());
    ASSERT_TRUE(life.status.ok()) << base::Message(life.status);
    EXPECT_EQ(life.Told(), "* ledger_lost 0/0\n");
    life.store().Close();
  }
  EXPECT_EQ(ReadFile(file + ".broken"), "");
  EXPECT_EQ(ReadFile(file + ".broken.2"), "{\"version\":1");
  EXPECT_EQ(ReadFile(file + ".broken.3"), "no JSON");
  EXPECT_TRUE(ParseGapFile(ReadFile(file)).ok());
}

TEST(GapStore, AnothersFileIsNotTaken) {
  const Folder folder;
  GapFile other = Sample();
  WriteFile(folder / "gap-ledger-m.json", FormatGapFile(other));
  EXPECT_EQ(Life(folder.path()).Told(), "* ledger_lost 0/0\n");
}

TEST(GapStore, EveryMirrorHasAFileOfItsOwn) {
  const Folder folder;
  GapLedger a("a");
  GapLedger b("b");
  {
    const auto store = GapStore::Open(folder.path(), {&a, &b});
    ASSERT_TRUE(store.ok());
    a.Record(Cause::kTimeout, "", Table(), 1, absl::Now());
  }
  EXPECT_EQ(Life(folder.path(), "a").Told(), "t timeout 1/1\n");
  EXPECT_EQ(Life(folder.path(), "b").Told(), "");
}

TEST(GapStore, ThatItWasFoldedIsKept) {
  const Folder folder;
  {
    Life life(folder.path());
    for (size_t i = 0; i < GapLedger::kEntriesMax; ++i) {
      const std::vector<std::string> table = {"t" + std::to_string(i)};
      life.ledger().Record(Cause::kTimeout, "", table, 1, absl::Now());
    }
    EXPECT_TRUE(life.ledger().folded());
    life.store().Close();
  }
  Life life(folder.path());
  EXPECT_TRUE(life.ledger().folded());
  EXPECT_EQ(life.ledger().Snapshot().front().table, "*");
}

TEST(GapStore, AWriteThatFailsLeavesTheFileAndIsTriedAgain) {
  const Folder folder;
  Life life(folder.path());
  life.Lose();
  EXPECT_TRUE(life.store().WriteChanged());
  const std::string before = ReadFile(folder / "gap-ledger-m.json");
  std::filesystem::create_directory(folder / "gap-ledger-m.json.new");
  life.Lose();
  EXPECT_FALSE(life.store().WriteChanged());
  EXPECT_EQ(ReadFile(folder / "gap-ledger-m.json"), before);
  std::filesystem::remove(folder / "gap-ledger-m.json.new");
  EXPECT_TRUE(life.store().WriteChanged());
  EXPECT_EQ(Life(Killed(folder).path()).Told(), "t timeout 2/2\n");
}

#if PGBRAID_FAULT_POINTS
// Wherever a write stops, a kill then finds the file before it, whole.
TEST(GapStore, NoFailureTearsTheFile) {
  for (const char* fault : {"io.file.write", "io.file.write.broken", "io.file.sync",
                            "io.file.rename"}) {
    const Folder folder;
    Life life(folder.path());
    life.Lose();
    EXPECT_TRUE(life.store().WriteChanged());
    base::Prng prng(1);
    base::FaultPoints::Arm(fault, 1, &prng);
    life.Lose();
    EXPECT_FALSE(life.store().WriteChanged()) << fault;
    EXPECT_EQ(base::FaultPoints::Fired(fault), 1u) << fault;
    base::FaultPoints::DisarmAll();
    EXPECT_EQ(Life(Killed(folder).path()).Told(), "t timeout 1/1\n") << fault;
    EXPECT_TRUE(life.store().WriteChanged());
    EXPECT_EQ(Life(Killed(folder).path()).Told(), "t timeout 2/2\n") << fault;
  }
}
#endif

TEST(GapStore, ItsThreadWritesByItself) {
  const Folder folder;
  Life life(folder.path());
  life.store().Start();
  life.Lose();
  const absl::Time end = absl::Now() + absl::Seconds(30);
  bool written = false;
  while (!written && absl::Now() < end) {
    std::this_thread::yield();
    written = ReadFile(folder / "gap-ledger-m.json").find("\"timeout\"") != std::string::npos;
  }
  EXPECT_TRUE(written);
  life.store().Close();
  EXPECT_NE(ReadFile(folder / "gap-ledger-m.json").find("\"clean\":true"), std::string::npos);
}

}  // namespace
}  // namespace mirror
