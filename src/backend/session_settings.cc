#include "backend/session_settings.h"

#include <algorithm>
#include <array>

namespace backend {
namespace {

// A literal in any server: as E'' it does not depend on standard_conforming_strings.
std::string Literal(std::string_view text) {
  std::string literal = "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') {
      literal += c;
    }
    literal += c;
  }
  return literal + "'";
}

// Of a setting: each part of a name with dots is an identifier of its own.
std::string Identifier(std::string_view name) {
  std::string text = "\"";
  for (const char c : name) {
    if (c == '.') {
      text += "\".\"";
    } else {
      text += c;
      if (c == '"') {
        text += c;
      }
    }
  }
  return text + "\"";
}

auto LowerBound(auto& settings, std::string_view name) {
  const auto before = [](const auto& setting, std::string_view n) { return setting.first < n; };
  return std::lower_bound(settings.begin(), settings.end(), name, before);
}

}  // namespace

bool SessionSettings::Set(std::string_view name, std::string_view value) {
  const auto place = LowerBound(settings_, name);
  if (place != settings_.end() && place->first == name) {
    place->second = value;
  } else if (settings_.size() < kSettingsMax) {
    settings_.emplace(place, name, value);
  } else {
    return false;
  }
  Print();
  return true;
}

void SessionSettings::Reset(std::string_view name) {
  const auto place = LowerBound(settings_, name);
  if (place != settings_.end() && place->first == name) {
    settings_.erase(place);
    Print();
  }
}

void SessionSettings::Clear() {
  settings_.clear();
  Print();
}

const std::string* SessionSettings::Find(std::string_view name) const {
  const auto place = LowerBound(settings_, name);
  return place != settings_.end() && place->first == name ? &place->second : nullptr;
}

void SessionSettings::Print() {
  print_.clear();
  for (const auto& [name, value] : settings_) {
    print_ += name;
    print_ += '\0';
    print_ += value;
    print_ += '\0';
  }
}

std::string SettingsChange(const SessionSettings& from, const SessionSettings& to) {
  std::string resets;
  for (const auto& [name, value] : from.all()) {
    if (to.Find(name) == nullptr) {
      resets += "RESET " + Identifier(name) + ";";
    }
  }
  std::string sets;
  for (const auto& [name, value] : to.all()) {
    const std::string* const now = from.Find(name);
    if (now == nullptr || *now != value) {
      sets += sets.empty() ? "SELECT " : ",";
      sets += "pg_catalog.set_config(" + Literal(name) + "," + Literal(value) + ",false)";
    }
  }
  return resets + sets;
}

std::string SettingsQuery(const std::vector<std::string>& names, bool sources) {
  std::string query;
  for (const std::string& name : names) {
    query += query.empty() ? "SELECT " : ",";
    query += "pg_catalog.current_setting(" + Literal(name) + ",true)";
    if (sources) {
      query += ",(SELECT source FROM pg_catalog.pg_settings WHERE pg_catalog.lower(name)"
               " OPERATOR(pg_catalog.=) " + Literal(name) + ")";
    }
  }
  return query;
}

bool IsReset(const std::optional<std::string>& source, std::string_view value) {
  return source.has_value() ? *source != "session" : value == "none";
}

bool IsSettable(std::string_view name) {
  constexpr std::array<std::string_view, 6> kReportedOnly = {
      "server_version", "server_encoding", "integer_datetimes",     "in_hot_standby",
      "is_superuser",   "session_authorization"};
  return std::find(kReportedOnly.begin(), kReportedOnly.end(), name) == kReportedOnly.end();
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

}  // namespace backend
