#include "mirror/unit_codec.h"

#include <utility>

#include "base/byte_input.h"
#include "mirror/overflow.h"

namespace mirror {
namespace {

// The first byte; another one when the bytes behind it mean something else.
constexpr char kVersion = 1;

// Of a unit.
constexpr unsigned char kExplicit = 1;
constexpr unsigned char kReadOnly = 2;
constexpr unsigned char kMeets = 4;
constexpr unsigned char kCommits = 8;
// Of a step. kSameParse: its Parse is the one of the step before, and stands there only.
constexpr unsigned char kExtended = 1;
constexpr unsigned char kCopyIn = 2;
constexpr unsigned char kLocal = 4;
constexpr unsigned char kSurvives = 8;
constexpr unsigned char kSameParse = 16;
constexpr unsigned char kAsks = 32;
constexpr unsigned char kStored = 64;  // what this process has elsewhere, by its number
constexpr unsigned char kReturning = 128;

using base::AppendByte;
using base::AppendLe32;
using base::AppendLe64;
using base::AppendSized;
using base::ByteInput;

// A prepared statement that is executed again and again has one Parse, of which the steps share
// the slice.
bool SharesParse(const Step& step, const Step* before) {
  return before != nullptr && !step.parse.empty() && step.parse.size() == before->parse.size() &&
         step.parse.data() == before->parse.data();
}

void AppendStep(std::string* to, const Step& step, const Step* before) {
  const bool same_parse = SharesParse(step, before);
  unsigned flags = 0;
  flags |= step.extended ? kExtended : 0;
  flags |= step.copy_in ? kCopyIn : 0;
  flags |= step.local ? kLocal : 0;
  flags |= step.survives ? kSurvives : 0;
  flags |= same_parse ? kSameParse : 0;
  flags |= step.asks ? kAsks : 0;
  flags |= step.stored ? kStored : 0;
  const bool returning = !step.returned.empty() || step.unpinned != Unpinned::kNone;
  flags |= returning ? kReturning : 0;
  AppendByte(to, static_cast<unsigned char>(flags));
  AppendByte(to, static_cast<unsigned char>(step.trace));
  AppendLe32(to, step.row_limit);
  AppendSized(to, step.text.view());
  if (!same_parse) {
    AppendSized(to, step.parse.view());
  }
  AppendSized(to, step.statement);
  AppendSized(to, step.bind.view());
  AppendSized(to, step.tag);
  AppendSized(to, step.key);
  AppendLe32(to, static_cast<uint32_t>(step.copy.size()));
  for (const base::Slice& data : step.copy) {
    AppendSized(to, data.view());
  }
  if (step.stored) {
    AppendLe64(to, step.stored->number);
    AppendLe64(to, step.stored->statements);
  }
  if (returning) {
    AppendByte(to, static_cast<unsigned char>(step.unpinned));
    AppendSized(to, step.returned.view());
  }
}

base::Slice TakeSlice(ByteInput* input) {
  const std::string_view bytes = input->Sized();
  return bytes.empty() ? base::Slice() : base::Slice::CopyOf(bytes);
}

// The count of data is not believed: each of them has bytes of its own, or the input fails.
void ParseStep(ByteInput* input, Step* step, const Step* before) {
  const unsigned char flags = input->Byte();
  const unsigned char trace = input->Byte();
  const bool same_parse = (flags & kSameParse) != 0;
  if (trace > static_cast<unsigned char>(Trace::kDiscardTemp) ||
      (same_parse && (before == nullptr || before->parse.empty()))) {
    input->Fail();
    return;
  }
  step->extended = (flags & kExtended) != 0;
  step->copy_in = (flags & kCopyIn) != 0;
  step->local = (flags & kLocal) != 0;
  step->survives = (flags & kSurvives) != 0;
  step->asks = (flags & kAsks) != 0;
  step->trace = static_cast<Trace>(trace);
  step->row_limit = input->Le32();
  step->text = TakeSlice(input);
  step->parse = same_parse ? before->parse : TakeSlice(input);
  step->statement = input->Sized();
  step->bind = TakeSlice(input);
  step->tag = input->Sized();
  step->key = input->Sized();
  for (uint32_t left = input->Le32(); left > 0 && !input->failed(); --left) {
    step->copy.push_back(TakeSlice(input));
  }
  if ((flags & kStored) != 0) {
    step->stored = base::Held<Stored>::Make();
    step->stored->number = input->Le64();
    step->stored->statements = input->Le64();
  }
  if ((flags & kReturning) != 0) {
    const unsigned char unpinned = input->Byte();
    step->returned = TakeSlice(input);
    const bool nothing = unpinned == 0 && step->returned.empty();
    if (unpinned >= kUnpinnedReasons || nothing) {
      input->Fail();
    } else {
      step->unpinned = static_cast<Unpinned>(unpinned);
    }
  }
}

}  // namespace

void AppendParameters(std::string* to, const Parameters& parameters) {
  AppendLe32(to, static_cast<uint32_t>(parameters.size()));
  for (const auto& [name, value] : parameters) {
    AppendSized(to, name);
    AppendSized(to, value);
  }
}

Parameters ParseParameters(ByteInput* input) {
  Parameters parameters;
  for (uint32_t left = input->Le32(); left > 0 && !input->failed(); --left) {
    std::string name(input->Sized());
    parameters.emplace_back(std::move(name), input->Sized());
  }
  return parameters;
}

void AppendUnit(std::string* to, const Unit& unit, absl::Time committed) {
  AppendByte(to, kVersion);
  unsigned char flags = 0;
  flags |= unit.place.is_explicit ? kExplicit : 0;
  flags |= unit.read_only ? kReadOnly : 0;
  flags |= unit.meets ? kMeets : 0;
  flags |= unit.commits ? kCommits : 0;
  AppendByte(to, flags);
  AppendLe64(to, unit.place.stamp);
  AppendLe64(to, unit.place.acked);
  AppendLe64(to, unit.after);
  AppendLe64(to, static_cast<uint64_t>(unit.bytes));
  AppendLe64(to, static_cast<uint64_t>(absl::ToUnixMicros(committed)));
  AppendSized(to, unit.begin);
  AppendSized(to, unit.prepare.view());
  AppendLe32(to, static_cast<uint32_t>(unit.steps.size()));
  const Step* before = nullptr;
  for (const Step& step : unit.steps) {
    AppendStep(to, step, before);
    before = &step;
  }
}

UnitResult ParseUnit(std::string_view bytes, Unit* unit, absl::Time* committed) {
  *unit = Unit();
  ByteInput input(bytes);
  if (input.Byte() != kVersion) {
    return input.failed() ? UnitResult::kDamaged : UnitResult::kOtherVersion;
  }
  const unsigned char flags = input.Byte();
  unit->place.is_explicit = (flags & kExplicit) != 0;
  unit->read_only = (flags & kReadOnly) != 0;
  unit->meets = (flags & kMeets) != 0;
  unit->commits = (flags & kCommits) != 0;
  unit->place.stamp = input.Le64();
  unit->place.acked = input.Le64();
  unit->after = input.Le64();
  unit->bytes = static_cast<int64_t>(input.Le64());
  *committed = absl::FromUnixMicros(static_cast<int64_t>(input.Le64()));
  unit->begin = input.Sized();
  unit->prepare = TakeSlice(&input);
  for (uint32_t left = input.Le32(); left > 0 && !input.failed(); --left) {
    Step step;
    ParseStep(&input, &step, unit->steps.empty() ? nullptr : &unit->steps.back());
    unit->steps.push_back(std::move(step));
  }
  const bool good = !input.failed() && input.at_end() && flags < 2 * kCommits && unit->bytes >= 0;
  return good ? UnitResult::kGood : UnitResult::kDamaged;
}

}  // namespace mirror
