#include "sim/mirror_check.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <vector>

#include "mirror/mirror_metrics.h"

namespace sim {
namespace {

uint64_t Dropped(const MirrorCounts& counts, mirror::Cause cause) {
  return counts.dropped[static_cast<size_t>(cause)];
}

std::string NonceOf(const std::string& written) { return written.substr(0, written.find(':')); }

class Check {
 public:
  Check(const SimPostgres& primary, const SimPostgres& mirror, const Timeline& timeline)
      : primary_(primary.commits()), mirror_(mirror.commits()), timeline_(timeline) {
    for (size_t i = 0; i < primary_.size(); ++i) {
      by_first_[primary_[i].writes.front()] = i;
    }
  }

  std::string Run(const MirrorCounts& counts, bool calm, bool causal) {
    nothing_in_doubt_ = Doubtful(counts) == 0;
    std::string wrong = Match();
    wrong = wrong.empty() ? Sessions() : wrong;
    wrong = wrong.empty() && causal ? Causes() : wrong;
    wrong = wrong.empty() ? Counts(counts) : wrong;
    return wrong.empty() && calm ? Calm(counts) : wrong;
  }

 private:
  // Finds each of the mirror's transactions among the primary's.
  std::string Match() {
    std::vector<bool> seen(primary_.size());
    for (const Commit& commit : mirror_) {
      const auto found = by_first_.find(commit.writes.front());
      if (found == by_first_.end() || primary_[found->second].writes != commit.writes) {
        return "the mirror committed what the primary has not: " + commit.writes.front() + " ... " +
               std::to_string(commit.writes.size()) + " writes";
      }
      if (seen[found->second]) {
        return "the mirror committed twice: " + commit.writes.front();
      }
      seen[found->second] = true;
      at_primary_.push_back(found->second);
    }
    return "";
  }

  static uint64_t Doubtful(const MirrorCounts& counts) {
    return Dropped(counts, mirror::Cause::kOutcomeUnknown) +
           Dropped(counts, mirror::Cause::kTimeout) + Dropped(counts, mirror::Cause::kShutdown);
  }

  std::string Sessions() const {
    std::map<uint32_t, size_t> latest;  // by the primary's connection: what came last
    for (size_t i = 0; i < mirror_.size(); ++i) {
      if (!mirror_[i].heard && !nothing_in_doubt_) {
        continue;
      }
      const size_t at = at_primary_[i];
      size_t& last = latest[primary_[at].connection];
      if (at < last) {
        return "out of the session's order: " + mirror_[i].writes.front();
      }
      last = at;
    }
    return "";
  }

  std::string Causes() const {
    uint64_t earliest = UINT64_MAX;  // when one that comes later on the mirror was seen committed
    std::string which;
    for (size_t i = mirror_.size(); i > 0; --i) {
      const Commit& commit = mirror_[i - 1];
      if (earliest < timeline_.Of(NonceOf(commit.writes.front())).sent) {
        return commit.writes.front() + " came before " + which + ", which was seen before";
      }
      const uint64_t over = timeline_.Of(primary_[at_primary_[i - 1]].last).over;
      if ((commit.heard || nothing_in_doubt_) && over < earliest) {
        earliest = over;
        which = commit.writes.front();
      }
    }
    return "";
  }

  std::string Counts(const MirrorCounts& counts) const {
    const auto heard = static_cast<uint64_t>(
        std::count_if(mirror_.begin(), mirror_.end(), [](const Commit& one) { return one.heard; }));
    const uint64_t unknown = Dropped(counts, mirror::Cause::kOutcomeUnknown);
    const uint64_t doubtful = Doubtful(counts);
    if (!counts.Agree() || counts.queued != 0) {
      return "the counters do not agree";
    }
    if (counts.delivered < heard || counts.delivered > mirror_.size() ||
        mirror_.size() > counts.delivered + doubtful) {
      return "delivered " + std::to_string(counts.delivered) + ", and the mirror committed " +
             std::to_string(heard) + " to " + std::to_string(mirror_.size());
    }
    if (unknown == 0 && counts.offered != primary_.size()) {
      return "offered " + std::to_string(counts.offered) + " of " +
             std::to_string(primary_.size());
    }
    const bool all = counts.refused + counts.all_dropped() == 0;
    if (all && mirror_.size() != primary_.size()) {
      return "the mirror has " + std::to_string(mirror_.size()) + " of " +
             std::to_string(primary_.size()) + ", and nothing was lost";
    }
    return "";
  }

  static std::string Calm(const MirrorCounts& counts) {
    const uint64_t lost = counts.refused + Dropped(counts, mirror::Cause::kTimeout) +
                          Dropped(counts, mirror::Cause::kShutdown) +
                          Dropped(counts, mirror::Cause::kStateLost);
    if (lost == 0) {
      return "";
    }
    std::string told = "lost without any fault: refused " + std::to_string(counts.refused);
    for (size_t i = 1; i < mirror::kCauses; ++i) {
      const auto cause = static_cast<mirror::Cause>(i);
      told += ", " + std::string(mirror::Name(cause)) + " " +
              std::to_string(Dropped(counts, cause));
    }
    return told;
  }

  const std::vector<Commit>& primary_;
  const std::vector<Commit>& mirror_;
  const Timeline& timeline_;
  std::map<std::string, size_t> by_first_;  // the primary's, by what they wrote first
  bool nothing_in_doubt_ = false;
  std::vector<size_t> at_primary_;          // of each of the mirror's, the primary's
};

}  // namespace

uint64_t MirrorCounts::all_dropped() const {
  return std::accumulate(dropped.begin(), dropped.end(), uint64_t{0});
}

bool MirrorCounts::Agree() const {
  return queued >= 0 &&
         offered == delivered + refused + all_dropped() + static_cast<uint64_t>(queued);
}

std::string CheckMirror(const SimPostgres& primary, const SimPostgres& mirror,
                        const Timeline& timeline, const MirrorCounts& counts, bool calm,
                        bool causal) {
  return Check(primary, mirror, timeline).Run(counts, calm, causal);
}

}  // namespace sim
