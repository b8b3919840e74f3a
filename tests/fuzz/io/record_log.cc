// Fuzz target: a segment of a record log, as a broken disk may give it back. The first bytes say
// how to spoil a good segment, or the bytes are the segment themselves.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "io/record_format.h"

namespace {

using Result = io::SegmentScanner::Result;

constexpr uint64_t kLogId = 7;
const io::LogHeader kHeader{kLogId, 3};

// Whatever stands there: records lie within it, in order, and the scan stays at its end.
void Scan(std::string_view bytes, const io::LogHeader& header, const std::string* written) {
  io::SegmentScanner scanner(bytes, header);
  io::Record record;
  uint64_t expected = header.first_sequence;
  std::string again;
  while (scanner.Next(&record) == Result::kRecord) {
    CHECK(record.sequence == expected++);
    CHECK(record.payload.data() >= bytes.data());
    CHECK(record.payload.data() + record.payload.size() <= bytes.data() + bytes.size());
    if (written != nullptr) {
      again.append(record.payload);
      CHECK(written->starts_with(again));
    }
  }
  const uint64_t end = scanner.offset();
  CHECK(end <= bytes.size() && scanner.next_sequence() == expected);
  CHECK(scanner.group_offset() <= end);
  CHECK(scanner.Next(&record) != Result::kRecord && scanner.offset() == end);
}

void ScanRaw(std::string_view bytes) {
  io::LogHeader header;
  const bool good = io::ParseLogHeader(bytes, io::LogFileKind::kSegment, &header) ==
                        io::LogHeaderResult::kGood &&
                    header.first_sequence > 0 && header.first_sequence < UINT64_MAX / 2;
  if (good || bytes.size() >= io::kLogHeaderBytes) {
    Scan(bytes, good ? header : kHeader, nullptr);
  }
}

// Records of the lengths told by the first bytes, spoiled by the rest: place and value in turn.
void ScanSpoiled(std::string_view script) {
  std::string bytes;
  std::string written;
  io::AppendLogHeader(&bytes, io::LogFileKind::kSegment, kHeader);
  uint32_t place = 0;
  for (uint64_t i = 0; i < 8 && i < script.size(); ++i) {
    const auto length = static_cast<unsigned char>(script[i]);
    const std::string payload(length & 127, static_cast<char>('a' + i));
    place = length > 127 ? 0 : place;
    io::AppendRecord(&bytes, kLogId, kHeader.first_sequence + i, place++, payload);
    written += payload;
  }
  for (size_t i = 8; i + 2 < script.size(); i += 3) {
    const size_t at = static_cast<unsigned char>(script[i]) * 256u +
                      static_cast<unsigned char>(script[i + 1]);
    if (at >= io::kLogHeaderBytes && at < bytes.size()) {
      bytes[at] = script[i + 2];
    }
  }
  Scan(bytes, kHeader, &written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ScanRaw(bytes);
  ScanSpoiled(bytes);
  return 0;
}
