#include "mirror/journal.h"

#include <algorithm>
#include <array>
#include <utility>

#include "mirror/trace.h"

namespace mirror {

void Journal::Note(Step* step, bool applied) {
  asks_ = asks_ || step->asks;
  switch (step->trace) {
    case Trace::kNone:
      break;
    case Trace::kHeld:
      (applied ? held_ : lost_) = true;
      break;
    case Trace::kSet:
      NoteSetting(step);
      break;
    case Trace::kLost:
      blind_ = true;
      break;
    case Trace::kReset:
      blind_ = false;
      Forget("set ");
      break;
    case Trace::kDeallocate:
      if (step->key.empty()) {
        Forget("prepare ");
      } else {
        Erase("prepare " + step->key);
      }
      break;
    case Trace::kDiscard: {
      const bool asks = asks_;
      *this = Journal();
      asks_ = asks;
    }
  }
}

void Journal::NoteSetting(Step* step) {
  Erase(step->key);
  if (EndsRole(*step)) {
    return;  // what it goes back to is the session's beginning, which every connection has
  }
  if (keys_.size() >= kMax) {
    held_ = true;
    return;
  }
  keys_.push_back(std::move(step->key));
  texts_.emplace_back(TextOf(*step));
}

void Journal::OnLost() {
  lost_ = lost_ || held_;
  values_lost_ = values_lost_ || ran_;
  held_ = false;
  ran_ = false;
}

// A table, view or sequence that is gone is 42P01, a type, index or trigger 42704, a function
// 42883, the temporary schema 3F000; a column that only a temporary table of that name had is
// 42703; a prepared statement is 26000, a cursor 34000. A lock or a LISTEN is missed by nobody.
bool Journal::Misses(std::string_view sqlstate) const {
  constexpr std::array kOfObjects = {"42P01", "42704", "42883", "3F000", "42703", "26000", "34000"};
  return (lost_ && std::find(kOfObjects.begin(), kOfObjects.end(), sqlstate) != kOfObjects.end()) ||
         (values_lost_ && sqlstate == "55000");
}

void Journal::Forget(std::string_view prefix) {
  for (size_t i = keys_.size(); i > 0; --i) {
    const std::string& key = keys_[i - 1];
    // RESET ALL leaves the roles.
    if (key.starts_with(prefix) && key != kRoleKey && key != kAuthorizationKey) {
      keys_.erase(keys_.begin() + static_cast<ptrdiff_t>(i - 1));
      texts_.erase(texts_.begin() + static_cast<ptrdiff_t>(i - 1));
    }
  }
}

void Journal::Erase(const std::string& key) {
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i] == key) {
      keys_.erase(keys_.begin() + static_cast<ptrdiff_t>(i));
      texts_.erase(texts_.begin() + static_cast<ptrdiff_t>(i));
      return;
    }
  }
}

}  // namespace mirror
