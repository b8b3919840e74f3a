// ReplayPlan: in which order, and when, the units of a capture are given to the lanes of a server.
//
// A value, made from the records of a capture in any order of its logs; pure. Captured transactions
// have numbers of the capturing process: a stamp, which is their place, and an acknowledgement. The
// plan is the list of these numbers in their order; whoever carries it out takes numbers of a clock
// of its own for them, so that the rules of mirror/order.h hold as they did.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "mirror/capture_format.h"

namespace command {

class ReplayPlan {
 public:
  struct Event {
    uint64_t number = 0;    // of the capturing process
    size_t unit = 0;        // kOffer: index in units()
    bool reserves = false;  // true: only a stamp is taken, for units that come later
    bool releases = false;  // behind this unit nothing more has its stamp
  };
  struct Captured {
    uint64_t session = 0;
    mirror::Unit unit;
    int64_t sent = 0;      // of its first step, nanoseconds
    int64_t answered = 0;  // of its last
    int64_t busy = 0;      // how long the server had something to answer
    bool last = false;     // of its session
  };

  void Add(mirror::Captured captured);
  // After the last Add(): puts everything in its order.
  void Finish();

  const std::vector<Event>& events() const { return events_; }
  const std::vector<Captured>& units() const { return units_; }
  const std::map<uint64_t, mirror::CapturedSession>& sessions() const { return sessions_; }
  int64_t bytes() const { return bytes_; }
  uint64_t lacking() const { return lacking_; }  // transactions that the capture could not keep

 private:
  std::map<uint64_t, mirror::CapturedSession> sessions_;
  std::vector<Captured> units_;
  std::vector<Event> events_;
  int64_t bytes_ = 0;
  uint64_t lacking_ = 0;
};

}  // namespace command
