// The bytes of a record log: what is written is pinned, whatever is read gives a true prefix.
#include "io/record_format.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"

namespace io_test {
namespace {

using Result = io::SegmentScanner::Result;

constexpr uint64_t kLogId = 0x1122334455667788;

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += kDigits[static_cast<unsigned char>(byte) >> 4];
    text += kDigits[static_cast<unsigned char>(byte) & 15];
  }
  return text;
}

// A segment of groups of records, and where each group begins.
struct Segment {
  io::LogHeader header{kLogId, 5};
  std::string bytes;
  std::vector<std::string> payloads;
  std::vector<size_t> starts;       // of the records
  std::vector<size_t> group_starts;
  std::vector<size_t> group_of;     // by record

  Segment() { io::AppendLogHeader(&bytes, io::LogFileKind::kSegment, header); }
  void AddGroup(const std::vector<std::string>& group) {
    group_starts.push_back(bytes.size());
    uint32_t place = 0;
    for (const std::string& payload : group) {
      starts.push_back(bytes.size());
      group_of.push_back(group_starts.size() - 1);
      io::AppendRecord(&bytes, kLogId, header.first_sequence + payloads.size(), place++, payload);
      payloads.push_back(payload);
    }
  }
};

Segment ThreeGroups() {
  Segment segment;
  segment.AddGroup({"one", ""});
  segment.AddGroup({std::string(70, 'x'), "four", std::string(9, '\0')});
  segment.AddGroup({"six", std::string(40, 'y')});
  return segment;
}

struct Scanned {
  std::vector<std::string> payloads;
  Result result = Result::kEnd;
};

Scanned Scan(std::string_view bytes, const io::LogHeader& header) {
  io::SegmentScanner scanner(bytes, header);
  Scanned scanned;
  io::Record record;
  while ((scanned.result = scanner.Next(&record)) == Result::kRecord) {
    EXPECT_EQ(record.sequence, header.first_sequence + scanned.payloads.size());
    scanned.payloads.emplace_back(record.payload);
  }
  return scanned;
}

void ExpectPrefix(const Scanned& scanned, const Segment& segment, size_t least) {
  ASSERT_LE(scanned.payloads.size(), segment.payloads.size());
  EXPECT_GE(scanned.payloads.size(), least);
  for (size_t i = 0; i < scanned.payloads.size(); ++i) {
    EXPECT_EQ(scanned.payloads[i], segment.payloads[i]);
  }
}

TEST(RecordFormat, ItsBytesArePinned) {
  std::string bytes;
  io::LogHeader header{kLogId, 0};
  io::AppendLogHeader(&bytes, io::LogFileKind::kIdentity, header);
  // The checksums were worked out with another implementation of XXH3.
  EXPECT_EQ(Hex(bytes), "504742524c4f47318877665544332211"
                        "0000000000000000dc025fb0c34ffb54");
  bytes.clear();
  io::AppendRecord(&bytes, kLogId, 7, 2, "hello");
  EXPECT_EQ(Hex(bytes), "1ac8fd58c46bcb8d0700000000000000"
                        "05000000020000000de756ae6b85d1ae"
                        "68656c6c6f000000");
}

TEST(RecordFormat, HeadersOfAnotherKindVersionOrDamageAreTold) {
  std::string good;
  io::AppendLogHeader(&good, io::LogFileKind::kSegment, io::LogHeader{kLogId, 42});
  ASSERT_EQ(good.size(), io::kLogHeaderBytes);
  io::LogHeader read;
  EXPECT_EQ(io::ParseLogHeader(good, io::LogFileKind::kSegment, &read),
            io::LogHeaderResult::kGood);
  EXPECT_EQ(read.log_id, kLogId);
  EXPECT_EQ(read.first_sequence, 42u);
  EXPECT_EQ(io::ParseLogHeader(good, io::LogFileKind::kIdentity, &read),
            io::LogHeaderResult::kDamaged);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_EQ(io::ParseLogHeader(flipped, io::LogFileKind::kSegment, &read),
              io::LogHeaderResult::kDamaged);
  }
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_EQ(io::ParseLogHeader(good.substr(0, length), io::LogFileKind::kSegment, &read),
              io::LogHeaderResult::kDamaged);
  }
}

TEST(RecordFormat, WhatIsWrittenIsRead) {
  const Segment segment = ThreeGroups();
  const Scanned scanned = Scan(segment.bytes, segment.header);
  EXPECT_EQ(scanned.payloads, segment.payloads);
  EXPECT_EQ(scanned.result, Result::kEnd);
  const Scanned allocated = Scan(segment.bytes + std::string(4096, '\0'), segment.header);
  EXPECT_EQ(allocated.payloads, segment.payloads);
  EXPECT_EQ(allocated.result, Result::kTorn);
}

