// Mirrors: the mirror room's front. All that a session sees of it: Open() a Recorder, tell it what
// the client sent and what became of it.
//
// One Mirrors per shard, made by server/. Nothing here waits, and nothing here can fail a client:
// what cannot be mirrored is counted by cause and left out, whole transactions at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/connection.h"
#include "io/task.h"
#include "pg/frame.h"
#include "turn/machine.h"

namespace mirror {

// Who a session is, for the connection of its lane.
struct SessionFacts {
  uint64_t session = 0;
  std::string user;
  std::string database;
  // Parameters of the StartupMessage but user, database and replication, in order.
  std::vector<std::pair<std::string, std::string>> parameters;
};

// What one session gives to the mirrors. Owned by the session; its lanes live on after it until
// what was committed has been delivered.
class Recorder {
 public:
  virtual ~Recorder() = default;
  // Each piece of each frame the client sends, in order; `id` is the machine's for that frame.
  virtual void OnRequest(turn::RequestId id, const pg::Piece& piece) = 0;
  // What became of requests, in the order of the replies.
  virtual void OnNotes(std::span<const backend::Note> notes) = 0;
};

class Mirrors {
 public:
  bool any() const { return false; }
  std::unique_ptr<Recorder> Open(const SessionFacts&) { return nullptr; }
};

}  // namespace mirror
