#include "io/resolver.h"

#include <netdb.h>

#include <utility>

#include "base/status.h"

namespace io {
namespace {

absl::StatusOr<Address> AskSystem(const std::string& host, uint16_t port) {
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

// Who asked. It belongs to its question until that was answered, then to its Answer. One who gives
// up says so: before the Answer is posted by leaving the question (under the mutex), so that the
// threads never touch a loop that may be gone; after it by clearing `event`.
struct Resolver::Asker {
  Loop* loop = nullptr;
  Question* question = nullptr;  // under the mutex; null: the Answer was posted
  Event* event = nullptr;        // the loop's thread only, as the rest
  bool* answered = nullptr;      // in the frame of who waits, as `result`
  absl::StatusOr<Address>* result = nullptr;
};

// A name that is looked up, for all who ask meanwhile.
struct Resolver::Question {
  std::string key;
  std::string host;
  uint16_t port = 0;
  bool taken = false;  // by a thread
  std::vector<std::unique_ptr<Asker>> askers;
};

class Resolver::Answer final : public Message {
 public:
  Answer(std::unique_ptr<Asker> asker, const absl::StatusOr<Address>& result)
      : asker_(std::move(asker)), result_(result) {}
  void Deliver() override {
    if (asker_->event != nullptr) {
      *asker_->answered = true;
      *asker_->result = result_;
      asker_->event->Raise(1);
    }
  }

 private:
  const std::unique_ptr<Asker> asker_;
  const absl::StatusOr<Address> result_;
};

Resolver::Resolver() : Resolver(&AskSystem, Keep()) {}

Resolver::Resolver(LookUp look_up, absl::Duration keep)
    : look_up_(std::move(look_up)), keep_(keep) {
  for (size_t i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this] { Work(); });
  }
}

Resolver::~Resolver() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  filled_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

// Null if there are too many.
Resolver::Asker* Resolver::Ask(const std::string& key, const std::string& host, uint16_t port,
                               const Asker& who) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (askers_ >= kAskersMax) {
    return nullptr;
  }
  std::unique_ptr<Question>& question = questions_[key];
  if (question == nullptr) {
    question = std::make_unique<Question>();
    question->key = key;
    question->host = host;
    question->port = port;
    waiting_.push_back(question.get());
    filled_.notify_one();
  }
  ++askers_;
  question->askers.push_back(std::make_unique<Asker>(who));
  question->askers.back()->question = question.get();
  return question->askers.back().get();
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
  Event event(loop);
  bool answered = false;
  absl::StatusOr<Address> result;
  Asker who;
  who.loop = loop;
  who.event = &event;
  who.answered = &answered;
  who.result = &result;
  Asker* const asker = Ask(key, host, port, who);
  if (asker == nullptr) {
    co_return base::ResourceExhausted("too many host names are being resolved");
  }
  co_await event.Wait(deadline);
  if (!answered) {
    Abandon(asker);
    co_return base::DeadlineExceeded("resolving \"" + host + "\" timed out");
  }
  if (result.ok()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    kept_[key] = Kept{*result, loop->now() + keep_};
  }
  co_return result;
}

// The asker's time is up.
void Resolver::Abandon(Asker* asker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Question* const question = asker->question;
  if (question == nullptr) {
    asker->event = nullptr;
    return;
  }
  --askers_;
  std::erase_if(question->askers,
                [&](const std::unique_ptr<Asker>& one) { return one.get() == asker; });
  if (question->askers.empty() && !question->taken) {
    std::erase(waiting_, question);
    questions_.erase(std::string(question->key));
  }
}

void Resolver::Work() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    filled_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) {
      return;
    }
    Question* const question = waiting_.front();
    waiting_.pop_front();
    question->taken = true;
    lock.unlock();
    const absl::StatusOr<Address> answer = look_up_(question->host, question->port);
    lock.lock();
    Tell(question, answer);
  }
}

// Under the mutex.
void Resolver::Tell(Question* question, const absl::StatusOr<Address>& answer) {
  for (std::unique_ptr<Asker>& asker : question->askers) {
    --askers_;
    asker->question = nullptr;
    Loop* const loop = asker->loop;
    loop->Post(std::make_unique<Answer>(std::move(asker), answer));
  }
  questions_.erase(std::string(question->key));
}

}  // namespace io
