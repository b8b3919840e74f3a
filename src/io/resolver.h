// Resolver: host names to addresses, on threads of its own, because getaddrinfo blocks.
//
// Process-wide; made before the shards and destroyed after them. Numeric addresses and Unix
// sockets never reach the threads. A name is looked up once for all who ask meanwhile, so that one
// which takes long holds up one thread, and no other name. Answers are kept for a while, so that a
// burst of sessions asks once. Bound: kAskersMax who wait; more fail at once.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "base/instant.h"
#include "io/address.h"
#include "io/event.h"
#include "io/task.h"

namespace io {

class Resolver {
 public:
  static constexpr size_t kAskersMax = 1024;
  static constexpr size_t kThreads = 4;
  static constexpr absl::Duration Keep() { return absl::Seconds(5); }
  // Called on the threads; may take as long as it likes.
  using LookUp = std::function<absl::StatusOr<Address>(const std::string& host, uint16_t port)>;

  Resolver();  // asks the system
  Resolver(LookUp look_up, absl::Duration keep);  // for tests
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The first address of `host` (IPv4 preferred, as the servers of one name are taken to be one).
  // `loop`: the caller's, which must live until this returned.
  Task<absl::StatusOr<Address>> Resolve(Loop* loop, std::string host, uint16_t port,
                                        base::Deadline deadline);

 private:
  struct Asker;
  struct Question;
  class Answer;
  struct Kept {
    Address address;
    base::Instant until;
  };

  void Work();
  void Tell(Question* question, const absl::StatusOr<Address>& answer);
  Asker* Ask(const std::string& key, const std::string& host, uint16_t port, const Asker& who);
  void Abandon(Asker* asker);
  bool Recall(const std::string& key, base::Instant now, Address* address);

  const LookUp look_up_;
  const absl::Duration keep_;
  std::mutex mutex_;
  std::condition_variable filled_;
  std::unordered_map<std::string, std::unique_ptr<Question>> questions_;  // asked, not answered
  std::deque<Question*> waiting_;  // of these, that no thread has taken
  size_t askers_ = 0;              // of all of them
  std::unordered_map<std::string, Kept> kept_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace io
