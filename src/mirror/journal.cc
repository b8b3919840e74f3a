#include "mirror/journal.h"

#include <utility>

#include "mirror/trace.h"

namespace mirror {

void Journal::Note(Step* step) {
  switch (step->trace) {
    case Trace::kNone:
      break;
    case Trace::kHeld:
      held_ = true;
      break;
    case Trace::kSet:
      Erase(step->key);
      if (keys_.size() >= kMax) {
        held_ = true;
      } else {
        keys_.push_back(std::move(step->key));
        texts_.emplace_back(TextOf(*step));
      }
      break;
    case Trace::kReset:
      Forget("set ");
      break;
    case Trace::kDeallocate:
      if (step->key.empty()) {
        Forget("prepare ");
      } else {
        Erase("prepare " + step->key);
      }
      break;
    case Trace::kDiscard:
      keys_.clear();
      texts_.clear();
      held_ = false;
      lost_ = false;
  }
}

// What an object or a prepared statement that is gone is missed by.
bool Journal::Misses(std::string_view sqlstate) const {
  return lost_ && (sqlstate == "42P01" || sqlstate == "26000" || sqlstate == "34000");
}

void Journal::Forget(std::string_view prefix) {
  for (size_t i = keys_.size(); i > 0; --i) {
    if (keys_[i - 1].starts_with(prefix)) {
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
