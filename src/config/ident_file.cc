#include "config/ident_file.h"

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/status.h"
#include "config/secret_file.h"

namespace config {
namespace {

constexpr size_t kExpressionMax = 1024;                // bytes
constexpr int64_t kExpressionMemoryMax = 1024 * 1024;  // of the compiled one, bytes
constexpr std::string_view kGroup = "\\1";

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

// Null if it is none, or too large.
std::unique_ptr<re2::RE2> Compile(std::string_view expression) {
  if (expression.size() > kExpressionMax) {
    return nullptr;
  }
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(kExpressionMemoryMax);
  auto compiled = std::make_unique<re2::RE2>(Piece(expression), options);
  return compiled->ok() ? std::move(compiled) : nullptr;
}

}  // namespace

struct IdentMaps::Line {
  std::string map;
  std::string name;                      // without `expression`
  std::unique_ptr<re2::RE2> expression;  // null: the name must be equal
  std::string user;

  Line() = default;
  Line(const Line& other)
      : map(other.map),
        name(other.name),
        expression(other.expression == nullptr ? nullptr : Compile(name.substr(1))),
        user(other.user) {}
  Line& operator=(const Line&) = delete;
  Line(Line&&) noexcept = default;
  Line& operator=(Line&&) noexcept = default;

  bool Allows(std::string_view given, std::string_view as) const {
    if (expression == nullptr) {
      return given == name && as == user;
    }
    const size_t at = user.find(kGroup);
    re2::StringPiece matched[2];
    if (!expression->Match(Piece(given), 0, given.size(), re2::RE2::UNANCHORED, matched,
                           at == std::string::npos ? 1 : 2)) {
      return false;
    }
    if (at == std::string::npos) {
      return as == user;
    }
    // A group that took no part matched nothing.
    const std::string group(matched[1].data() == nullptr ? "" : matched[1].data(),
                            matched[1].size());
    return as == user.substr(0, at) + group + user.substr(at + kGroup.size());
  }
};

IdentMaps::IdentMaps() = default;
IdentMaps::~IdentMaps() = default;
IdentMaps::IdentMaps(const IdentMaps&) = default;
IdentMaps& IdentMaps::operator=(const IdentMaps& other) {
  lines_ = std::vector<Line>(other.lines_);
  return *this;
}
IdentMaps::IdentMaps(IdentMaps&&) noexcept = default;
IdentMaps& IdentMaps::operator=(IdentMaps&&) noexcept = default;

absl::StatusOr<IdentMaps> IdentMaps::Parse(std::string_view text, std::string_view file) {
  ASSIGN_OR_RETURN(const std::vector<RuleLine> rules, ReadRuleLines(text, file));
  IdentMaps maps;
  for (const RuleLine& rule : rules) {
    const bool words = std::all_of(rule.fields.begin(), rule.fields.end(),
                                   [](const Field& field) { return field.size() == 1; });
    if (rule.fields.size() != 3 || !words) {
      return AtLine(file, rule.number, "is not a map's name, a certificate's name and a user");
    }
    Line line;
    line.map = rule.fields[0][0].text;
    line.name = rule.fields[1][0].text;
    line.user = rule.fields[2][0].text;
    const bool quoted = rule.fields[2][0].quoted;
    if (!quoted && (line.user == "all" || line.user.starts_with('+') ||
                    line.user.starts_with('/'))) {
      return AtLine(file, rule.number, "all, +group and regular expressions are no users here");
    }
    if (line.name.starts_with('/')) {
      line.expression = Compile(std::string_view(line.name).substr(1));
      if (line.expression == nullptr) {
        return AtLine(file, rule.number, "has a regular expression that is wrong or too large");
      }
    }
    const bool group = line.user.find(kGroup) != std::string::npos;
    if (group && (line.expression == nullptr ||
                  line.expression->NumberOfCapturingGroups() == 0)) {
      return AtLine(file, rule.number, "has \\1 without a regular expression with a group");
    }
    maps.lines_.push_back(std::move(line));
  }
  return maps;
}

bool IdentMaps::Allows(std::string_view map, std::string_view name, std::string_view user) const {
  return std::any_of(lines_.begin(), lines_.end(), [&](const Line& line) {
    return line.map == map && line.Allows(name, user);
  });
}

bool IdentMaps::Has(std::string_view map) const {
  return std::any_of(lines_.begin(), lines_.end(),
                     [&](const Line& line) { return line.map == map; });
}

}  // namespace config
