// Journal: what of a session's state a mirror's connection must have, and whether it can be made
// again on another one.
//
// Owned by a lane. Settings and prepared statements are kept as the statements that made them, in
// order; temporary objects and session locks cannot be, so they tie the session to its connection
// ("held"). When such a connection is lost, what needs it is missed until DISCARD ALL.
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

  // A step that the mirror has executed and committed.
  void Note(Step* step);
  // The connection is gone.
  void OnLost() {
    lost_ = lost_ || held_;
    held_ = false;
  }
  // It could not be made again.
  void OnNotRebuilt() { lost_ = true; }

  // The statements to be run on another connection, in order.
  const std::vector<std::string>& texts() const { return texts_; }
  bool empty() const { return texts_.empty(); }
  bool held() const { return held_; }
  // True exactly for an error that is due to what was lost.
  bool Misses(std::string_view sqlstate) const;

 private:
  void Forget(std::string_view prefix);
  void Erase(const std::string& key);

  std::vector<std::string> keys_;   // "set name", "prepare name", or a text
  std::vector<std::string> texts_;  // of the same index
  bool held_ = false;
  bool lost_ = false;
};

}  // namespace mirror
