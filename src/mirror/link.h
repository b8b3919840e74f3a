// Link: one connection to a mirror, logged in, its pump running.
//
// Owned by a lane, or by the shard's idle ones; on one shard. Open and Close each run to their end
// before it is destroyed. It fails by the status of Open, later by alive().
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "backend/cancel.h"
#include "backend/connection.h"
#include "backend/dial.h"
#include "backend/login.h"
#include "config/server_url.h"
#include "io/event.h"
#include "io/scope.h"
#include "io/task.h"
#include "mirror/parsed.h"
#include "mirror/pin_check.h"

namespace mirror {

class Link {
 public:
  // `key`: database, start-up parameters and user; sessions of one key may use it after each other.
  Link(io::Loop* loop, backend::BackendMetrics* metrics, bool protocol_log, std::string key);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Dials and logs in. After an error it must be closed all the same.
  io::Task<absl::Status> Open(const config::Server* server, const backend::Dialler* dialler,
                              const backend::LoginFacts* facts, base::Deadline deadline);
  // Ends an Open that is under way: it fails soon.
  void Abort() { connection_.stream().Abort(); }
  // Its row of markers, if it has one, goes with it where the mirror still answers.
  io::Task<void> Close();

  // -- markers, see marker.h ----------------------------------------------------------------------
  // True exactly when its transactions are marked; asked: whether that was tried.
  bool marked() const { return marked_; }
  bool asked() const { return asked_; }
  void SetMarked(bool marked) {
    asked_ = true;
    marked_ = marked;
  }
  uint64_t number() const { return number_; }
  // Transactions that it has committed.
  uint64_t done() const { return done_; }
  void CountDone() { ++done_; }

  // -- whose it is --------------------------------------------------------------------------------
  // The lane whose units it has run last; 0: it has run none.
  uint64_t lane() const { return lane_; }
  void SetLane(uint64_t lane) { lane_ = lane; }
  // True exactly when it has more of a session than the next one could be rid of.
  bool stained() const { return stained_; }
  void SetStained(bool stained) { stained_ = stained; }
  // What makes it the client's user; empty: it stays as it has logged in. Known: that was tried.
  const std::string& role() const { return role_; }
  bool role_known() const { return role_known_; }
  void SetRole(std::string text) {
    role_ = std::move(text);
    role_known_ = true;
  }
  // What stops the statement that it runs. Secret empty: there is nothing that does.
  backend::CancelTarget cancel() const;

  backend::Connection& connection() { return connection_; }
  PinCheck& check() { return check_; }
  Parsed& parsed() { return parsed_; }
  bool alive() const { return !connection_.over(); }
  const std::string& key() const { return key_; }

 private:
  io::Task<void> DeleteMarker();

  io::Loop* const loop_;
  backend::Connection connection_;
  PinCheck check_;
  Parsed parsed_;
  io::Scope pump_;
  const std::string key_;
  const uint64_t number_;  // none other has it, in this process or another
  uint64_t done_ = 0;
  backend::Dialled dialled_;
  std::string role_;
  uint64_t lane_ = 0;
  bool stained_ = false;
  bool role_known_ = false;
  bool asked_ = false;
  bool marked_ = false;
};

}  // namespace mirror
