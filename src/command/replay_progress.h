// ReplayProgress: how far a replay has come, about once a second, on the standard error.
//
// On the thread that replays. On a terminal one line is written over and over; elsewhere each is a
// line of its own, and only if that was asked for.
#pragma once

#include <string>

#include "base/instant.h"
#include "command/outcome.h"
#include "command/replay_report.h"

namespace command {

// One line without its end. `passed`: since the line before, in which `more` transactions were
// decided.
std::string ProgressLine(const ReplayReport& report, uint64_t more, absl::Duration passed);

class ReplayProgress {
 public:
  // `report` outlives this.
  ReplayProgress(const ReplayReport* report, const Console& console, bool wanted)
      : report_(report), console_(console), shows_(wanted || console.terminal) {}
  // May be called all the time.
  void Tick(base::Instant now);
  // Nothing more is written behind it.
  void End();

 private:
  const ReplayReport* const report_;
  const Console console_;
  const bool shows_;
  bool written_ = false;
  base::Instant last_;
  uint64_t last_done_ = 0;
};

}  // namespace command
