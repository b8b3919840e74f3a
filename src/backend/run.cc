#include "backend/run.h"

namespace backend {

base::Slice Run::Kept(const base::Slice& slice, pg::Piece* last, pg::FrameReader* reader) {
  if (!slice.block()->lent) {
    return slice;
  }
  base::Slice copy = base::Slice::CopyOf(reader->Rest(*last));
  reader->MoveRest(copy.view(), last);
  return copy;
}

}  // namespace backend
