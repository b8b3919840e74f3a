#include "admin/open_metrics.h"

#include <array>
#include <cstdio>
#include <optional>

#include "admin/labels.h"
#include "base/log.h"

namespace admin {
namespace {

std::string Escape(std::string_view text) {
  std::string escaped;
  for (const char byte : text) {
    if (byte == '\n') {
      escaped += "\\n";
      continue;
    }
    if (byte == '\\' || byte == '"') {
      escaped += '\\';
    }
    escaped += byte;
  }
  return escaped;
}

std::string Number(double value) {
  constexpr int kDigits = 15;  // seconds since 1970 and microseconds of a long-lived sum
  std::array<char, 40> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.*g", kDigits, value);
  return std::string(text.data(), static_cast<size_t>(length));
}

std::string_view KindName(OpenMetricsText::Kind kind) {
  switch (kind) {
    case OpenMetricsText::Kind::kCounter:
      return "counter";
    case OpenMetricsText::Kind::kGauge:
      return "gauge";
    case OpenMetricsText::Kind::kHistogram:
      return "histogram";
    case OpenMetricsText::Kind::kInfo:
      return "info";
  }
  return "unknown";
}

std::string_view Ending(OpenMetricsText::Kind kind) {
  if (kind == OpenMetricsText::Kind::kCounter) {
    return "_total";
  }
  return kind == OpenMetricsText::Kind::kInfo ? "_info" : "";
}

void AppendLine(std::string_view name, std::string_view ending, std::string_view labels,
                std::string_view value, std::string* text) {
  text->append(name).append(ending);
  if (!labels.empty()) {
    text->append("{").append(labels).append("}");
  }
  text->append(" ").append(value).append("\n");
}

}  // namespace

std::string Label(std::string_view key, std::string_view value) {
  return std::string(key) + "=\"" + Escape(value) + "\"";
}

OpenMetricsText::Series* OpenMetricsText::Find(std::string_view name, std::string_view help,
                                               std::string_view labels, Kind kind) {
  const std::optional<std::string> kept = WithoutShard(labels);
  const auto [place, fresh] = places_.emplace(std::string(name), families_.size());
  if (fresh) {
    Family family;
    family.name = name;
    family.help = help;
    family.kind = kind;
    families_.push_back(std::move(family));
  }
  Family& family = families_[place->second];
  if (family.kind != kind || !kept.has_value()) {
    base::Surprise("admin.metric_left_out", name);
    return nullptr;
  }
  for (Series& series : family.series) {
    if (series.labels == *kept) {
      return &series;
    }
  }
  family.series.emplace_back().labels = *kept;
  return &family.series.back();
}

void OpenMetricsText::Add(std::string_view name, std::string_view help, std::string_view labels,
                          const base::Counter& counter) {
  if (Series* series = Find(name, help, labels, Kind::kCounter); series != nullptr) {
    series->whole += static_cast<int64_t>(counter.value());
  }
}

void OpenMetricsText::Add(std::string_view name, std::string_view help, std::string_view labels,
                          const base::Gauge& gauge) {
  if (Series* series = Find(name, help, labels, Kind::kGauge); series != nullptr) {
    series->whole += gauge.value();
  }
}

void OpenMetricsText::Add(std::string_view name, std::string_view help, std::string_view labels,
                          const base::Histogram& histogram) {
  Series* series = Find(name, help, labels, Kind::kHistogram);
  if (series == nullptr) {
    return;
  }
  series->buckets.resize(base::Histogram::kBuckets);
  for (int i = 0; i < base::Histogram::kBuckets; ++i) {
    series->buckets[static_cast<size_t>(i)] += histogram.bucket(i);
  }
  series->number += histogram.SumSeconds();
}

void OpenMetricsText::AddNumber(std::string_view name, std::string_view help, Kind kind,
                                double value) {
  if (Series* series = Find(name, help, "", kind); series != nullptr) {
    series->number += value;
    families_[places_.find(std::string(name))->second].is_whole = false;
  }
}

void OpenMetricsText::AddInfo(std::string_view name, std::string_view help,
                              std::string_view labels) {
  const std::string_view ending = Ending(Kind::kInfo);
  Series* series = Find(name.substr(0, name.size() - ending.size()), help, labels, Kind::kInfo);
  if (series != nullptr) {
    series->whole = 1;
  }
}

// OpenMetrics' buckets are cumulative and labelled with their upper bound.
void OpenMetricsText::AppendHistogram(const Family& family, const Series& series,
                                      std::string* text) {
  const std::string before = series.labels.empty() ? "" : series.labels + ",";
  uint64_t count = 0;
  for (size_t i = 0; i < series.buckets.size(); ++i) {
    count += series.buckets[i];
    const bool last = i + 1 == series.buckets.size();
    const std::string bound =
        last ? "+Inf" : Number(base::Histogram::BoundSeconds(static_cast<int>(i)));
    AppendLine(family.name, "_bucket", before + "le=\"" + bound + "\"", std::to_string(count),
               text);
  }
  AppendLine(family.name, "_count", series.labels, std::to_string(count), text);
  AppendLine(family.name, "_sum", series.labels, Number(series.number), text);
}

void OpenMetricsText::Append(const Family& family, const Series& series, std::string* text) {
  if (family.kind == Kind::kHistogram) {
    return AppendHistogram(family, series, text);
  }
  const std::string value = family.is_whole ? std::to_string(series.whole) : Number(series.number);
  AppendLine(family.name, Ending(family.kind), series.labels, value, text);
}

std::string OpenMetricsText::Text() const {
  std::string text;
  for (const Family& family : families_) {
    if (family.series.empty()) {
      continue;
    }
    AppendLine("# TYPE " + family.name, "", "", KindName(family.kind), &text);
    AppendLine("# HELP " + family.name, "", "", Escape(family.help), &text);
    for (const Series& series : family.series) {
      Append(family, series, &text);
    }
  }
  return text + "# EOF\n";
}

}  // namespace admin
