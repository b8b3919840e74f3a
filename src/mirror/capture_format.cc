#include "mirror/capture_format.h"

#include "base/bytes.h"
#include "mirror/unit_codec.h"

namespace mirror {
namespace {

// The first byte of a record.
constexpr char kSession = 'S';
constexpr char kUnit = 'U';
constexpr char kLost = 'L';
// The second; another one when the bytes behind it mean something else.
constexpr char kVersion = 1;

void AppendHead(std::string* to, char kind, uint64_t session) {
  char raw[sizeof session];
  to->push_back(kind);
  to->push_back(kVersion);
  base::StoreLe64(raw, session);
  to->append(raw, sizeof raw);
}

void Append64(std::string* to, uint64_t value) {
  char raw[sizeof value];
  base::StoreLe64(raw, value);
  to->append(raw, sizeof raw);
}

void AppendText(std::string* to, std::string_view text) {
  Append64(to, text.size());
  to->append(text);
}

// Takes values off the front; once something is not there, everything is empty and `failed` true.
struct Reader {
  std::string_view left;
  bool failed = false;

  std::string_view Take(uint64_t count) {
    if (count > left.size()) {
      failed = true;
      left = std::string_view();
      return left;
    }
    const std::string_view taken = left.substr(0, count);
    left.remove_prefix(count);
    return taken;
  }
  uint64_t Number() {
    const std::string_view raw = Take(sizeof(uint64_t));
    return raw.empty() ? 0 : base::LoadLe64(raw.data());
  }
  std::string Text() { return std::string(Take(Number())); }
};

bool ParseSession(Reader* reader, Captured* captured) {
  captured->facts.user = reader->Text();
  captured->facts.database = reader->Text();
  for (uint64_t left = reader->Number(); left > 0 && !reader->failed; --left) {
    std::string name = reader->Text();
    captured->facts.parameters.emplace_back(std::move(name), reader->Text());
  }
  return !reader->failed && reader->left.empty();
}

bool ParseTimedUnit(Reader* reader, Captured* captured) {
  for (uint64_t left = reader->Number(); left > 0 && !reader->failed; --left) {
    StepTiming timing;
    timing.sent = static_cast<int64_t>(reader->Number());
    timing.took = static_cast<int64_t>(reader->Number());
    captured->timing.push_back(timing);
  }
  return !reader->failed &&
         ParseUnit(reader->left, &captured->unit, &captured->committed) == UnitResult::kGood &&
         captured->unit.steps.size() == captured->timing.size();
}

bool ParseLost(Reader* reader, Captured* captured) {
  const uint64_t cause = reader->Number();
  captured->cause = static_cast<Cause>(cause);
  return !reader->failed && reader->left.empty() && cause > 0 && cause < kGapCauses;
}

}  // namespace

void AppendSession(std::string* to, uint64_t session, const CapturedSession& facts) {
  AppendHead(to, kSession, session);
  AppendText(to, facts.user);
  AppendText(to, facts.database);
  Append64(to, facts.parameters.size());
  for (const auto& [name, value] : facts.parameters) {
    AppendText(to, name);
    AppendText(to, value);
  }
}

void AppendCapturedUnit(std::string* to, uint64_t session, const Unit& unit, absl::Time committed) {
  AppendHead(to, kUnit, session);
  Append64(to, unit.steps.size());
  for (const Step& step : unit.steps) {
    Append64(to, static_cast<uint64_t>(step.sent.nanoseconds()));
    Append64(to, static_cast<uint64_t>(step.answered.nanoseconds() - step.sent.nanoseconds()));
  }
  AppendUnit(to, unit, committed);
}

void AppendLost(std::string* to, uint64_t session, Cause cause) {
  AppendHead(to, kLost, session);
  Append64(to, static_cast<uint64_t>(cause));
}

CapturedResult ParseCaptured(std::string_view bytes, Captured* captured) {
  *captured = Captured();
  if (bytes.size() < 2) {
    return CapturedResult::kDamaged;
  }
  if (bytes[1] != kVersion) {
    return CapturedResult::kOtherVersion;
  }
  Reader reader{bytes.substr(2)};
  captured->session = reader.Number();
  bool good = false;
  if (bytes[0] == kSession) {
    captured->kind = Captured::Kind::kSession;
    good = ParseSession(&reader, captured);
  } else if (bytes[0] == kUnit) {
    captured->kind = Captured::Kind::kUnit;
    good = ParseTimedUnit(&reader, captured);
  } else if (bytes[0] == kLost) {
    captured->kind = Captured::Kind::kLost;
    good = ParseLost(&reader, captured);
  }
  return good ? CapturedResult::kGood : CapturedResult::kDamaged;
}

}  // namespace mirror
