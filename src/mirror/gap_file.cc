#include "mirror/gap_file.h"

#include <utility>

#include "base/json.h"
#include "base/status.h"
#include "mirror/mirror_metrics.h"

namespace mirror {
namespace {

constexpr uint64_t kVersion = 1;

std::optional<Cause> CauseOf(std::string_view name) {
  for (size_t i = 1; i < kGapCauses; ++i) {
    if (Name(static_cast<Cause>(i)) == name) {
      return static_cast<Cause>(i);
    }
  }
  return std::nullopt;
}

void WriteGap(const Gap& gap, base::JsonWriter* json) {
  json->BeginObject();
  json->Key("table").String(gap.table);
  json->Key("cause").String(Name(gap.cause));
  json->Key("sqlstate").String(gap.sqlstate);
  json->Key("first").Time(gap.first);
  json->Key("last").Time(gap.last);
  json->Key("statements").Unsigned(gap.statements);
  json->Key("transactions").Unsigned(gap.transactions);
  json->EndObject();
}

// Each key of `Keys` must come once: `seen` has a bit for each.
bool Once(uint32_t bit, uint32_t* seen) {
  const bool fresh = (*seen & bit) == 0;
  *seen |= bit;
  return fresh;
}

bool ReadGapValue(std::string_view key, base::JsonReader* json, uint32_t* seen, Gap* gap) {
  if (key == "table") {
    return Once(1, seen) && json->String(&gap->table);
  }
  if (key == "cause") {
    std::string name;
    const bool read = Once(2, seen) && json->String(&name);
    const std::optional<Cause> cause = CauseOf(name);
    gap->cause = cause.value_or(Cause::kNone);
    return read && cause.has_value();
  }
  if (key == "sqlstate") {
    return Once(4, seen) && json->String(&gap->sqlstate);
  }
  if (key == "first") {
    return Once(8, seen) && json->Time(&gap->first);
  }
  if (key == "last") {
    return Once(16, seen) && json->Time(&gap->last);
  }
  if (key == "statements") {
    return Once(32, seen) && json->Unsigned(&gap->statements);
  }
  return key == "transactions" && Once(64, seen) && json->Unsigned(&gap->transactions);
}

bool ReadGap(base::JsonReader* json, Gap* gap) {
  constexpr uint32_t kAll = 127;
  uint32_t seen = 0;
  bool first = true;
  std::string key;
  json->Sign('{');
  while (json->Another('}', &first)) {
    if (!json->String(&key) || !json->Sign(':') || !ReadGapValue(key, json, &seen, gap)) {
      return false;
    }
  }
  return seen == kAll && gap->first <= gap->last;
}

bool ReadGaps(base::JsonReader* json, std::vector<Gap>* gaps) {
  bool first = true;
  json->Sign('[');
  while (json->Another(']', &first)) {
    if (!ReadGap(json, &gaps->emplace_back())) {
      return false;
    }
  }
  return gaps->size() <= GapLedger::kEntriesMax;
}

bool ReadValue(std::string_view key, base::JsonReader* json, uint32_t* seen, GapFile* file) {
  if (key == "version") {
    uint64_t version = 0;
    return Once(1, seen) && json->Unsigned(&version) && version == kVersion;
  }
  if (key == "mirror") {
    return Once(2, seen) && json->String(&file->mirror);
  }
  if (key == "clean") {
    return Once(4, seen) && json->Bool(&file->clean);
  }
  if (key == "written") {
    return Once(8, seen) && json->Time(&file->written);
  }
  if (key == "pending") {
    if (json->Null()) {
      return Once(16, seen);
    }
    file->pending = 0;
    return Once(16, seen) && json->Unsigned(&*file->pending);
  }
  if (key == "folded") {
    return Once(32, seen) && json->Bool(&file->folded);
  }
  return key == "gaps" && Once(64, seen) && ReadGaps(json, &file->gaps);
}

}  // namespace

std::string FormatGapFile(const GapFile& file) {
  base::JsonWriter json;
  json.BeginObject();
  json.Key("version").Unsigned(kVersion);
  json.Key("mirror").String(file.mirror);
  json.Key("clean").Bool(file.clean);
  json.Key("written").Time(file.written);
  json.Key("pending");
  if (file.pending.has_value()) {
    json.Unsigned(*file.pending);
  } else {
    json.Null();
  }
  json.Key("folded").Bool(file.folded);
  json.Key("gaps").BeginArray();
  for (const Gap& gap : file.gaps) {
    WriteGap(gap, &json);
  }
  json.EndArray();
  json.EndObject();
  return json.text() + "\n";
}

absl::StatusOr<GapFile> ParseGapFile(std::string_view text) {
  constexpr uint32_t kAll = 127;
  GapFile file;
  base::JsonReader json(text);
  uint32_t seen = 0;
  bool first = true;
  bool good = json.Sign('{');
  std::string key;
  while (good && json.Another('}', &first)) {
    good = json.String(&key) && json.Sign(':') && ReadValue(key, &json, &seen, &file);
  }
  if (!good || seen != kAll || !json.AtEnd()) {
    return base::DataLoss("is no gap ledger");
  }
  return file;
}

std::string PathName(std::string_view mirror) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string name;
  for (const char c : mirror) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || c == '.';
    if (plain) {
      name += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    name += '%';
    name += kHex[byte >> 4];
    name += kHex[byte & 15];
  }
  return name;
}

std::string GapFileName(std::string_view mirror) {
  return "gap-ledger-" + PathName(mirror) + ".json";
}

}  // namespace mirror
