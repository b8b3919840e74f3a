// Cancel requests: the process-wide table of keys given to clients, and the message to the server.
//
// A client's key is the server's process id (a random number, where connections are pooled) and a
// secret of our own, so that a guess at one server's secret is worth nothing here, and a cancel
// finds its server from any shard. How long a look-up takes tells nothing of the secrets. The table
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

class CancelReceiver;

// Who brought a cancel, and waits to hear that it has been dealt with: a client that has seen its
// cancel connection end may take it that no later request of its own will be hit.
struct CancelAsker {
  CancelReceiver* receiver = nullptr;  // null: nobody
  uint64_t session = 0;
  void Tell() const;
};

// A shard, to which cancels of its sessions are brought. Any thread.
class CancelReceiver {
 public:
  virtual ~CancelReceiver() = default;
  virtual void PostCancel(uint64_t session, const CancelAsker& asker) = 0;
  // To the shard of the asker. It may be gone by now.
  virtual void PostCancelDone(uint64_t session) = 0;
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
  struct Entry {
    std::string secret;
    CancelTarget target;
  };
  // Compares with every secret of that process id, of which there are as many as servers.
  std::unordered_multimap<uint32_t, Entry>::const_iterator Look(uint32_t pid,
                                                                std::string_view secret) const;
  mutable std::mutex mutex_;
  std::unordered_multimap<uint32_t, Entry> entries_;  // by process id
};

// Sends the CancelRequest on a connection of its own and waits until the server has closed it,
// which it does when the signal has been sent (or until `deadline`).
io::Task<absl::Status> ForwardCancel(io::Loop* loop, const Dialler* dialler, CancelTarget target,
                                     base::Deadline deadline);

}  // namespace backend
