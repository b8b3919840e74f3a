// ReplayPlan: in which order, and when, the units of a capture are given to the lanes of a server.
//
// A value, made from the records of a capture in any order of its logs; pure. Captured transactions
// have numbers of the capturing process: a stamp, which is their place, and an acknowledgement. The
// plan is the list of these numbers in their order; whoever carries it out takes numbers of a clock
// of its own for them, so that the rules of mirror/order.h hold as they did.
//
// Of a unit it has no statement, but where its record is: 88 bytes with its event, and 16 more if
// its stamp was taken before. Of a session it has who that was.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "command/capture_lookup.h"
#include "mirror/capture_format.h"

namespace command {

class ReplayPlan {
 public:
  // No unit is charged more: its record has kRecordBytesMax bytes at most.
  static constexpr int64_t kUnitBytesMax = int64_t{1} << 40;

  struct Event {
    uint64_t number = 0;        // of the capturing process
    uint64_t unit : 62 = 0;     // index in units()
    bool reserves : 1 = false;  // true: only a stamp is taken, for units that come later
    bool releases : 1 = false;  // behind this unit nothing more has its stamp
  };
  struct Captured {
    uint64_t session = 0;
    uint64_t stamp = 0;
    uint64_t acked = 0;
    CapturePlace place;
    int64_t answered = 0;  // its last step: when, nanoseconds
    int64_t busy = 0;      // how long the server had something to answer
    bool last = false;     // of its session
  };
  static_assert(sizeof(Event) == 16 && sizeof(Captured) == 72);

  void Add(mirror::Captured captured, const CapturePlace& place);
  // After the last Add(): puts everything in its order.
  void Finish();

  const std::vector<Event>& events() const { return events_; }
  const std::vector<Captured>& units() const { return units_; }
  const std::map<uint64_t, mirror::CapturedSession>& sessions() const { return sessions_; }
  // What a mirror is charged for all units.
  int64_t bytes() const { return bytes_; }
  uint64_t lacking() const { return lacking_; }  // transactions that the capture could not keep
  uint64_t order_unknown() const { return order_unknown_; }  // of those kept, see Unit::meets

 private:
  void AddReservations();

  std::map<uint64_t, mirror::CapturedSession> sessions_;
  std::vector<Captured> units_;
  std::vector<Event> events_;
  int64_t bytes_ = 0;
  uint64_t lacking_ = 0;
  uint64_t order_unknown_ = 0;
};

}  // namespace command
