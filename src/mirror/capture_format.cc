#include "mirror/capture_format.h"

#include <algorithm>

#include "base/byte_input.h"
#include "mirror/unit_codec.h"

namespace mirror {
namespace {

// The first byte of a record.
constexpr char kSession = 'S';
constexpr char kUnit = 'U';
constexpr char kLost = 'L';
// The second; another one when the bytes behind it mean something else.
constexpr char kVersion = 1;
constexpr size_t kHeadBytes = 10;  // with the session's number

using base::AppendLe32;
using base::AppendLe64;
using base::AppendSized;
using base::ByteInput;

void AppendHead(std::string* to, char kind, uint64_t session) {
  to->push_back(kind);
  to->push_back(kVersion);
  AppendLe64(to, session);
}

bool ParseSession(ByteInput* input, Captured* captured) {
  captured->facts.user = input->Sized();
  captured->facts.database = input->Sized();
  captured->facts.parameters = ParseParameters(input);
  return !input->failed() && input->at_end();
}

// The unit's own bytes are what is left of the record.
bool ParseTimedUnit(std::string_view bytes, ByteInput* input, Captured* captured) {
  for (uint32_t left = input->Le32(); left > 0 && !input->failed(); --left) {
    StepTiming timing;
    timing.sent = static_cast<int64_t>(input->Le64());
    timing.took = static_cast<int64_t>(input->Le64());
    if (timing.took < 0) {
      input->Fail();
    }
    captured->timing.push_back(timing);
  }
  bytes.remove_prefix(std::min(bytes.size(), kHeadBytes + 4 + 16 * captured->timing.size()));
  return !input->failed() &&
         ParseUnit(bytes, &captured->unit, &captured->committed) == UnitResult::kGood &&
         captured->unit.steps.size() == captured->timing.size() && !captured->unit.stored();
}

bool ParseLost(ByteInput* input, Captured* captured) {
  const unsigned char cause = input->Byte();
  captured->cause = static_cast<Cause>(cause);
  return !input->failed() && input->at_end() && cause > 0 && cause < kGapCauses;
}

}  // namespace

void AppendSession(std::string* to, uint64_t session, const CapturedSession& facts) {
  AppendHead(to, kSession, session);
  AppendSized(to, facts.user);
  AppendSized(to, facts.database);
  AppendParameters(to, facts.parameters);
}

void AppendCapturedUnit(std::string* to, uint64_t session, const Unit& unit, absl::Time committed) {
  AppendHead(to, kUnit, session);
  AppendLe32(to, static_cast<uint32_t>(unit.steps.size()));
  for (const Step& step : unit.steps) {
    AppendLe64(to, static_cast<uint64_t>(step.sent.nanoseconds()));
    const int64_t took = step.answered.nanoseconds() - step.sent.nanoseconds();
    AppendLe64(to, static_cast<uint64_t>(std::max<int64_t>(took, 0)));  // 0: not known
  }
  AppendUnit(to, unit, committed);
}

void AppendLost(std::string* to, uint64_t session, Cause cause) {
  AppendHead(to, kLost, session);
  base::AppendByte(to, static_cast<unsigned char>(cause));
}

CapturedResult ParseCaptured(std::string_view bytes, Captured* captured) {
  *captured = Captured();
  if (bytes.size() < 2) {
    return CapturedResult::kDamaged;
  }
  if (bytes[1] != kVersion) {
    return CapturedResult::kOtherVersion;
  }
  ByteInput input(bytes.substr(2));
  captured->session = input.Le64();
  bool good = false;
  if (bytes[0] == kSession) {
    captured->kind = Captured::Kind::kSession;
    good = ParseSession(&input, captured);
  } else if (bytes[0] == kUnit) {
    captured->kind = Captured::Kind::kUnit;
    good = ParseTimedUnit(bytes, &input, captured);
  } else if (bytes[0] == kLost) {
    captured->kind = Captured::Kind::kLost;
    good = ParseLost(&input, captured);
  }
  return good ? CapturedResult::kGood : CapturedResult::kDamaged;
}

}  // namespace mirror
