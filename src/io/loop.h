// Loop: one shard's event loop. Owns the ready list, the timers, the inbox and the list of streams
// that have something to send; drives an Engine.
//
// Created, run and destroyed on one thread; Post() may be called from any. A round: resume what is
// ready, deliver messages, fire timers, send for every dirty stream once, then one Engine::Poll
// that submits and reaps. It waits in Poll only when nothing is ready. After a time in which it did
// not run (the process was stopped, the machine suspended) timers wait a little: first is looked at
// what has come meanwhile, so that nobody is given up who had answered in time.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/instant.h"
#include "base/limits.h"
#include "base/random.h"
#include "io/engine.h"
#include "io/timers.h"
#include "io/tls_metrics.h"
#include "io/turnstile.h"

namespace io {

class Stream;

// A message from another thread (or shard). Rare by design: hand-off, cancel, reload, statistics.
class Message {
 public:
  virtual ~Message() = default;
  virtual void Deliver() = 0;  // on the receiving loop's thread; must not wait
};

struct LoopMetrics {
  base::Counter resumed;  // coroutines resumed
  base::Counter messages;
  base::Counter stalls;  // rounds that came late: the thread did not run
  base::Gauge streams;          // open now
  base::Histogram busy_rounds;  // time from waking to waiting again
  TlsMetrics tls;
  void Describe(base::MetricSink* sink, std::string_view labels) const;
};

class Loop {
 public:
  // `engine` and `limits` outlive the loop; other limits may take their place.
  Loop(Engine* engine, const base::Limits* limits, uint64_t seed);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs rounds until Stop() was called.
  void Run();
  // One round; waits at most until `until`. For Run() and for tests.
  void RunOnce(base::Instant until);
  void Stop() { stopped_ = true; }
  bool stopped() const { return stopped_; }

  // Any thread; wakes the loop only if it sleeps. False once the loop is gone is not offered:
  // whoever posts must know that the loop lives (server/ joins posters first).
  void Post(std::unique_ptr<Message> message);

  void MakeReady(std::coroutine_handle<> waiter) { ready_.push_back(waiter); }
  void MarkDirty(Stream* stream) { dirty_.push_back(stream); }
  void ForgetDirty(Stream* stream);

  base::Instant now() const { return now_; }  // of this round
  base::Deadline In(absl::Duration wait) const { return now_ + wait; }
  Engine& engine() { return *engine_; }
  Timers& timers() { return timers_; }
  base::Prng& prng() { return prng_; }
  // Through which every step of a TLS handshake goes: it costs as much as many queries.
  Turnstile& handshakes() { return handshakes_; }
  const base::Limits& limits() const { return *limits_; }
  // From now on these hold, for sockets that come too. They outlive the loop, or the next call.
  void UseLimits(const base::Limits* limits);
  LoopMetrics& metrics() { return metrics_; }
  const LoopMetrics& metrics() const { return metrics_; }

 private:
  void ResumeReady();
  void DeliverMessages();
  void FlushDirty();
  void NoteStall(base::Instant expected);

  Engine* const engine_;
  const base::Limits* limits_;
  base::Instant now_;
  base::Instant timers_from_;  // no timer fires before
  bool graced_ = false;        // true exactly when none has fired since that was set
  Timers timers_;
  base::Prng prng_;
  Turnstile handshakes_;
  LoopMetrics metrics_;
  bool stopped_ = false;
  std::vector<std::coroutine_handle<>> ready_;
  std::vector<std::coroutine_handle<>> resuming_;
  std::vector<Stream*> dirty_;
  std::vector<Stream*> flushing_;

  std::mutex inbox_mutex_;
  std::vector<std::unique_ptr<Message>> inbox_;
  std::atomic<bool> asleep_{false};  // true exactly while Poll may wait
  std::atomic<bool> inbox_filled_{false};
};

}  // namespace io
