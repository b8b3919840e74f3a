#include "io/loop.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "io/stream.h"

namespace io {
namespace {

constexpr absl::Duration kStall = absl::Milliseconds(250);  // a round that is late by so much
constexpr absl::Duration kGrace = absl::Milliseconds(500);  // for what has come meanwhile

}  // namespace

void LoopMetrics::Describe(base::MetricSink* sink, std::string_view labels) const {
  sink->Add("pgbraid_io_resumed", "Coroutines resumed.", labels, resumed);
  sink->Add("pgbraid_io_stalls", "Rounds that came late: the thread did not run.", labels, stalls);
  sink->Add("pgbraid_io_messages", "Messages received from other threads.", labels, messages);
  sink->Add("pgbraid_io_streams", "Sockets open now, to clients and servers.", labels, streams);
  sink->Add("pgbraid_io_busy_seconds", "Time from waking to waiting again.", labels, busy_rounds);
  tls.Describe(sink, labels);
}

Loop::Loop(Engine* engine, const base::Limits* limits, uint64_t seed)
    : engine_(engine),
      limits_(limits),
      now_(engine->Now()),
      timers_(now_),
      prng_(seed),
      handshakes_(limits->tls_handshakes_per_round) {
  engine_->set_tcp(TuningOf(*limits));
}

void Loop::UseLimits(const base::Limits* limits) {
  limits_ = limits;
  engine_->set_tcp(TuningOf(*limits));
}

Loop::~Loop() {
  CHECK(ready_.empty());
  CHECK(dirty_.empty());
  CHECK(!handshakes_.waiting());
}

void Loop::Run() {
  while (!stopped_) {
    RunOnce(base::Instant::Never());
  }
}

void Loop::RunOnce(base::Instant until) {
  handshakes_.NewRound(&ready_);
  ResumeReady();
  DeliverMessages();
  if (now_ >= timers_from_) {
    timers_.Advance(now_);
    graced_ = false;
  }
  FlushDirty();
  engine_->TellKnown();
  if (!ready_.empty() || !dirty_.empty() || handshakes_.waiting() || stopped_) {
    until = now_;
  } else {
    until = std::min(until, std::max(timers_.Next(), timers_from_));
    // A poster that does not see the flag has filled the inbox before this check.
    asleep_.store(true, std::memory_order_seq_cst);
    if (inbox_filled_.load(std::memory_order_seq_cst)) {
      until = now_;
    }
  }
  const base::Instant before = engine_->Now();
  metrics_.busy_rounds.Record(before - now_);
  engine_->Poll(until);
  asleep_.store(false, std::memory_order_relaxed);
  now_ = engine_->Now();
  NoteStall(std::max(until, before));
}

// `expected`: when Poll() should have returned at the latest. What a round itself takes is no
// stall; and a thread that is late again and again still fires its timers in between.
void Loop::NoteStall(base::Instant expected) {
  if (now_ <= expected + kStall) {
    return;
  }
  metrics_.stalls.Add();
  if (!graced_) {
    graced_ = true;
    timers_from_ = now_ + kGrace;
  }
}

void Loop::Post(std::unique_ptr<Message> message) {
  // All under the lock: once a delivered message was seen, its poster no longer touches the loop,
  // so whoever waits for the message may destroy the loop.
  const std::lock_guard<std::mutex> lock(inbox_mutex_);
  inbox_.push_back(std::move(message));
  inbox_filled_.store(true, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst)) {
    engine_->Wake();
  }
}

void Loop::DeliverMessages() {
  if (!inbox_filled_.load(std::memory_order_acquire)) {
    return;
  }
  inbox_filled_.store(false, std::memory_order_seq_cst);
  std::vector<std::unique_ptr<Message>> messages;
  {
    const std::lock_guard<std::mutex> lock(inbox_mutex_);
    messages.swap(inbox_);
  }
  for (const std::unique_ptr<Message>& message : messages) {
    metrics_.messages.Add();
    message->Deliver();
  }
}

// Two passes: who is told of a reply by the coroutine that wrote it takes note before it is sent.
// A mirrored transaction must be stamped before its client can know that it was committed, and
// with it whatever that client tells others. Those made ready later run in the next round.
void Loop::ResumeReady() {
  for (int pass = 0; pass < 2 && !ready_.empty(); ++pass) {
    resuming_.swap(ready_);
    for (const std::coroutine_handle<> waiter : resuming_) {
      metrics_.resumed.Add();
      waiter.resume();
    }
    resuming_.clear();
  }
}

void Loop::FlushDirty() {
  flushing_.swap(dirty_);
  for (size_t i = 0; i < flushing_.size(); ++i) {
    if (Stream* stream = flushing_[i]; stream != nullptr) {
      stream->Flush();
    }
  }
  flushing_.clear();
}

void Loop::ForgetDirty(Stream* stream) {
  std::erase(dirty_, stream);
  std::replace(flushing_.begin(), flushing_.end(), stream, static_cast<Stream*>(nullptr));
}

}  // namespace io
