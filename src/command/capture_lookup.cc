#include "command/capture_lookup.h"

#include "base/status.h"
#include "io/record_reader.h"
#include "mirror/capture_format.h"

namespace command {

absl::StatusOr<mirror::Unit> CaptureLookup::Read(const CapturePlace& place) {
  const CaptureLog& log = logs_[place.log];
  Segment& segment = open_[place.log];
  if (segment.first_sequence != place.segment) {
    ASSIGN_OR_RETURN(segment.file,
                     io::File::OpenForReading(io::SegmentPath(log.path, place.segment)));
    segment.first_sequence = place.segment;
  }
  ASSIGN_OR_RETURN(const std::string bytes,
                   segment.file.ReadAt(place.offset, io::RecordSize(place.bytes)));
  io::Record record;
  mirror::Captured captured;
  if (!io::ParseRecord(bytes, log.id, &record) ||
      mirror::ParseCaptured(record.payload, &captured) != mirror::CapturedResult::kGood ||
      captured.kind != mirror::Captured::Kind::kUnit) {
    return base::DataLoss(io::SegmentPath(log.path, place.segment) + " at byte " +
                          std::to_string(place.offset) + ": the record is not what it was");
  }
  return std::move(captured.unit);
}

}  // namespace command
