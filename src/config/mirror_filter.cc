#include "config/mirror_filter.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "config/text.h"

namespace config {
namespace {

constexpr int64_t kPatternMemoryMax = 1024 * 1024;  // of a compiled one, bytes
constexpr std::string_view kModes[] = {"writes", "all", "reads", "ddl", "dml", "writes+reads"};
constexpr std::string_view kGenerated[] = {"tolerate", "pin", "off"};

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

// A statement may have several lines, so a dot matches their ends too.
std::unique_ptr<re2::RE2> Compile(std::string_view pattern) {
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(kPatternMemoryMax);
  options.set_dot_nl(true);
  return std::make_unique<re2::RE2>(Piece(pattern), options);
}

absl::Status AddPattern(std::string_view pattern, std::vector<std::string>* patterns) {
  if (pattern.empty()) {
    return base::InvalidArgument("is empty, and would match everything");
  }
  if (pattern.size() > kPatternMax) {
    return base::InvalidArgument("is longer than 1024 bytes");
  }
  const std::unique_ptr<re2::RE2> compiled = Compile(pattern);
  if (!compiled->ok()) {
    // RE2 ends its words with the part of the pattern that it means.
    std::string why = compiled->error();
    const size_t end = why.find(": ");
    why.resize(std::min(end, why.size()));
    return base::InvalidArgument(Cat({"is no regular expression of RE2: ", why}));
  }
  patterns->emplace_back(pattern);
  return absl::OkStatus();
}

absl::Status SetExposure(std::string_view value, std::optional<double>* exposure) {
  double share = -1;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), share);
  if (error != std::errc() || end != value.data() + value.size() || !(share >= 0 && share <= 1)) {
    return base::InvalidArgument("is not a share of transactions from 0 to 1, such as 0.1");
  }
  *exposure = share;
  return absl::OkStatus();
}

}  // namespace

std::string_view Name(Generated generated) { return kGenerated[static_cast<size_t>(generated)]; }

std::vector<std::pair<std::string_view, std::string>> OptionsOf(const MirrorChoices& choices) {
  std::vector<std::pair<std::string_view, std::string>> options;
  if (choices.mode.has_value()) {
    options.emplace_back("filter", Name(*choices.mode));
  }
  if (choices.exposure.has_value()) {
    options.emplace_back("exposure", NumberText(*choices.exposure));
  }
  if (choices.generated.has_value()) {
    options.emplace_back("generated", Name(*choices.generated));
  }
  for (const std::string& pattern : choices.include) {
    options.emplace_back("include", pattern);
  }
  for (const std::string& pattern : choices.exclude) {
    options.emplace_back("exclude", pattern);
  }
  return options;
}

std::string_view Name(MirrorMode mode) { return kModes[static_cast<size_t>(mode)]; }

MirrorFilter Resolve(const MirrorChoices& own, const MirrorChoices& common) {
  MirrorFilter filter;
  filter.mode = own.mode.value_or(common.mode.value_or(filter.mode));
  filter.exposure = own.exposure.value_or(common.exposure.value_or(filter.exposure));
  filter.include = own.include.empty() ? common.include : own.include;
  filter.exclude = own.exclude.empty() ? common.exclude : own.exclude;
  return filter;
}

bool IsMirrorChoice(std::string_view key) {
  return key == "filter" || key == "exposure" || key == "generated" || key == "include" ||
         key == "exclude";
}

absl::Status SetMirrorChoice(std::string_view key, std::string_view value, MirrorChoices* choices) {
  if (key == "filter") {
    const auto found = std::find(std::begin(kModes), std::end(kModes), value);
    if (found == std::end(kModes)) {
      return base::InvalidArgument(
          Cat({"is not one of writes, all, reads, ddl, dml, writes+reads",
               DidYouMean(value, {std::begin(kModes), std::end(kModes)})}));
    }
    choices->mode = static_cast<MirrorMode>(found - std::begin(kModes));
    return absl::OkStatus();
  }
  if (key == "exposure") {
    return SetExposure(value, &choices->exposure);
  }
  if (key == "generated") {
    const auto found = std::find(std::begin(kGenerated), std::end(kGenerated), value);
    if (found == std::end(kGenerated)) {
      return base::InvalidArgument(
          Cat({"is not one of tolerate, pin, off",
               DidYouMean(value, {std::begin(kGenerated), std::end(kGenerated)})}));
    }
    choices->generated = static_cast<Generated>(found - std::begin(kGenerated));
    return absl::OkStatus();
  }
  CHECK(IsMirrorChoice(key));
  return AddPattern(value, key == "include" ? &choices->include : &choices->exclude);
}

struct MirrorPatterns::Compiled {
  using Patterns = std::vector<std::unique_ptr<re2::RE2>>;
  Patterns include;
  Patterns exclude;

  static Patterns Of(const std::vector<std::string>& texts) {
    Patterns patterns;
    for (const std::string& text : texts) {
      patterns.push_back(Compile(text));
    }
    return patterns;
  }
  static bool Match(const Patterns& patterns, std::string_view text) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) {
      return pattern->Match(Piece(text), 0, text.size(), re2::RE2::UNANCHORED, nullptr, 0);
    });
  }
};

MirrorPatterns::MirrorPatterns(const std::vector<MirrorFilter>& filters) {
  CHECK(filters.size() <= kMirrorFiltersMax);
  for (const MirrorFilter& filter : filters) {
    auto compiled = std::make_unique<Compiled>();
    compiled->include = Compiled::Of(filter.include);
    compiled->exclude = Compiled::Of(filter.exclude);
    any_ = any_ || !filter.include.empty() || !filter.exclude.empty();
    filters_.push_back(std::move(compiled));
  }
}

MirrorPatterns::~MirrorPatterns() = default;

uint64_t MirrorPatterns::Mark(std::string_view text) const {
  text = text.substr(0, kPatternTextMax);
  uint64_t marks = 0;
  for (size_t i = 0; i < filters_.size(); ++i) {
    const Compiled& filter = *filters_[i];
    if (Compiled::Match(filter.exclude, text)) {
      marks |= uint64_t{1} << (2 * i);
    }
    if (!filter.include.empty() && !Compiled::Match(filter.include, text)) {
      marks |= uint64_t{1} << (2 * i + 1);
    }
  }
  return marks;
}

}  // namespace config
