// NextRound: lets the shard's other work go first. `co_await next;` of a named one; on the loop's
// own thread.
#pragma once

#include <coroutine>

#include "io/loop.h"

namespace mirror {

struct NextRound {
  io::Loop* loop;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const { loop->MakeReady(waiter); }
  void await_resume() const {}
};

}  // namespace mirror
