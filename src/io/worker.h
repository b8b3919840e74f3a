// Worker: a thread for work that blocks, so that a shard never does: files first of all.
//
//   WriteJob job(...);
//   co_await worker.Run(loop, &job);  // resumes on the loop once job.Run() has returned
//
// Jobs of one worker run one after the other, in the order in which they came. It is destroyed
// after every Run() has returned, and before the loops that it posted to. In a simulation a worker
// has no thread: the job runs at once, and its end arrives as any message does.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "io/loop.h"
#include "io/task.h"

namespace io {

// Work that blocks. Touches nothing that its shard touches meanwhile.
class Job {
 public:
  virtual ~Job() = default;
  virtual void Run() = 0;  // on the worker's thread
};

class Worker {
 public:
  enum class Kind { kThread, kInline };
  explicit Worker(Kind kind = Kind::kThread);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // On the loop's shard. The loop and the job live until it returns; there is no giving up.
  Task<void> Run(Loop* loop, Job* job);

 private:
  class Done;
  void Work();
  void Enqueue(std::unique_ptr<Done> done);

  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<std::unique_ptr<Done>> waiting_;
  bool stopping_ = false;
  const Kind kind_;
  std::thread thread_;
};

}  // namespace io
