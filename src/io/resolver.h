// Resolver: host names to addresses, on one thread of its own, because getaddrinfo blocks.
//
// Process-wide; made before the shards and destroyed after them. Numeric addresses and Unix
// sockets never reach the thread. Answers are kept for kKeep, so that a burst of sessions asks
// once. Bound: kWaitingMax questions; more fail at once.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "base/instant.h"
#include "io/address.h"
#include "io/event.h"
#include "io/task.h"

namespace io {

class Resolver {
 public:
  static constexpr size_t kWaitingMax = 1024;
  static constexpr absl::Duration Keep() { return absl::Seconds(5); }

  Resolver();
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The first address of `host` (IPv4 preferred, as the servers of one name are taken to be one).
  // `loop`: the caller's, which must live until this returned.
  Task<absl::StatusOr<Address>> Resolve(Loop* loop, std::string host, uint16_t port,
                                        base::Deadline deadline);

 private:
  struct Question;
  class Answer;
  struct Kept {
    Address address;
    base::Instant until;
  };

  void Work();
  bool Ask(Question* question);
  void Abandon(Question* question);
  bool Recall(const std::string& key, base::Instant now, Address* address);

  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<Question*> waiting_;
  std::unordered_map<std::string, Kept> kept_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace io
