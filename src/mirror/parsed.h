// Parsed: what a mirror's connection has prepared of the statements that clients have prepared by
// name, so that it plans them as often as the primary does, and no oftener.
//
// Owned by a Link, on its shard; used by Replay while a unit is under way. They are known by the
// Parse's bytes, since sessions that use the connection after each other name theirs as they like.
// A statement is believed to be there once all of its flight was answered without an error, until
// Doubt(): then it is closed and parsed again where it is next used. Bound: kMax statements of at
// most kBytesMax; the one not used for longest goes for a new one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/keyed_hash.h"

namespace mirror {

class Parsed {
 public:
  static constexpr size_t kMax = 128;
  static constexpr size_t kBytesMax = 8 * 1024;

  struct Use {
    std::string_view name;  // good until the next Take()
    bool close = false;     // there may be something of that name: it goes first
    bool parse = false;
  };

  // A flight begins. `schema`: see Shadow::schema(); what was parsed under another one is doubted,
  // since a table may stand in front of the one that it means.
  void Begin(uint64_t schema);
  // All that was taken since then is there.
  void OnGood();
  // What it means, or whether it is there, is not known any more.
  void Doubt() { ++doubts_; }

  static bool Takes(std::string_view parse) { return parse.size() <= kBytesMax; }
  // `parse`: the body behind the name. It is about to be used.
  Use Take(std::string_view parse);

 private:
  struct Place {
    std::string name;
    uint64_t flight = 0;    // in which it was parsed last; 0: in none
    uint64_t proven = 0;    // doubts_ when all of that flight had gone well; 0: it has not
    uint64_t used = 0;      // grows
    bool may_have = false;  // true exactly when something was parsed under that name
  };

  Place NewPlace();

  base::NameTable<Place> places_;
  uint64_t schema_ = 0;
  uint64_t doubts_ = 1;  // grows: what was proven before one is not any more
  uint64_t flight_ = 0;
  uint64_t uses_ = 0;
  bool fresh_ = false;  // true exactly when something was parsed in this flight
};

}  // namespace mirror
