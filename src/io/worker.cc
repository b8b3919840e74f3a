#include "io/worker.h"

#include <utility>

#include "base/check.h"
#include "io/event.h"

namespace io {

// A job on its way: to the thread in the queue, then back to its loop as a message.
class Worker::Done final : public Message {
 public:
  Done(Loop* loop, Job* job, Event* event) : loop_(loop), job_(job), event_(event) {}
  void Deliver() override { event_->Raise(1); }

  static void RunAndPost(std::unique_ptr<Done> done) {
    done->job_->Run();
    Loop* const loop = done->loop_;
    loop->Post(std::move(done));
  }

 private:
  Loop* const loop_;
  Job* const job_;
  Event* const event_;
};

Worker::Worker(Kind kind) : kind_(kind) {
  if (kind == Kind::kThread) {
    thread_ = std::thread([this] { Work(); });
  }
}

Worker::~Worker() {
  if (kind_ == Kind::kInline) {
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    CHECK(waiting_.empty());
    stopping_ = true;
  }
  filled_.notify_one();
  thread_.join();
}

Task<void> Worker::Run(Loop* loop, Job* job) {
  Event ended(loop);
  Enqueue(std::make_unique<Done>(loop, job, &ended));
  co_await ended.Wait();
}

void Worker::Enqueue(std::unique_ptr<Done> done) {
  if (kind_ == Kind::kInline) {
    Done::RunAndPost(std::move(done));
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  waiting_.push_back(std::move(done));
  filled_.notify_one();
}

void Worker::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    filled_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) {
      return;
    }
    std::unique_ptr<Done> done = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    Done::RunAndPost(std::move(done));
    lock.lock();
  }
}

}  // namespace io
