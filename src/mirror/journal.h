// Journal: what of a session's state a mirror's connection must have, and whether it can be made
// again on another one.
//
// Owned by a lane. Settings and prepared statements are kept as the statements that made them, in
// order; temporary objects and session locks cannot be, so they tie the session to its connection
// ("held"). When such a connection is lost, what needs it is missed until DISCARD ALL. The primary
// has the state whatever became of its transaction on the mirror, so the journal has it too.
// The values that sequences gave (currval) are a connection's own: they tie a session to it once
// it has asked for one, and are missed where they were lost.
// Bound: kMax entries; a session that has more is tied to its connection.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mirror/unit.h"

namespace mirror {

class Journal {
 public:
  static constexpr size_t kMax = 256;

  // A step that the primary has committed. `applied`: so has the mirror, on this connection.
  void Note(Step* step, bool applied);
  // Something is about to be run on the connection, and may ask a sequence for a value.
  void OnRun() { ran_ = true; }
  // The connection is gone.
  void OnLost();
  // The text at `index` of texts() was refused. A setting is tried again another time.
  void OnNotRebuilt(size_t index) { lost_ = lost_ || !keys_[index].starts_with("set "); }

  // The statements to be run on another connection, in order.
  const std::vector<std::string>& texts() const { return texts_; }
  bool empty() const { return texts_.empty(); }
  // True exactly when the session has a setting that is not known.
  bool blind() const { return blind_; }
  // True exactly when nobody else may have the connection.
  bool held() const { return held_ || (ran_ && asks_); }
  // True exactly when more would be lost than a sequence's last value.
  bool tied() const { return held_; }
  // True exactly when nobody else may have it even once the session is over.
  bool stained() const { return held_ || !texts_.empty(); }
  // True exactly if it names a temporary object that was lost (another one, or none, would answer),
  // or asks for a sequence's last value although one was given in the sequence's place.
  bool Lacks(const Unit& unit) const;
  // True exactly if this connection, where `step` has not run, may keep a temporary object that the
  // primary has dropped: it would hide a table of that name.
  bool WouldKeep(const Step& step) const;
  // True exactly for an error that is due to what was lost.
  bool Misses(std::string_view sqlstate) const;

 private:
  struct Temporary {
    std::string name;
    bool lost = false;
  };

  void NoteSetting(Step* step);
  void NoteTemporary(const Step& step, bool applied);
  void Forget(std::string_view prefix);
  void Erase(const std::string& key);

  std::vector<std::string> keys_;   // "set name", "set text", "prepare name", or a LOAD's text
  std::vector<std::string> texts_;  // of the same index
  std::vector<Temporary> temporaries_;
  bool held_ = false;
  bool lost_ = false;
  bool blind_ = false;
  bool ran_ = false;          // true exactly when it has run something on this connection
  bool asks_ = false;         // true exactly when it has asked for a sequence's last value
  bool pinned_ = false;       // true exactly when a value was given in a sequence's place
  bool values_lost_ = false;  // true exactly when the values of a connection may have gone
};

}  // namespace mirror
