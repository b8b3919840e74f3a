#include "command/replay_report.h"

#include <algorithm>
#include <initializer_list>

#include "base/json.h"
#include "mirror/mirror_metrics.h"

namespace command {
namespace {

std::string Line(std::string_view what, std::string_view value) {
  std::string line(what);
  line.resize(std::max<size_t>(line.size() + 1, 36), ' ');
  return line.append(value) + "\n";
}

std::string Line(std::string_view what, uint64_t count) {
  return Line(what, std::to_string(count));
}

// A line that is left out where there is nothing to say.
std::string LineIf(std::string_view what, uint64_t count) {
  return count == 0 ? std::string() : Line(what, count);
}

// What a server calls it, without what would move a terminal's cursor.
std::string Shown(std::string_view tag) {
  std::string shown(tag.empty() ? "(not run to its end)" : tag);
  std::replace_if(shown.begin(), shown.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return shown;
}

uint64_t CountOf(const base::Histogram& histogram) {
  uint64_t count = 0;
  for (int i = 0; i < base::Histogram::kBuckets; ++i) {
    count += histogram.bucket(i);
  }
  return count;
}

// Below how many microseconds `hundredths` of all were; 0 if there are none.
uint64_t Below(const base::Histogram& histogram, uint64_t hundredths) {
  const uint64_t count = CountOf(histogram);
  uint64_t seen = 0;
  for (int i = 0; i < base::Histogram::kBuckets && count > 0; ++i) {
    seen += histogram.bucket(i);
    if (seen * 100 >= count * hundredths) {
      return uint64_t{1} << i;
    }
  }
  return 0;
}

constexpr uint64_t kShares[] = {50, 90, 99};

std::string Row(std::string text, std::initializer_list<uint64_t> values) {
  text.resize(17, ' ');
  for (const uint64_t value : values) {
    const std::string number = std::to_string(value);
    text += std::string(12 - std::min<size_t>(number.size(), 11), ' ') + number;
  }
  return text + "\n";
}

// How many took less than so long, beside each other; rows that both lack are left out.
std::string Table(const base::Histogram& original, const base::Histogram& replayed) {
  std::string text = "\nlatency below        original     replay\n";
  for (int i = 0; i < base::Histogram::kBuckets; ++i) {
    if (original.bucket(i) != 0 || replayed.bucket(i) != 0) {
      text += Row(std::to_string(uint64_t{1} << i) + " us",
                  {original.bucket(i), replayed.bucket(i)});
    }
  }
  for (const uint64_t share : kShares) {
    text += Row(std::to_string(share) + " % below, us",
                {Below(original, share), Below(replayed, share)});
  }
  return text;
}

void Write(std::string_view key, const base::Histogram& histogram, base::JsonWriter* json) {
  json->Key(key).BeginArray();
  for (int i = 0; i < base::Histogram::kBuckets; ++i) {
    json->Unsigned(histogram.bucket(i));
  }
  json->EndArray();
  json->Key(std::string(key) + "_below_us").BeginObject();
  for (const uint64_t share : kShares) {
    json->Key("p" + std::to_string(share)).Unsigned(Below(histogram, share));
  }
  json->EndObject();
}

}  // namespace

void ReplayReport::OnOutcome(const mirror::UnitOutcome& outcome) {
  done_bytes_ += outcome.unit->bytes;
  if (outcome.dropped != mirror::Cause::kNone) {
    ++undecided_;
    ++causes_[static_cast<size_t>(outcome.dropped)];
    return;
  }
  if (outcome.refused) {
    ++refused_;
    CountDifference(outcome.was, outcome.is);
    if (sqlstates_.size() < kDifferencesMax || sqlstates_.contains(std::string(outcome.is))) {
      ++sqlstates_[std::string(outcome.is)];
    }
    return;
  }
  ++applied_;
  replayed_.Record(outcome.took);
  if (outcome.differs) {
    ++different_;
    CountDifference(outcome.was, outcome.is);
  }
}

void ReplayReport::CountDifference(std::string_view was, std::string_view is) {
  const std::pair<std::string, std::string> key(was, is);
  if (differences_.size() < kDifferencesMax || differences_.contains(key)) {
    ++differences_[key];
  } else {
    ++other_differences_;
  }
}

std::string ReplayReport::AsText(bool replayed) const {
  std::string text = Line("sessions", sessions) + Line("transactions", units);
  text += LineIf("  of an order that nobody knows", order_unknown);
  text += LineIf("not in the capture", lacking) + LineIf("logs that were not closed", open_ends);
  for (const std::string& what : damage) {
    text += "damaged: " + what + "\n";
  }
  if (!replayed) {
    return text + Table(original, replayed_);
  }
  text += Line("applied", applied_) + Line("  with another outcome", different_);
  text += Line("refused", refused_);
  for (const auto& [state, count] : sqlstates_) {
    text += Line("  " + Shown(state), count);
  }
  text += Line("not decided", undecided_);
  for (size_t i = 0; i < causes_.size(); ++i) {
    text += LineIf("  " + std::string(mirror::Name(static_cast<mirror::Cause>(i))), causes_[i]);
  }
  text += Line("took", absl::FormatDuration(took));
  text += differences_.empty() ? "" : "\nfirst difference of a transaction, there and here\n";
  for (const auto& [kind, count] : differences_) {
    text += Line("  " + Shown(kind.first) + " -> " + Shown(kind.second), count);
  }
  return text + LineIf("  others", other_differences_) + Table(original, replayed_);
}

std::string ReplayReport::AsJson(bool replayed) const {
  base::JsonWriter json;
  json.BeginObject();
  for (const auto& [key, count] : std::initializer_list<std::pair<std::string_view, uint64_t>>{
           {"sessions", sessions}, {"transactions", units}, {"order_unknown", order_unknown},
           {"lacking", lacking}, {"open_ends", open_ends}, {"applied", applied_},
           {"different", different_}, {"refused", refused_}, {"undecided", undecided_}}) {
    json.Key(key).Unsigned(count);
  }
  json.Key("damage").BeginArray();
  for (const std::string& what : damage) {
    json.String(what);
  }
  json.EndArray();
  json.Key("sqlstates").BeginObject();
  for (const auto& [state, count] : sqlstates_) {
    json.Key(state).Unsigned(count);
  }
  json.EndObject();
  json.Key("undecided_by_cause").BeginObject();
  for (size_t i = 0; i < causes_.size(); ++i) {
    if (causes_[i] > 0) {
      json.Key(mirror::Name(static_cast<mirror::Cause>(i))).Unsigned(causes_[i]);
    }
  }
  json.EndObject();
  json.Key("differences").BeginArray();
  for (const auto& [kind, count] : differences_) {
    json.BeginObject();
    json.Key("was").String(kind.first);
    json.Key("is").String(kind.second);
    json.Key("transactions").Unsigned(count);
    json.EndObject();
  }
  json.EndArray();
  json.Key("other_differences").Unsigned(other_differences_);
  json.Key("seconds").Number(replayed ? absl::ToDoubleSeconds(took) : 0);
  Write("original", original, &json);
  Write("replay", replayed_, &json);
  json.EndObject();
  return json.text() + "\n";
}

}  // namespace command
