// A unit in bytes: every field comes back, and what is cut, longer or spoiled is refused or means
// just what it says.
#include "mirror/unit_codec.h"

#include <gtest/gtest.h>

#include <utility>

namespace mirror {
namespace {

using base::Slice;

const absl::Time kCommitted = absl::FromUnixMicros(1'700'000'000'123'456);

Unit Whole() {
  Unit unit;
  unit.place = Place{.stamp = 0x0102030405060708, .acked = 77, .is_explicit = true};
  unit.after = 76;
  unit.begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
  unit.read_only = true;
  unit.meets = true;
  unit.commits = true;
  unit.bytes = 4321;
  unit.prepare = Slice::CopyOf("PREPARE TRANSACTION 'x'");

  Step simple;
  simple.text = Slice::CopyOf("INSERT INTO t VALUES (1)");
  simple.tag = "INSERT 0 1";
  simple.trace = Trace::kSet;
  simple.key = "set work_mem";
  simple.local = true;
  unit.steps.push_back(simple);

  Step extended;
  extended.extended = true;
  extended.parse = Slice::CopyOf(std::string_view("INSERT $1\0\0\0", 12));
  extended.bind = Slice::CopyOf(std::string_view("\0\1\0\0", 4));
  extended.row_limit = 9;
  extended.survives = true;
  unit.steps.push_back(extended);
  extended.bind = Slice::CopyOf("other");
  extended.trace = Trace::kHeld;
  extended.returned = Slice::CopyOf("what came back");
  unit.steps.push_back(extended);

  Step named;
  named.extended = true;
  named.statement = "by name";
  named.asks = true;
  named.trace = Trace::kDiscardTemp;
  named.unpinned = Unpinned::kTooLarge;
  unit.steps.push_back(named);

  Step copy;
  copy.text = Slice::CopyOf("COPY t FROM STDIN");
  copy.copy_in = true;
  copy.tag = "COPY 2";
  copy.copy = {Slice::CopyOf("d1"), Slice(), Slice::CopyOf(std::string(1000, 'x'))};
  unit.steps.push_back(copy);
  return unit;
}

std::string Bytes(const Unit& unit) {
  std::string bytes;
  AppendUnit(&bytes, unit, kCommitted);
  return bytes;
}

void ExpectSame(const Step& step, const Step& other) {
  EXPECT_EQ(step.text.view(), other.text.view());
  EXPECT_EQ(step.parse.view(), other.parse.view());
  EXPECT_EQ(step.statement, other.statement);
  EXPECT_EQ(step.bind.view(), other.bind.view());
  EXPECT_EQ(step.row_limit, other.row_limit);
  EXPECT_EQ(step.extended, other.extended);
  EXPECT_EQ(step.copy_in, other.copy_in);
  EXPECT_EQ(step.tag, other.tag);
  EXPECT_EQ(step.trace, other.trace);
  EXPECT_EQ(step.key, other.key);
  EXPECT_EQ(step.local, other.local);
  EXPECT_EQ(step.survives, other.survives);
  EXPECT_EQ(step.asks, other.asks);
  EXPECT_EQ(step.returned.view(), other.returned.view());
  EXPECT_EQ(step.unpinned, other.unpinned);
  ASSERT_EQ(step.copy.size(), other.copy.size());
  for (size_t i = 0; i < step.copy.size(); ++i) {
    EXPECT_EQ(step.copy[i].view(), other.copy[i].view());
  }
}

TEST(UnitCodec, BringsBackEveryField) {
  const Unit unit = Whole();
  Unit again;
  absl::Time committed;
  ASSERT_EQ(ParseUnit(Bytes(unit), &again, &committed), UnitResult::kGood);
  EXPECT_EQ(committed, kCommitted);
  EXPECT_EQ(again.place.stamp, unit.place.stamp);
  EXPECT_EQ(again.place.acked, unit.place.acked);
  EXPECT_EQ(again.place.is_explicit, unit.place.is_explicit);
  EXPECT_EQ(again.after, unit.after);
  EXPECT_EQ(again.begin, unit.begin);
  EXPECT_EQ(again.read_only, unit.read_only);
  EXPECT_EQ(again.meets, unit.meets);
  EXPECT_EQ(again.commits, unit.commits);
  EXPECT_EQ(again.bytes, unit.bytes);
  EXPECT_EQ(again.prepare.view(), unit.prepare.view());
  ASSERT_EQ(again.steps.size(), unit.steps.size());
  for (size_t i = 0; i < unit.steps.size(); ++i) {
    SCOPED_TRACE(i);
    ExpectSame(again.steps[i], unit.steps[i]);
  }
}

TEST(UnitCodec, BringsBackAnEmptyUnit) {
  Unit again = Whole();
  absl::Time committed;
  ASSERT_EQ(ParseUnit(Bytes(Unit()), &again, &committed), UnitResult::kGood);
  EXPECT_TRUE(again.steps.empty());
  EXPECT_TRUE(again.prepare.empty());
  EXPECT_FALSE(again.place.is_explicit);
}

// A thousand executions of one prepared statement hold its text once, before and behind the file.
TEST(UnitCodec, KeepsOneParseForTheStepsThatShareIt) {
  Unit unit;
  Step step;
  step.extended = true;
  step.parse = Slice::CopyOf(std::string(5000, 'p'));
  unit.steps.assign(100, step);
  const std::string bytes = Bytes(unit);
  EXPECT_LT(bytes.size(), 5000u + 100 * 64);
  Unit again;
  absl::Time committed;
  ASSERT_EQ(ParseUnit(bytes, &again, &committed), UnitResult::kGood);
  EXPECT_EQ(again.steps.back().parse.data(), again.steps.front().parse.data());
  EXPECT_EQ(again.steps.back().parse.view(), step.parse.view());
}

TEST(UnitCodec, RefusesWhatIsCutAnywhereOrLonger) {
  const std::string bytes = Bytes(Whole());
  Unit unit;
  absl::Time committed;
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_EQ(ParseUnit(bytes.substr(0, length), &unit, &committed), UnitResult::kDamaged)
        << length;
  }
  EXPECT_EQ(ParseUnit(bytes + '\0', &unit, &committed), UnitResult::kDamaged);
}

TEST(UnitCodec, SaysThatAnotherVersionIsOne) {
  std::string bytes = Bytes(Whole());
  bytes[0] = 2;
  Unit unit;
  absl::Time committed;
  EXPECT_EQ(ParseUnit(bytes, &unit, &committed), UnitResult::kOtherVersion);
}

// A flipped bit is refused or is a unit that would be written as just these bytes.
TEST(UnitCodec, ReadsAFlippedBitAsWhatItSays) {
  const std::string bytes = Bytes(Whole());
  int refused = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    Unit unit;
    absl::Time committed;
    if (ParseUnit(flipped, &unit, &committed) != UnitResult::kGood) {
      ++refused;
      continue;
    }
    std::string again;
    AppendUnit(&again, unit, committed);
    ASSERT_EQ(again, flipped) << "bit " << bit;
  }
  EXPECT_GT(refused, 500);
}

// A count or a length of 2^32 - 1 with next to nothing behind it.
TEST(UnitCodec, BelievesNoCount) {
  std::string bytes = Bytes(Unit());
  bytes.replace(bytes.size() - 4, 4, "\xff\xff\xff\xff");
  Unit unit;
  absl::Time committed;
  EXPECT_EQ(ParseUnit(bytes, &unit, &committed), UnitResult::kDamaged);
  EXPECT_LE(unit.steps.capacity(), 2u);
}

}  // namespace
}  // namespace mirror
