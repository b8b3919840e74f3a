// Queued: a unit in a lane's queue, and what has become of it so far.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mirror/pin.h"
#include "mirror/unit.h"

namespace mirror {

struct Queued {
  Unit unit;
  Charge charge;
  UnitTeller* teller = nullptr;  // null: nobody waits for its fate
  uint64_t number = 0;           // for the teller
  std::vector<Step> behind;  // the state that dropped units behind it have made on the primary
  uint32_t tries = 0;      // that have reached the mirror in vain
  bool executed = false;   // as the order has been told
  bool overtaken = false;  // perhaps: those behind it committed while it was lost, or blocked
  bool reordered = false;  // runs again once those before it have been executed
  bool serial = false;     // likewise, once they are resolved
  std::string was = {};    // of its last try, see UnitOutcome
  std::string is = {};
  absl::Duration took;     // its last try, without `waited`
  absl::Duration waited;   // for those before it, once it was under way
  bool unmarked = false;   // it refuses to share a transaction
  bool cancelled = false;  // by us, so that one before it can go on
  bool hurried = false;    // ends a prepared transaction, and goes before its turn
  bool sent = false;       // some of it may have run before, and been rolled back
  bool changes = false;    // perhaps what tables are like, see ChangesTables
  bool relied = false;     // its last try, on what was parsed before
  bool anew = false;       // it does not any more: that was refused
  Pinning pinning;
};

}  // namespace mirror
