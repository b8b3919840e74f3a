// Scope: the owner of background tasks. Whoever spawns into it joins it before it dies.
//
// On one shard. Spawn runs the task until its first wait; Join resumes when the last one ended.
// Tasks are never cancelled here: stop what they wait for (a Event's kStop), then join.
#pragma once

#include <coroutine>
#include <cstdint>

#include "base/check.h"
#include "io/loop.h"
#include "io/task.h"

namespace io {

class Scope {
 public:
  explicit Scope(Loop* loop) : loop_(loop) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { CHECK(running_ == 0); }

  void Spawn(Task<void> task) {
    ++running_;
    Run(this, std::move(task));
  }
  uint32_t running() const { return running_; }

  struct JoinAwaiter {
    Scope* scope;
    bool await_ready() const { return scope->running_ == 0; }
    void await_suspend(std::coroutine_handle<> waiter) const {
      CHECK(scope->joiner_ == nullptr);
      scope->joiner_ = waiter;
    }
    void await_resume() const {}
  };
  JoinAwaiter Join() { return JoinAwaiter{this}; }

 private:
  // A frame that frees itself when the task in it has ended.
  struct Runner {
    struct promise_type {
      static void* operator new(size_t bytes) { return FramePool::Allocate(bytes); }
      static void operator delete(void* frame, size_t bytes) { FramePool::Free(frame, bytes); }
      Runner get_return_object() const { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const {}
      [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    };
  };
  static Runner Run(Scope* scope, Task<void> task) {
    co_await task;
    scope->Ended();
  }
  void Ended() {
    --running_;
    if (running_ == 0 && joiner_ != nullptr) {
      loop_->MakeReady(joiner_);
      joiner_ = nullptr;
    }
  }

  Loop* const loop_;
  std::coroutine_handle<> joiner_;
  uint32_t running_ = 0;
};

}  // namespace io
