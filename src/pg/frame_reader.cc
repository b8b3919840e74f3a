#include "pg/frame_reader.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <utility>

#include "base/fault_point.h"

namespace pg {
namespace {

std::string TypeError(Side side, char type) {
  const unsigned byte = static_cast<unsigned char>(type);
  if (side == Side::kFrontend) {
    return "invalid frontend message type " + std::to_string(byte);
  }
  char text[64];
  std::snprintf(text, sizeof text, "invalid backend message type 0x%02x", byte);
  return text;
}

std::string LengthError(char type, uint32_t length) {
  return "invalid message length " + std::to_string(length) + " of message type \"" +
         std::string(1, type) + "\"";
}

}  // namespace

FrameReader::FrameReader(Side side, uint32_t held_max, uint32_t first_held)
    : rules_(RulesOf(side)), side_(side), held_max_(held_max), first_held_(first_held) {
  CHECK(first_held > 0);
}

void FrameReader::Feed(std::string_view chunk) {
  CHECK(left() == 0 || state_ == State::kBad);
  begin_ = at_ = chunk.data();
  end_ = begin_ + chunk.size();
}

void FrameReader::MoveRest(std::string_view copy, Piece* last) {
  CHECK(copy.size() == Rest(*last).size());
  begin_ = at_ = copy.data();
  end_ = begin_ + copy.size();
  if (!last->held) {
    const size_t header = last->bytes.size() - last->body.size();
    at_ += last->bytes.size();
    last->bytes = copy.substr(0, last->bytes.size());
    last->body = last->bytes.substr(header);
  }
}

ReadResult FrameReader::NextSlow(Piece* piece) {
  AssertInvariants();
  switch (state_) {
    case State::kHandedOut:
      ReleaseHeld();
      MoveTo(State::kBetween);
      return Next(piece);  // once at most: the state is another one now
    case State::kBetween:
    case State::kHeader:
      return ReadHeader(piece);
    case State::kHolding:
      return Gather(piece);
    case State::kStreaming:
      return Stream(piece);
    case State::kBad:
      return ReadResult::kBad;
  }
  return ReadResult::kBad;
}

// Takes a header from header_ and the chunk. The type is judged as soon as it is there, like the
// server does: a peer that sends one wrong byte and waits must not wait for nothing.
ReadResult FrameReader::ReadHeader(Piece* piece) {
  if (left() == 0) {
    return ReadResult::kMore;
  }
  const char type = state_ == State::kHeader ? header_[0] : *at_;
  const FrameRule& rule = rules_[static_cast<unsigned char>(type)];
  if (!rule.known() && !HISTORICAL_BUG("d5-unknown-type-is-forwarded")) {
    return Bad(TypeError(side_, type));
  }
  const auto taken =
      static_cast<uint8_t>(std::min<size_t>(kHeaderBytes - header_count_, left()));
  std::copy_n(at_, taken, header_ + header_count_);
  const auto count = static_cast<uint8_t>(header_count_ + taken);
  if (count < kHeaderBytes) {
    at_ += taken;
    header_count_ = count;
    MoveTo(State::kHeader);
    return ReadResult::kMore;
  }
  const uint32_t length = base::LoadBe32(header_ + 1);
  const bool judged = !HISTORICAL_BUG("d1-length-is-not-judged") &&
                      !HISTORICAL_BUG("d5-unknown-type-is-forwarded");
  if (judged && (length < rule.length_min || length > rule.length_max)) {
    return Bad(LengthError(type, length));
  }
  at_ += taken;
  header_count_ = 0;
  return BeginFrame(piece, taken);
}

// header_ is complete, its last `in_chunk` bytes are those before at_.
ReadResult FrameReader::BeginFrame(Piece* piece, uint32_t in_chunk) {
  const uint32_t body_length = base::LoadBe32(header_ + 1) - 4;
  const bool cut_header = in_chunk < kHeaderBytes;
  piece->type = header_[0];
  piece->first = true;
  piece->body_length = body_length;
  const bool gathered = rules_[static_cast<unsigned char>(header_[0])].whole && body_length > 0 &&
                        uint64_t{body_length} + kHeaderBytes <= held_max_;
  if (gathered) {
    held_count_ = 0;
    MoveTo(State::kHolding);
    return Gather(piece);
  }
  const size_t body = cut_header ? 0 : std::min<size_t>(body_length, left());
  const char* from = cut_header ? header_ : at_ - kHeaderBytes;
  piece->held = cut_header;
  piece->last = body == body_length;
  piece->bytes = std::string_view(from, kHeaderBytes + body);
  piece->body = std::string_view(from + kHeaderBytes, body);
  at_ += body;
  body_left_ = static_cast<uint32_t>(body_length - body);
  MoveTo(body_left_ > 0 ? State::kStreaming : State::kBetween);
  return ReadResult::kPiece;
}

ReadResult FrameReader::Gather(Piece* piece) {
  const uint32_t body_length = base::LoadBe32(header_ + 1) - 4;
  const uint32_t total = body_length + kHeaderBytes;
  if (held_count_ == 0) {
    Hold(kHeaderBytes);
    std::copy_n(header_, kHeaderBytes, held_.get());
    held_count_ = kHeaderBytes;
  }
  const auto taken = static_cast<uint32_t>(std::min<size_t>(total - held_count_, left()));
  Hold(held_count_ + taken);
  std::copy_n(at_, taken, held_.get() + held_count_);
  at_ += taken;
  held_count_ += taken;
  if (held_count_ < total) {
    return ReadResult::kMore;
  }
  *piece = {.type = header_[0],
            .first = true,
            .last = true,
            .held = true,
            .body_length = body_length,
            .bytes = std::string_view(held_.get(), total),
            .body = std::string_view(held_.get() + kHeaderBytes, body_length)};
  MoveTo(State::kHandedOut);
  return ReadResult::kPiece;
}

ReadResult FrameReader::Stream(Piece* piece) {
  const auto taken = static_cast<uint32_t>(std::min<size_t>(body_left_, left()));
  if (taken == 0) {
    return ReadResult::kMore;
  }
  const std::string_view bytes(at_, taken);
  at_ += taken;
  body_left_ -= taken;
  *piece = {.type = header_[0],
            .first = false,
            .last = body_left_ == 0,
            .held = false,
            .body_length = base::LoadBe32(header_ + 1) - 4,
            .bytes = bytes,
            .body = bytes};
  if (body_left_ == 0) {
    MoveTo(State::kBetween);
  }
  return ReadResult::kPiece;
}

ReadResult FrameReader::Bad(std::string error) {
  error_ = std::move(error);
  header_count_ = 0;
  MoveTo(State::kBad);
  return ReadResult::kBad;
}

// Room for `count` bytes that have arrived; it grows with them, never with the declared length.
void FrameReader::Hold(size_t count) {
  if (count <= held_capacity_) {
    return;
  }
  const size_t grown = std::max<size_t>(first_held_, std::bit_ceil(count));
  const auto capacity =
      static_cast<uint32_t>(std::max(count, std::min<size_t>(grown, held_max_)));
  std::unique_ptr<char[]> room(new char[capacity]);
  std::copy_n(held_.get(), held_count_, room.get());
  held_ = std::move(room);
  held_capacity_ = capacity;
}

void FrameReader::ReleaseHeld() {
  held_.reset();
  held_capacity_ = 0;
  held_count_ = 0;
}

void FrameReader::MoveTo(State to) {
  // kBetween -> {kBetween, kHeader, kHolding, kStreaming, kBad}, kHeader likewise;
  // kHolding -> kHandedOut -> kBetween; kStreaming -> kBetween.
  switch (state_) {
    case State::kBetween:
    case State::kHeader:
      CHECK(to != State::kHandedOut);
      break;
    case State::kHolding:
      CHECK(to == State::kHandedOut);
      break;
    case State::kHandedOut:
    case State::kStreaming:
      CHECK(to == State::kBetween);
      break;
    case State::kBad:
      CHECK(false);
      break;
  }
  state_ = to;
  AssertInvariants();
}

void FrameReader::AssertInvariants() const {
  DCHECK(at_ >= begin_ && at_ <= end_);
  DCHECK((state_ == State::kHeader) == (header_count_ > 0));
  DCHECK((state_ == State::kStreaming) == (body_left_ > 0));
  DCHECK(held_count_ <= held_capacity_);
  DCHECK(state_ == State::kHolding || state_ == State::kHandedOut || held_capacity_ == 0);
  DCHECK(held_capacity_ <= std::max(held_max_, first_held_));
}

}  // namespace pg
