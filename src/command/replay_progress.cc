#include "command/replay_progress.h"

#include "absl/strings/str_format.h"

namespace command {
namespace {

constexpr double kMebi = 1 << 20;
const std::string kOver = "\r\x1b[K";  // writes over the line

absl::Duration Pause() { return absl::Seconds(1); }

}  // namespace

std::string ProgressLine(const ReplayReport& report, uint64_t more, absl::Duration passed) {
  const uint64_t done = report.done();
  const double seconds = absl::ToDoubleSeconds(passed);
  return absl::StrFormat(
      "replay: %d of %d transactions (%d %%), %.1f of %.1f MiB, %.0f/s; %d different, %d refused, "
      "%d not decided",
      done, report.units, report.units == 0 ? 100 : done * 100 / report.units,
      static_cast<double>(report.done_bytes()) / kMebi, static_cast<double>(report.bytes) / kMebi,
      seconds > 0 ? static_cast<double>(more) / seconds : 0.0, report.different(),
      report.refused(), report.undecided());
}

void ReplayProgress::Tick(base::Instant now) {
  if (!shows_) {
    return;
  }
  if (last_ == base::Instant()) {
    last_ = now;
  }
  if (now - last_ < Pause()) {
    return;
  }
  const std::string line = ProgressLine(*report_, report_->done() - last_done_, now - last_);
  console_.write(console_.terminal ? kOver + line : line + "\n");
  written_ = true;
  last_ = now;
  last_done_ = report_->done();
}

void ReplayProgress::End() {
  if (written_ && console_.terminal) {
    console_.write(kOver);
  }
  written_ = false;
}

}  // namespace command
