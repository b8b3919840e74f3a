// Run: frames that lie behind each other in one received slice, and leave as one slice of it.
//
// On the stack of a pump, while it reads that slice. Pieces are added in the order in which the
// reader hands them out; one that lies in the reader's memory leaves as a copy, in its place. Where
// the judge holds a piece the run stops before it, and the rest of the slice waits.
#pragma once

#include "base/check.h"
#include "base/slice.h"
#include "io/stream.h"
#include "pg/frame.h"
#include "pg/frame_reader.h"

namespace backend {

class Run {
 public:
  // Both outlive this. `to` null: what is added is dropped.
  Run(const base::Slice& slice, io::Stream* to) : slice_(slice), to_(to) {}
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void Add(const pg::Piece& piece) {
    if (piece.held) {
      Forward();
      if (to_ != nullptr) {
        to_->WriteCopy(piece.bytes);
      }
      return;
    }
    if (begin_ == end_) {
      begin_ = end_ = piece.bytes.data();
    }
    DCHECK(end_ == piece.bytes.data());
    end_ += piece.bytes.size();
  }

  // Writes what was added since the last time.
  void Forward() {
    if (to_ != nullptr && begin_ != end_) {
      to_->Write(slice_.Sub(static_cast<uint32_t>(begin_ - slice_.data()),
                            static_cast<uint32_t>(end_ - begin_)));
    }
    begin_ = end_;
  }

  // Ends before `*last`, the piece that `reader` has just handed out. Returns the slice for later,
  // from `*last` on and in memory of its own if it lay in a pool's: a hold may last.
  base::Slice StopBefore(pg::Piece* last, pg::FrameReader* reader) {
    Forward();
    return Kept(slice_, last, reader);
  }

 private:
  // Of the slice, not of this: the compiler keeps a run in registers.
  static base::Slice Kept(const base::Slice& slice, pg::Piece* last, pg::FrameReader* reader);

  const base::Slice& slice_;
  io::Stream* const to_;
  const char* begin_ = nullptr;  // of what was added and not written, in the slice
  const char* end_ = nullptr;
};

}  // namespace backend
