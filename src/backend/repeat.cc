#include "backend/repeat.h"

namespace backend {

void Repeat::Begin(bool idle) {
  state_ = idle ? State::kNothing : State::kClosed;
  bytes_.clear();
  frames_.clear();
}

void Repeat::OnFrame(const pg::Piece& piece, turn::RequestId request, bool shared, bool told) {
  if (!piece.whole() || state_ == State::kEnded) {
    Close();  // another turn behind this one: its answers must not come first
    return;
  }
  switch (piece.type) {
    case 'P':
    case 'C':
    case 'H':
    case 'S':
      if (state_ == State::kKeeping) {
        Keep(piece, request, shared, told);
      }
      return;
    case 'B':
    case 'D':
    case 'E':
      break;
    default:
      Close();
      return;
  }
  if (state_ == State::kKeeping || shared) {
    Keep(piece, request, shared, told);
  } else if (piece.type != 'D') {
    Close();  // it runs, or makes a portal that a failure takes away
  }
}

void Repeat::Keep(const pg::Piece& piece, turn::RequestId request, bool shared, bool told) {
  if (bytes_.size() + piece.bytes.size() > kBytesMax) {
    Close();
    return;
  }
  state_ = piece.type == 'S' ? State::kEnded : State::kKeeping;
  frames_.push_back(
      Frame{request, static_cast<uint32_t>(bytes_.size()), piece.type, shared, told});
  bytes_ += piece.bytes;
}

std::string_view Repeat::From(turn::RequestId request) const {
  if (state_ == State::kClosed) {
    return "";
  }
  for (size_t i = 0; i < frames_.size(); ++i) {
    const Frame& frame = frames_[i];
    if (frame.request == request && frame.shared) {
      const bool safe = frame.type == 'D' || !frame.told || TellsRows(i);
      return safe ? std::string_view(bytes_).substr(frame.at) : std::string_view();
    }
    if (frame.type == 'B' || frame.type == 'E') {
      break;
    }
  }
  return "";
}

// True if behind the Bind at `from` the rows are described before they are asked for.
bool Repeat::TellsRows(size_t from) const {
  for (size_t i = from + 1; i < frames_.size(); ++i) {
    if (frames_[i].type == 'D' || frames_[i].type == 'E') {
      return frames_[i].type == 'D';
    }
  }
  return false;
}

}  // namespace backend
