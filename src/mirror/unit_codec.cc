#include "mirror/unit_codec.h"

#include <limits>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace mirror {
namespace {

// The first byte; another one when the bytes behind it mean something else.
constexpr char kVersion = 1;

// Of a unit.
constexpr unsigned char kExplicit = 1;
// Of a step. The last: its Parse is the one of the step before, and stands there only.
constexpr unsigned char kExtended = 1;
constexpr unsigned char kCopyIn = 2;
constexpr unsigned char kLocal = 4;
constexpr unsigned char kSurvives = 8;
constexpr unsigned char kSameParse = 16;

// -- writing --------------------------------------------------------------------------------------

void AppendByte(std::string* to, unsigned char value) { to->push_back(static_cast<char>(value)); }

void AppendLe32(std::string* to, uint32_t value) {
  char raw[sizeof value];
  base::StoreLe32(raw, value);
  to->append(raw, sizeof raw);
}

void AppendLe64(std::string* to, uint64_t value) {
  char raw[sizeof value];
  base::StoreLe64(raw, value);
  to->append(raw, sizeof raw);
}

void AppendBytes(std::string* to, std::string_view bytes) {
  CHECK(bytes.size() <= std::numeric_limits<uint32_t>::max());
  AppendLe32(to, static_cast<uint32_t>(bytes.size()));
  to->append(bytes);
}

// A prepared statement that is executed again and again has one Parse, of which the steps share
// the slice.
bool SharesParse(const Step& step, const Step* before) {
  return before != nullptr && !step.parse.empty() && step.parse.size() == before->parse.size() &&
         step.parse.data() == before->parse.data();
}

void AppendStep(std::string* to, const Step& step, const Step* before) {
  const bool same_parse = SharesParse(step, before);
  unsigned char flags = 0;
  flags |= step.extended ? kExtended : 0;
  flags |= step.copy_in ? kCopyIn : 0;
  flags |= step.local ? kLocal : 0;
  flags |= step.survives ? kSurvives : 0;
  flags |= same_parse ? kSameParse : 0;
  AppendByte(to, flags);
  AppendByte(to, static_cast<unsigned char>(step.trace));
  AppendLe32(to, step.row_limit);
  AppendBytes(to, step.text.view());
  if (!same_parse) {
    AppendBytes(to, step.parse.view());
  }
  AppendBytes(to, step.statement);
  AppendBytes(to, step.bind.view());
  AppendBytes(to, step.tag);
  AppendBytes(to, step.key);
  AppendLe32(to, static_cast<uint32_t>(step.copy.size()));
  for (const base::Slice& data : step.copy) {
    AppendBytes(to, data.view());
  }
}

// -- reading --------------------------------------------------------------------------------------

// Takes values off the front. Once something is not there, everything is empty and failed() true.
class Input {
 public:
  explicit Input(std::string_view bytes) : left_(bytes) {}

  unsigned char Byte() {
    const std::string_view raw = Take(1);
    return raw.empty() ? 0 : static_cast<unsigned char>(raw[0]);
  }
  uint32_t Le32() {
    const std::string_view raw = Take(sizeof(uint32_t));
    return raw.empty() ? 0 : base::LoadLe32(raw.data());
  }
  uint64_t Le64() {
    const std::string_view raw = Take(sizeof(uint64_t));
    return raw.empty() ? 0 : base::LoadLe64(raw.data());
  }
  std::string_view Bytes() { return Take(Le32()); }
  base::Slice Slice() {
    const std::string_view bytes = Bytes();
    return bytes.empty() ? base::Slice() : base::Slice::CopyOf(bytes);
  }

  void Fail() {
    failed_ = true;
    left_ = std::string_view();
  }
  bool failed() const { return failed_; }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view Take(size_t count) {
    if (count > left_.size()) {
      Fail();
      return std::string_view();
    }
    const std::string_view taken = left_.substr(0, count);
    left_.remove_prefix(count);
    return taken;
  }

  std::string_view left_;
  bool failed_ = false;
};

// The count of data is not believed: each of them has bytes of its own, or the input fails.
void ParseStep(Input* input, Step* step, const Step* before) {
  const unsigned char flags = input->Byte();
  const unsigned char trace = input->Byte();
  const bool same_parse = (flags & kSameParse) != 0;
  if (flags >= 2 * kSameParse || trace > static_cast<unsigned char>(Trace::kHeld) ||
      (same_parse && (before == nullptr || before->parse.empty()))) {
    input->Fail();
    return;
  }
  step->extended = (flags & kExtended) != 0;
  step->copy_in = (flags & kCopyIn) != 0;
  step->local = (flags & kLocal) != 0;
  step->survives = (flags & kSurvives) != 0;
  step->trace = static_cast<Trace>(trace);
  step->row_limit = input->Le32();
  step->text = input->Slice();
  step->parse = same_parse ? before->parse : input->Slice();
  step->statement = input->Bytes();
  step->bind = input->Slice();
  step->tag = input->Bytes();
  step->key = input->Bytes();
  for (uint32_t left = input->Le32(); left > 0 && !input->failed(); --left) {
    step->copy.push_back(input->Slice());
  }
}

}  // namespace

void AppendUnit(std::string* to, const Unit& unit, absl::Time committed) {
  AppendByte(to, kVersion);
  AppendByte(to, unit.place.is_explicit ? kExplicit : 0);
  AppendLe64(to, unit.place.stamp);
  AppendLe64(to, unit.place.acked);
  AppendLe64(to, unit.after);
  AppendLe64(to, static_cast<uint64_t>(unit.bytes));
  AppendLe64(to, static_cast<uint64_t>(absl::ToUnixMicros(committed)));
  AppendBytes(to, unit.prepare.view());
  AppendLe32(to, static_cast<uint32_t>(unit.steps.size()));
  const Step* before = nullptr;
  for (const Step& step : unit.steps) {
    AppendStep(to, step, before);
    before = &step;
  }
}

UnitResult ParseUnit(std::string_view bytes, Unit* unit, absl::Time* committed) {
  *unit = Unit();
  Input input(bytes);
  if (input.Byte() != kVersion) {
    return input.failed() ? UnitResult::kDamaged : UnitResult::kOtherVersion;
  }
  const unsigned char flags = input.Byte();
  unit->place.is_explicit = (flags & kExplicit) != 0;
  unit->place.stamp = input.Le64();
  unit->place.acked = input.Le64();
  unit->after = input.Le64();
  unit->bytes = static_cast<int64_t>(input.Le64());
  *committed = absl::FromUnixMicros(static_cast<int64_t>(input.Le64()));
  unit->prepare = input.Slice();
  for (uint32_t left = input.Le32(); left > 0 && !input.failed(); --left) {
    Step step;
    ParseStep(&input, &step, unit->steps.empty() ? nullptr : &unit->steps.back());
    unit->steps.push_back(std::move(step));
  }
  const bool good = !input.failed() && input.at_end() && flags <= kExplicit && unit->bytes >= 0;
  return good ? UnitResult::kGood : UnitResult::kDamaged;
}

}  // namespace mirror