TEST(RecordFormat, ARecordIsReadByItselfFromWhereItWas) {
  const Segment segment = ThreeGroups();
  io::SegmentScanner scanner(segment.bytes, segment.header);
  io::Record scanned;
  for (const std::string& payload : segment.payloads) {
    ASSERT_EQ(scanner.Next(&scanned), Result::kRecord);
    const std::string bytes =
        segment.bytes.substr(scanned.offset, io::RecordSize(scanned.payload.size()));
    io::Record record;
    ASSERT_TRUE(io::ParseRecord(bytes, kLogId, &record));
    EXPECT_EQ(record.payload, payload);
    EXPECT_EQ(record.sequence, scanned.sequence);
    EXPECT_FALSE(io::ParseRecord(bytes, kLogId + 1, &record));
    EXPECT_FALSE(io::ParseRecord(bytes.substr(0, bytes.size() - 1), kLogId, &record));
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(io::ParseRecord(flipped, kLogId, &record)) << bit;
    }
  }
}

// Q14: a write that was interrupted at any byte, with and without allocated space behind it.
TEST(RecordFormat, TornAtEveryByte) {
  const Segment segment = ThreeGroups();
  for (size_t length = io::kLogHeaderBytes; length < segment.bytes.size(); ++length) {
    for (const size_t zeros : {0u, 4096u}) {
      const std::string torn = segment.bytes.substr(0, length) + std::string(zeros, '\0');
      const Scanned scanned = Scan(torn, segment.header);
      ASSERT_NE(scanned.result, Result::kDamaged) << length;
      size_t whole = 0;
      while (whole + 1 < segment.starts.size() && segment.starts[whole + 1] <= length) {
        ++whole;
      }
      ExpectPrefix(scanned, segment, whole);
    }
  }
}

// Q14: one bit anywhere. Before the last group it is always told; in it, it may look torn.
TEST(RecordFormat, EveryFlippedBitIsFound) {
  const Segment segment = ThreeGroups();
  for (size_t bit = io::kLogHeaderBytes * 8; bit < segment.bytes.size() * 8; ++bit) {
    std::string flipped = segment.bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    const Scanned scanned = Scan(flipped, segment.header);
    ExpectPrefix(scanned, segment, 0);
    ASSERT_LT(scanned.payloads.size(), segment.payloads.size()) << bit;
    const bool last = bit / 8 >= segment.group_starts.back();
    EXPECT_EQ(scanned.result, last ? Result::kTorn : Result::kDamaged) << bit;
  }
}

// A power cut keeps any sectors of the group that was not synced yet, in any order.
TEST(RecordFormat, AnySectorsOfTheLastGroupMayBeMissing) {
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    base::Prng prng(seed);
    Segment segment;
    segment.AddGroup({std::string(prng.Below(3000), 'a')});
    std::vector<std::string> group;
    for (uint64_t i = 1 + prng.Below(20); i > 0; --i) {
      group.emplace_back(prng.Below(1500), static_cast<char>('b' + i));
    }
    segment.AddGroup(group);
    std::string kept = segment.bytes;
    for (size_t sector = segment.group_starts.back(); sector < kept.size();) {
      const size_t end = std::min(kept.size(), (sector / 512 + 1) * 512);
      if (prng.OneIn(3)) {
        std::fill(kept.begin() + static_cast<ptrdiff_t>(sector),
                  kept.begin() + static_cast<ptrdiff_t>(end), '\0');
      }
      sector = end;
    }
    const Scanned scanned = Scan(kept, segment.header);
    ASSERT_NE(scanned.result, Result::kDamaged) << "seed " << seed;
    ExpectPrefix(scanned, segment, 1);
  }
}

TEST(RecordFormat, RecordsOfAnotherLogOrPlaceAreNone) {
  const Segment segment = ThreeGroups();
  Segment other;
  other.bytes.clear();
  io::AppendLogHeader(&other.bytes, io::LogFileKind::kSegment, io::LogHeader{kLogId, 6});
  // The same records, under a first number that is not theirs.
  other.bytes += segment.bytes.substr(io::kLogHeaderBytes);
  EXPECT_TRUE(Scan(other.bytes, io::LogHeader{kLogId, 6}).payloads.empty());
  EXPECT_TRUE(Scan(segment.bytes, io::LogHeader{kLogId + 1, 5}).payloads.empty());
}

// A client chooses payloads, not ids: records of another log within a torn one prove nothing.
TEST(RecordFormat, APayloadCannotPassForARecord) {
  std::string inside(3, '\0');
  inside.append(5, '\0');
  for (uint64_t sequence = 1; sequence < 50; ++sequence) {
    io::AppendRecord(&inside, kLogId ^ 1, sequence, 0, "forged");
  }
  Segment segment;
  segment.AddGroup({"true"});
  segment.AddGroup({inside});
  segment.bytes[segment.starts.back() + 40] ^= 1;
  const Scanned scanned = Scan(segment.bytes, segment.header);
  EXPECT_EQ(scanned.result, Result::kTorn);
  EXPECT_EQ(scanned.payloads, std::vector<std::string>{"true"});
}

}  // namespace
}  // namespace io_test
