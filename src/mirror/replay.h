// Replay: a unit's frames, written to a mirror's connection in one flight, and what came of them.
//
// On the connection's shard; lives while one flight is under way. Extended statements are sent as
// protocol, through the unnamed statement and portal, so nothing has to be prepared again after a
// reconnect. Nothing is read here: answers are found in the notes.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "backend/connection.h"
#include "mirror/unit.h"

namespace mirror {

class Replay {
 public:
  explicit Replay(backend::Connection* connection) : connection_(connection) {}

  // BEGIN ... COMMIT around several steps, or PREPARE TRANSACTION in place of COMMIT; one step
  // goes alone, since it may be of those that refuse a transaction.
  void Send(const Unit& unit);
  void Query(std::string_view text);
  void Finish();  // what is buffered goes to the stream
  // True exactly when a frame could not be sent: too long for its type, or the ledger is full.
  bool failed() const { return failed_; }

  // The notes made since the last call.
  void OnNotes(std::span<const backend::Note> notes);
  // The SQLSTATE of the first error; empty: there was none.
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  void SendStep(const Step& step);
  void SendExtended(const Step& step);
  void Frame(char type, std::initializer_list<std::string_view> body);
  void CopyData(const Step& step);

  backend::Connection* const connection_;
  std::string out_;
  std::string sqlstate_;
  base::Slice parsed_;  // what the unnamed statement was last made of
  bool failed_ = false;
};

}  // namespace mirror
