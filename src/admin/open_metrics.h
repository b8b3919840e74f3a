// OpenMetricsText: what rooms tell about their counters, summed up and written as OpenMetrics 1.0.
//
// Made for one scrape, on the shard that answers it; reads other shards' counters with relaxed
// loads. Series of the same name and labels are added up, the label `shard` left out: a shard is
// not a thing an operator alerts on, and a series per shard would multiply the text.
// Failure: a name told with two types, or labels that are no labels, is our own mistake: the series
// is left out and a Surprise logged, the rest of the text stays valid.
// Bound: the number of names in the source times their labels; no peer adds any.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/counters.h"

namespace admin {

inline constexpr std::string_view kOpenMetricsType =
    "application/openmetrics-text; version=1.0.0; charset=utf-8";

// `key="value"` with the value escaped, for a MetricSink's labels.
std::string Label(std::string_view key, std::string_view value);

class OpenMetricsText final : public base::MetricSink {
 public:
  void Add(std::string_view name, std::string_view help, std::string_view labels,
           const base::Counter& counter) override;
  void Add(std::string_view name, std::string_view help, std::string_view labels,
           const base::Gauge& gauge) override;
  void Add(std::string_view name, std::string_view help, std::string_view labels,
           const base::Histogram& histogram) override;

  // Numbers that no room counts: those of the process.
  enum class Kind : uint8_t { kCounter, kGauge, kHistogram, kInfo };
  void AddNumber(std::string_view name, std::string_view help, Kind kind, double value);
  // `name` ends with `_info`; what there is to tell is in the labels.
  void AddInfo(std::string_view name, std::string_view help, std::string_view labels);

  // The whole text, families in the order in which they were first told.
  std::string Text() const;

 private:
  struct Series {
    std::string labels;
    int64_t whole = 0;  // counters and gauges of rooms
    double number = 0;  // of AddNumber; the sum of a histogram, in seconds
    std::vector<uint64_t> buckets;
  };
  struct Family {
    std::string name;  // without the endings of its samples
    std::string help;
    Kind kind = Kind::kGauge;
    bool is_whole = true;  // true exactly when `whole` holds the values
    std::vector<Series> series;
  };

  // The series to add to; nullptr if it is left out.
  Series* Find(std::string_view name, std::string_view help, std::string_view labels, Kind kind);
  static void Append(const Family& family, const Series& series, std::string* text);
  static void AppendHistogram(const Family& family, const Series& series, std::string* text);

  std::vector<Family> families_;
  std::unordered_map<std::string, size_t> places_;  // name to index of families_
};

}  // namespace admin
