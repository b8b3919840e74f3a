// The bytes of a record log, without its files: docs/record_log.md. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace io {

inline constexpr size_t kLogHeaderBytes = 32;      // of the identity file and of every segment
inline constexpr size_t kRecordHeaderBytes = 32;
inline constexpr uint32_t kRecordBytesMax = 1u << 30;  // of a payload

enum class LogFileKind : uint8_t { kIdentity, kSegment };

struct LogHeader {
  uint64_t log_id = 0;
  uint64_t first_sequence = 0;  // of a segment; 0 in the identity file
};

enum class LogHeaderResult : uint8_t { kGood, kDamaged, kOtherVersion };

void AppendLogHeader(std::string* to, LogFileKind kind, const LogHeader& header);
// kDamaged also for what is too short or no header of this kind.
LogHeaderResult ParseLogHeader(std::string_view bytes, LogFileKind kind, LogHeader* header);

// One record. `place`: how many records of the same group, written with one sync, are before it.
void AppendRecord(std::string* to, uint64_t log_id, uint64_t sequence, uint32_t place,
                  std::string_view payload);
// How many bytes AppendRecord adds for a payload of this size.
uint64_t RecordSize(uint64_t payload_bytes);

struct Record {
  uint64_t sequence = 0;
  uint64_t offset = 0;       // of its first byte within the segment
  std::string_view payload;  // within the bytes scanned
};

// The record that `bytes` begin with, as AppendRecord has made it; but for its offset. False: they
// are damaged, cut short, or of another log.
bool ParseRecord(std::string_view bytes, uint64_t log_id, Record* record);

// Reads the records of one segment in order.
class SegmentScanner {
 public:
  enum class Result : uint8_t {
    kRecord,
    kEnd,      // exactly here the bytes end
    kTorn,     // no record here and nothing tells that there was one: the log ends here
    kDamaged,  // no record here, but one behind it that was written after this place was synced
  };

  // `bytes`: the whole segment, behind whose header the records begin. They outlive this.
  SegmentScanner(std::string_view bytes, const LogHeader& header);
  // After anything but kRecord it stays where it is.
  Result Next(Record* record);
  uint64_t offset() const { return offset_; }  // of the next record
  uint64_t next_sequence() const { return sequence_; }
  // Where the group of the newest record begins: everything before it was synced before it was
  // written.
  uint64_t group_offset() const { return group_offset_; }

 private:
  bool WasSynced() const;

  const std::string_view bytes_;
  const uint64_t log_id_;
  uint64_t offset_ = kLogHeaderBytes;
  uint64_t group_offset_ = kLogHeaderBytes;
  uint64_t sequence_;
};

}  // namespace io
