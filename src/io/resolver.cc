#include "io/resolver.h"

#include <netdb.h>

#include <utility>

#include "base/status.h"

namespace io {
namespace {

absl::StatusOr<Address> LookUp(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0 || found == nullptr) {
    return base::Unavailable("resolving \"" + host + "\": " + gai_strerror(error));
  }
  const addrinfo* chosen = found;
  while (chosen != nullptr && chosen->ai_family != AF_INET) {
    chosen = chosen->ai_next;
  }
  if (chosen == nullptr) {
    chosen = found;
  }
  const Address address = Address::From(chosen->ai_addr, chosen->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

}  // namespace

// One look-up. It is on the queue, then with the thread, then in its Answer, which deletes it. An
// asker that gives up says so: before the Answer is posted by `abandoned` (under the mutex), so
// that the thread never touches a loop that may be gone; after it by clearing `asker`.
struct Resolver::Question {
  // What the asker waits for, in its frame.
  struct Asker {
    Event* event;
    absl::StatusOr<Address> result;
    bool answered = false;
  };
  std::string host;
  uint16_t port = 0;
  Loop* loop = nullptr;
  Asker* asker = nullptr;  // the loop's thread only
  bool posted = false;     // under the mutex
  bool abandoned = false;  // under the mutex
  absl::StatusOr<Address> result;
};

class Resolver::Answer final : public Message {
 public:
  explicit Answer(std::unique_ptr<Question> question) : question_(std::move(question)) {}
  void Deliver() override {
    if (Question::Asker* asker = question_->asker; asker != nullptr) {
      asker->answered = true;
      asker->result = std::move(question_->result);
      asker->event->Raise(1);
    }
  }

 private:
  const std::unique_ptr<Question> question_;
};

Resolver::Resolver() : thread_([this] { Work(); }) {}

Resolver::~Resolver() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  filled_.notify_one();
  thread_.join();
  for (Question* question : waiting_) {
    delete question;
  }
}

bool Resolver::Ask(Question* question) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (waiting_.size() >= kWaitingMax) {
    return false;
  }
  waiting_.push_back(question);
  filled_.notify_one();
  return true;
}

bool Resolver::Recall(const std::string& key, base::Instant now, Address* address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = kept_.find(key);
  if (found == kept_.end() || found->second.until <= now) {
    return false;
  }
  *address = found->second.address;
  return true;
}

Task<absl::StatusOr<Address>> Resolver::Resolve(Loop* loop, std::string host, uint16_t port,
                                                base::Deadline deadline) {
  absl::StatusOr<Address> numeric = Address::Numeric(host, port);
  if (numeric.ok() && !host.empty()) {
    co_return numeric;
  }
  const std::string key = host + ":" + std::to_string(port);
  Address kept;
  if (Recall(key, loop->now(), &kept)) {
    co_return kept;
  }
  Event answered(loop);
  auto* question = new Question;
  question->host = host;
  question->port = port;
  question->loop = loop;
  Question::Asker asker{&answered, absl::StatusOr<Address>()};
  question->asker = &asker;
  if (!Ask(question)) {
    delete question;
    co_return base::ResourceExhausted("too many host names are being resolved");
  }
  co_await answered.Wait(deadline);
  if (!asker.answered) {
    Abandon(question);
    co_return base::DeadlineExceeded("resolving \"" + host + "\" timed out");
  }
  if (asker.result.ok()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    kept_[key] = Kept{*asker.result, loop->now() + Keep()};
  }
  co_return std::move(asker.result);
}

// The asker's time is up.
void Resolver::Abandon(Question* question) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (question->posted) {
    question->asker = nullptr;
  } else if (std::erase(waiting_, question) > 0) {
    delete question;
  } else {
    question->abandoned = true;
  }
}

void Resolver::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    filled_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) {
      return;
    }
    Question* question = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    question->result = LookUp(question->host, question->port);
    lock.lock();
    std::unique_ptr<Question> owned(question);
    if (!owned->abandoned) {
      owned->posted = true;
      Loop* loop = owned->loop;
      loop->Post(std::make_unique<Answer>(std::move(owned)));
    }
  }
}

}  // namespace io
