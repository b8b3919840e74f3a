#include "backend/cancel.h"

#include "base/crypto.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "io/event.h"
#include "io/stream.h"
#include "pg/builders.h"

namespace backend {

void CancelAsker::Tell() const {
  if (receiver != nullptr) {
    receiver->PostCancelDone(session);
  }
}

std::unordered_multimap<uint32_t, CancelRegistry::Entry>::const_iterator CancelRegistry::Look(
    uint32_t pid, std::string_view secret) const {
  auto found = entries_.end();
  const auto [first, end] = entries_.equal_range(pid);
  for (auto at = first; at != end; ++at) {
    if (base::ConstantTimeEqual(at->second.secret, secret)) {
      found = at;
    }
  }
  return found;
}

std::string CancelRegistry::Add(const CancelTarget& target) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const size_t length = HISTORICAL_BUG("g3-short-secret") ? 4 : target.secret.size();
  std::string secret;
  do {
    secret = base::SecureRandom(length);
    if (HISTORICAL_BUG("g3-secret-can-be-guessed")) secret.replace(0, 3, 3, '\0');
  } while (Look(target.pid, secret) != entries_.end());
  entries_.emplace(target.pid, Entry{secret, target});
  return secret;
}

void CancelRegistry::Remove(uint32_t pid, std::string_view secret) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = Look(pid, secret);
  if (found != entries_.end() && !HISTORICAL_BUG("g7-keys-of-the-dead-stay")) {
    entries_.erase(found);
  }
}

std::optional<CancelTarget> CancelRegistry::Find(uint32_t pid, std::string_view secret) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = Look(pid, secret);
  if (found == entries_.end()) {
    return std::nullopt;
  }
  return found->second.target;
}

size_t CancelRegistry::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
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
