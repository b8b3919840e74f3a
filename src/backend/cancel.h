// Cancel requests: the process-wide table of keys given to clients, and the message to the server.
//
// A client's key is the server's process id and a secret of our own, so that a guess at one
// server's secret is worth nothing here, and a cancel finds its server from any shard. The table
// is locked; it is touched at login, logout and cancel only.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "backend/epoch.h"
#include "base/instant.h"
#include "io/loop.h"
#include "io/task.h"

namespace backend {

// A shard, to which cancels of its sessions are brought. Any thread.
class CancelReceiver {
 public:
  virtual ~CancelReceiver() = default;
  virtual void PostCancel(uint64_t session) = 0;
};

// Where a cancel goes and the key that the server itself gave out; or the session it is for, which
// knows what runs for it now.
struct CancelTarget {
  CancelReceiver* receiver = nullptr;  // null: `server`
  uint64_t session = 0;
  Dialled server;  // as the session's own connection: the same address, encrypted in the same way
  Epoch epoch;     // by which it was made; empty where there is a receiver
  uint32_t pid = 0;
  std::string secret;
};

class CancelRegistry {
 public:
  // A new secret, as long as the server's and random in every bit, under which Find answers.
  std::string Add(const CancelTarget& target);
  void Remove(uint32_t pid, std::string_view secret);
  // Any thread. Nothing for an unknown key.
  std::optional<CancelTarget> Find(uint32_t pid, std::string_view secret) const;
  size_t size() const;

 private:
  static std::string Key(uint32_t pid, std::string_view secret);
  mutable std::mutex mutex_;
  std::unordered_map<std::string, CancelTarget> targets_;
};

// Sends the CancelRequest on a connection of its own and waits until the server has closed it,
// which it does when the signal has been sent (or until `deadline`).
io::Task<absl::Status> ForwardCancel(io::Loop* loop, const Dialler* dialler, CancelTarget target,
                                     base::Deadline deadline);

}  // namespace backend
