#include "command/replay_report.h"

#include <algorithm>
#include <utility>

#include "base/json.h"

namespace command {
namespace {

std::vector<uint64_t> BucketsOf(const base::Histogram& histogram) {
  std::vector<uint64_t> buckets;
  for (int i = 0; i < base::Histogram::kBuckets; ++i) {
    buckets.push_back(histogram.bucket(i));
  }
  return buckets;
}

std::string Line(std::string_view what, uint64_t count) {
  std::string line(what);
  line.resize(std::max<size_t>(line.size() + 1, 36), ' ');
  return line + std::to_string(count) + "\n";
}

// How many took at most so long, beside each other; rows that both lack are left out.
std::string Table(const std::vector<uint64_t>& original, const std::vector<uint64_t>& replayed) {
  std::string text = "\nlatency below        original     replay\n";
  for (size_t i = 0; i < original.size(); ++i) {
    const uint64_t other = i < replayed.size() ? replayed[i] : 0;
    if (original[i] == 0 && other == 0) {
      continue;
    }
    std::string row = std::to_string(uint64_t{1} << i) + " us";
    row.resize(17, ' ');
    for (const uint64_t count : {original[i], other}) {
      const std::string number = std::to_string(count);
      row += std::string(12 - std::min<size_t>(number.size(), 11), ' ') + number;
    }
    text += row + "\n";
  }
  return text;
}

// What was refused, by SQLSTATE; a transaction that writes several tables stands for each.
std::map<std::string, uint64_t> ByState(const std::vector<mirror::Gap>& gaps) {
  std::map<std::string, uint64_t> states;
  for (const mirror::Gap& gap : gaps) {
    if (gap.cause == mirror::Cause::kRefused) {
      states[gap.sqlstate] = std::max(states[gap.sqlstate], gap.transactions);
    }
  }
  return states;
}

}  // namespace

void ReplayReport::Take(const mirror::MirrorMetrics& metrics, std::vector<mirror::Gap> ledger) {
  applied = metrics.delivered.value();
  different = metrics.different.value();
  refused = metrics.refused.value();
  for (const base::Counter& counter : metrics.dropped) {
    dropped += counter.value();
  }
  gaps = std::move(ledger);
  replayed = BucketsOf(metrics.apply);
}

std::string ReplayReport::AsText() const {
  std::string text = Line("sessions", sessions) + Line("transactions", units);
  text += lacking == 0 ? "" : Line("not in the capture", lacking);
  text += open_ends == 0 ? "" : Line("logs that were not closed", open_ends);
  if (replayed.empty()) {
    return text + Table(BucketsOf(original), {});
  }
  text += Line("applied", applied) + Line("  with another outcome", different);
  text += Line("refused", refused);
  for (const auto& [state, count] : ByState(gaps)) {
    text += Line("  " + state + ", at least", count);
  }
  text += Line("not decided", dropped);
  text += "took                                " + absl::FormatDuration(took) + "\n";
  return text + Table(BucketsOf(original), replayed);
}

std::string ReplayReport::AsJson() const {
  base::JsonWriter json;
  json.BeginObject();
  const std::pair<std::string_view, uint64_t> counts[] = {
      {"sessions", sessions},   {"transactions", units}, {"lacking", lacking},
      {"open_ends", open_ends}, {"applied", applied},    {"different", different},
      {"refused", refused},     {"undecided", dropped}};
  for (const auto& [key, count] : counts) {
    json.Key(key);
    json.Unsigned(count);
  }
  json.Key("sqlstates");
  json.BeginObject();
  for (const auto& [state, count] : ByState(gaps)) {
    json.Key(state);
    json.Unsigned(count);
  }
  json.EndObject();
  json.Key("seconds");
  json.Number(absl::ToDoubleSeconds(took));
  const std::pair<std::string_view, std::vector<uint64_t>> histograms[] = {
      {"original", BucketsOf(original)}, {"replay", replayed}};
  for (const auto& [key, buckets] : histograms) {
    json.Key(key);
    json.BeginArray();
    for (const uint64_t count : buckets) {
      json.Unsigned(count);
    }
    json.EndArray();
  }
  json.EndObject();
  return json.text() + "\n";
}

}  // namespace command
