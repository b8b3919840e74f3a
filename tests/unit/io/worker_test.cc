// Worker and File: work off the shard's thread; failures that name the file.
#include "io/worker.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "base/status.h"
#include "io/file.h"
#include "unit/io/folder.h"
#include "unit/io/rig.h"

namespace io_test {
namespace {

class NoteJob final : public io::Job {
 public:
  NoteJob(int number, std::vector<int>* order) : number_(number), order_(order) {}
  void Run() override {
    order_->push_back(number_);
    ran_on_ = std::this_thread::get_id();
  }
  std::thread::id ran_on() const { return ran_on_; }

 private:
  const int number_;
  std::vector<int>* const order_;
  std::thread::id ran_on_;
};

io::Task<void> RunJob(io::Worker* worker, io::Loop* loop, io::Job* job, int* ended) {
  co_await worker->Run(loop, job);
  ++*ended;
}

TEST(WorkerTest, RunsJobsInOrderOffTheShard) {
  for (const Kind kind : Kinds()) {
    Rig rig(kind);
    io::Worker worker;
    std::vector<int> order;
    std::vector<std::unique_ptr<NoteJob>> jobs;
    int ended = 0;
    for (int i = 0; i < 200; ++i) {
      jobs.push_back(std::make_unique<NoteJob>(i, &order));
      rig.scope().Spawn(RunJob(&worker, rig.loop(), jobs.back().get(), &ended));
    }
    ASSERT_TRUE(rig.Join());
    EXPECT_EQ(ended, 200);
    ASSERT_EQ(order.size(), 200u);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_NE(jobs[0]->ran_on(), std::this_thread::get_id());
  }
}

TEST(WorkerTest, InASimulationItHasNoThread) {
  Rig rig(Kind::kEpoll);
  io::Worker worker(io::Worker::Kind::kInline);
  std::vector<int> order;
  NoteJob job(1, &order);
  int ended = 0;
  rig.scope().Spawn(RunJob(&worker, rig.loop(), &job, &ended));
  EXPECT_EQ(job.ran_on(), std::this_thread::get_id());
  EXPECT_EQ(ended, 0) << "its end comes as a message";
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(ended, 1);
}

TEST(FileTest, FailuresNameTheFileAndTheirKind) {
  const Folder folder;
  const absl::Status missing = io::File::OpenForReading(folder / "none").status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_EQ(base::Message(missing),
            "opening " + (folder / "none") + ": No such file or directory");
  EXPECT_FALSE(io::MakeFolder(folder / "none/below").ok());
  EXPECT_FALSE(io::RemoveFile(folder / "none").ok());
  EXPECT_FALSE(io::SyncFolder(folder / "none").ok());
  absl::StatusOr<io::File> full = io::File::OpenForWriting("/dev/full");
  ASSERT_TRUE(full.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(full->WriteAt(0, "x")));
}

TEST(FileTest, HoldsWhatWasWritten) {
  const Folder folder;
  ASSERT_TRUE(io::MakeFolder(folder / "made").ok());
  ASSERT_TRUE(io::MakeFolder(folder / "made").ok()) << "it is there already";
  absl::StatusOr<io::File> file = io::File::OpenForWriting(folder / "made/b");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->Allocate(100).ok());
  ASSERT_TRUE(file->WriteAt(10, "hello").ok());
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(*file->Size(), 100u);
  ASSERT_TRUE(file->Truncate(15).ok());
  EXPECT_EQ(*file->ReadAll(), std::string(10, '\0') + "hello");
  WriteFile(folder / "made/a", "");
  ASSERT_TRUE(io::SyncFolder(folder / "made").ok());
  EXPECT_EQ(*io::ListFolder(folder / "made"), (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(io::RemoveFile(folder / "made/a").ok());
  EXPECT_EQ(*io::ListFolder(folder / "made"), std::vector<std::string>{"b"});
}

}  // namespace
}  // namespace io_test
