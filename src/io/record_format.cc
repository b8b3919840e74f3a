#include "io/record_format.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto.h"

namespace io {
namespace {

constexpr size_t kMagicBytes = 8;
constexpr size_t kNameBytes = 7;  // of the magic; the last one is the version
constexpr std::string_view kIdentityMagic = "PGBRLOG1";
constexpr std::string_view kSegmentMagic = "PGBRSEG1";
constexpr uint64_t kAlignment = 8;

// Offsets within a record's header.
constexpr size_t kPayloadSum = 0;
constexpr size_t kSequence = 8;
constexpr size_t kLength = 16;
constexpr size_t kPlace = 20;
constexpr size_t kHeaderSum = 24;

std::string_view MagicOf(LogFileKind kind) {
  return kind == LogFileKind::kIdentity ? kIdentityMagic : kSegmentMagic;
}

uint64_t Padded(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// A payload is bound to its log and its place in it: copied elsewhere it is damaged.
uint64_t PayloadSum(std::string_view padded, uint64_t log_id, uint64_t sequence) {
  return base::Checksum(padded, log_id ^ sequence);
}

struct Header {
  uint64_t payload_sum;
  uint64_t sequence;
  uint32_t length;
  uint32_t place;
};

// True if `bytes` begin with a header that this log wrote, for whatever record.
bool ReadHeader(std::string_view bytes, uint64_t log_id, Header* header) {
  if (bytes.size() < kRecordHeaderBytes) {
    return false;
  }
  const char* const raw = bytes.data();
  header->payload_sum = base::LoadLe64(raw + kPayloadSum);
  header->sequence = base::LoadLe64(raw + kSequence);
  header->length = base::LoadLe32(raw + kLength);
  header->place = base::LoadLe32(raw + kPlace);
  return header->place < header->sequence &&
         base::LoadLe64(raw + kHeaderSum) ==
             base::Checksum(std::string_view(raw, kHeaderSum), log_id);
}

// True if the payload of this header stands behind it in `bytes`, as it was written.
bool ReadPayload(std::string_view bytes, uint64_t log_id, const Header& header,
                 std::string_view* payload) {
  if (RecordSize(header.length) > bytes.size()) {
    return false;
  }
  const std::string_view padded = bytes.substr(kRecordHeaderBytes, Padded(header.length));
  *payload = padded.substr(0, header.length);
  return header.payload_sum == PayloadSum(padded, log_id, header.sequence);
}

}  // namespace

void AppendLogHeader(std::string* to, LogFileKind kind, const LogHeader& header) {
  char raw[kLogHeaderBytes];
  std::memcpy(raw, MagicOf(kind).data(), kMagicBytes);
  base::StoreLe64(raw + 8, header.log_id);
  base::StoreLe64(raw + 16, header.first_sequence);
  base::StoreLe64(raw + 24, base::Checksum(std::string_view(raw, 24)));
  to->append(raw, sizeof raw);
}

LogHeaderResult ParseLogHeader(std::string_view bytes, LogFileKind kind, LogHeader* header) {
  const std::string_view magic = MagicOf(kind);
  if (bytes.size() < kLogHeaderBytes ||
      bytes.substr(0, kNameBytes) != magic.substr(0, kNameBytes)) {
    return LogHeaderResult::kDamaged;
  }
  if (base::LoadLe64(bytes.data() + 24) != base::Checksum(bytes.substr(0, 24))) {
    return LogHeaderResult::kDamaged;
  }
  if (bytes[kNameBytes] != magic[kNameBytes]) {
    return LogHeaderResult::kOtherVersion;
  }
  header->log_id = base::LoadLe64(bytes.data() + 8);
  header->first_sequence = base::LoadLe64(bytes.data() + 16);
  return LogHeaderResult::kGood;
}

uint64_t RecordSize(uint64_t payload_bytes) { return kRecordHeaderBytes + Padded(payload_bytes); }

void AppendRecord(std::string* to, uint64_t log_id, uint64_t sequence, uint32_t place,
                  std::string_view payload) {
  CHECK(payload.size() <= kRecordBytesMax && place < sequence);
  const size_t start = to->size();
  to->append(kRecordHeaderBytes, '\0');
  to->append(payload);
  to->append(Padded(payload.size()) - payload.size(), '\0');
  const std::string_view padded = std::string_view(*to).substr(start + kRecordHeaderBytes);
  char* const raw = to->data() + start;
  base::StoreLe64(raw + kPayloadSum, PayloadSum(padded, log_id, sequence));
  base::StoreLe64(raw + kSequence, sequence);
  base::StoreLe32(raw + kLength, static_cast<uint32_t>(payload.size()));
  base::StoreLe32(raw + kPlace, place);
  base::StoreLe64(raw + kHeaderSum, base::Checksum(std::string_view(raw, kHeaderSum), log_id));
}

bool ParseRecord(std::string_view bytes, uint64_t log_id, Record* record) {
  Header header;
  if (!ReadHeader(bytes, log_id, &header) ||
      !ReadPayload(bytes, log_id, header, &record->payload)) {
    return false;
  }
  record->sequence = header.sequence;
  return true;
}

SegmentScanner::SegmentScanner(std::string_view bytes, const LogHeader& header)
    : bytes_(bytes), log_id_(header.log_id), sequence_(header.first_sequence) {
  CHECK(bytes.size() >= kLogHeaderBytes && sequence_ > 0);
}

SegmentScanner::Result SegmentScanner::Next(Record* record) {
  if (offset_ == bytes_.size()) {
    return Result::kEnd;
  }
  const std::string_view rest = bytes_.substr(offset_);
  Header header;
  if (ReadHeader(rest, log_id_, &header) && header.sequence == sequence_ &&
      ReadPayload(rest, log_id_, header, &record->payload)) {
    record->sequence = sequence_++;
    record->offset = offset_;
    group_offset_ = header.place == 0 ? offset_ : group_offset_;
    offset_ += RecordSize(header.length);
    return Result::kRecord;
  }
  return WasSynced() ? Result::kDamaged : Result::kTorn;
}

// A group is written only after the one before it was synced. So a header behind this place, of a
// group that begins after the record missing here, proves that this record once was on stable
// storage. Headers of the missing record's own group prove nothing: a disk may keep any part of
// what was not synced.
bool SegmentScanner::WasSynced() const {
  Header header;
  for (uint64_t at = offset_ + kAlignment; at + kRecordHeaderBytes <= bytes_.size();
       at += kAlignment) {
    if (ReadHeader(bytes_.substr(at), log_id_, &header) &&
        header.sequence - header.place > sequence_) {
      return true;
    }
  }
  return false;
}

}  // namespace io
