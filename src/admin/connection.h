// Connection: one HTTP client of the admin endpoint, from accept to close.
//
// Owned by the endpoint's task for it, on the endpoint's shard. Answers requests one at a time, in
// order, and lets the loop turn between two, so that a pipeline does not hold up clients.
// Failure: a bad request is answered and closes; so does a client that is idle, asks slowly or does
// not read. Bound: the parser's limits, and answers up to Limits::queue_low and one more.
#pragma once

#include "absl/time/time.h"
#include "admin/pages.h"
#include "base/slice.h"
#include "http/request_parser.h"
#include "io/event.h"
#include "io/stream.h"
#include "io/task.h"

namespace admin {

struct Patience {
  absl::Duration idle = absl::Minutes(2);      // until the first byte of a request
  absl::Duration request = absl::Seconds(10);  // from there to its last byte
  absl::Duration answer = absl::Seconds(10);   // for the client to read what waits for it
};

class Connection {
 public:
  // All outlive the connection.
  Connection(io::Loop* loop, const Source* source, Orders* orders, AdminMetrics* metrics,
             const Patience* patience);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Returns when the connection is closed.
  io::Task<void> Run(int descriptor);
  // Ends it: what was answered goes out, nothing more is read.
  void Stop();

 private:
  enum Bit : uint32_t { kReadable = 1, kDrained = 2 };

  // True: parser_ holds a request. False: there will be none.
  io::Task<bool> ReadRequest();
  io::Task<bool> AwaitRoom();
  bool TakeInput();
  http::Response Obey();
  void Reject();

  io::Loop* const loop_;
  const Source* const source_;
  Orders* const orders_;
  AdminMetrics* const metrics_;
  const Patience* const patience_;
  io::Event event_;
  io::Stream stream_;
  http::RequestParser parser_;
  base::Slice input_;  // received, not parsed yet
  bool ended_ = false;    // true exactly when no further request is read
  bool stopped_ = false;  // true exactly when Stop() was called
};

}  // namespace admin
