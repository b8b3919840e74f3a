#include "backend/cancel.h"

#include "base/bytes.h"
#include "base/crypto.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "io/event.h"
#include "io/stream.h"
#include "pg/builders.h"

namespace backend {

std::string CancelRegistry::Key(uint32_t pid, std::string_view secret) {
  std::string key;
  base::AppendBe32(&key, pid);
  key += secret;
  return key;
}

std::string CancelRegistry::Add(const CancelTarget& target) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (;;) {
    const size_t length = HISTORICAL_BUG("g3-short-secret") ? 4 : target.secret.size();
    std::string secret = base::SecureRandom(length);
    if (HISTORICAL_BUG("g3-secret-can-be-guessed")) secret.replace(0, 3, 3, '\0');
    if (targets_.emplace(Key(target.pid, secret), target).second) {
      return secret;
    }
  }
}

void CancelRegistry::Remove(uint32_t pid, std::string_view secret) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!HISTORICAL_BUG("g7-keys-of-the-dead-stay")) {
    targets_.erase(Key(pid, secret));
  }
}

std::optional<CancelTarget> CancelRegistry::Find(uint32_t pid, std::string_view secret) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = targets_.find(Key(pid, secret));
  if (found == targets_.end()) {
    return std::nullopt;
  }
  return found->second;
}

size_t CancelRegistry::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return targets_.size();
}

io::Task<absl::Status> ForwardCancel(io::Loop* loop, const Dialler* dialler, CancelTarget target,
                                     base::Deadline deadline) {
  constexpr uint32_t kReadable = 1;
  io::Stream stream(loop);
  absl::Status result = co_await dialler->DialAgain(&stream, &target.server, deadline);
  if (!result.ok()) {
    co_await stream.Close(loop->now());
    co_return result;
  }
  std::string request;
  if (!pg::AppendCancelRequest(&request, target.pid, target.secret)) {
    result = base::Internal("a cancel key of a length the protocol does not know");
  } else {
    stream.WriteCopy(request);
    io::Event readable(loop);
    stream.NotifyReadable(&readable, kReadable);
    while (result.ok() && !stream.ended()) {
      const uint32_t bits = co_await readable.Wait(deadline);
      if ((bits & io::Event::kTimeout) != 0) {
        result = base::DeadlineExceeded("the server did not close the cancel connection");
      }
      static_cast<void>(stream.TakeInput());
    }
    stream.NotifyReadable(nullptr, 0);
  }
  co_await stream.Close(deadline);
  co_return result;
}

}  // namespace backend
