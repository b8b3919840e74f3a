#include "io/stream.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "io/frame_pool.h"
#include "io/slice_tail.h"

namespace io {
namespace {

constexpr uint32_t kLifeBit = 1;
constexpr size_t kQueueKept = 8;  // slots an idle stream keeps
constexpr size_t kPiecesBytes = sizeof(iovec) * kSendPieces;

}  // namespace

Stream::~Stream() {
  CHECK(state_ == State::kNew || state_ == State::kClosed);
  DCHECK(!sending_ && !receiving_);
  if (dirty_) {
    loop_->ForgetDirty(this);
  }
}

void Stream::Adopt(int descriptor, Traffic traffic) {
  CHECK(state_ == State::kNew);
  state_ = State::kOpen;
  socket_ = loop_->engine().Adopt(descriptor, this, traffic);
  loop_->metrics().streams.Add(1);
  want_receive_ = true;
  StartReceiving();
}

Task<absl::Status> Stream::Dial(Address address, Traffic traffic, base::Deadline deadline) {
  CHECK(state_ == State::kNew);
  if (broken_) {
    co_return base::ErrnoError("connect to " + address.ToString(), error_);
  }
  Event connected(loop_);
  life_ = &connected;
  state_ = State::kDialling;
  socket_ = loop_->engine().Dial(address, this, traffic);
  loop_->metrics().streams.Add(1);
  const uint32_t bits = co_await connected.Wait(deadline);
  life_ = nullptr;
  if (state_ != State::kOpen || broken_) {
    const bool timed_out = (bits & kLifeBit) == 0;
    const int error = broken_ ? ECANCELED : error_;
    co_await Close(loop_->now());
    if (timed_out) {
      co_return base::DeadlineExceeded("connect to " + address.ToString() + ": timed out");
    }
    co_return base::ErrnoError("connect to " + address.ToString(), error);
  }
  want_receive_ = true;
  StartReceiving();
  if (queued_ > 0) {
    MarkDirty();  // written while it was being dialled
  }
  co_return absl::OkStatus();
}

void Stream::Abort() {
  Break(ECANCELED);
  if (state_ == State::kDialling && life_ != nullptr) {
    life_->Raise(kLifeBit);
  }
}

void Stream::OnConnected(int error) {
  if (state_ != State::kDialling) {
    return;
  }
  error_ = error;
  if (error == 0) {
    state_ = State::kOpen;
  }
  if (life_ != nullptr) {
    life_->Raise(kLifeBit);
  }
}

// Three steps: ask, wait, close. See the header.
Task<void> Stream::Close(base::Deadline deadline) {
  if (state_ == State::kNew || state_ == State::kClosed) {
    state_ = State::kClosed;
    co_return;
  }
  Event changed(loop_);
  life_ = &changed;
  readable_ = drained_ = nullptr;
  if (tls_ != nullptr) {
    SayGoodbye();
  }
  uint32_t bits = 0;
  while (state_ == State::kOpen && queued_ > 0 && !broken_ && (bits & Event::kTimeout) == 0) {
    bits = co_await changed.Wait(deadline);
  }
  const bool lingers = deadline > loop_->now();
  if (lingers && state_ == State::kOpen && !broken_ && queued_ == 0 && !receive_ended_) {
    // Closing while the peer still sends would reset the connection and could cost it our last
    // words: tell it, and read on until it has ended too. Who does not linger must not read on
    // either: bytes left unread are what makes the kernel reset a peer that still writes.
    loop_->engine().ShutdownSend(socket_);
    want_receive_ = true;
    StartReceiving();
    while (!receive_ended_ && (bits & Event::kTimeout) == 0) {
      input_.clear();
      next_input_ = 0;
      bits = co_await changed.Wait(deadline);
    }
  }
  state_ = State::kReleasing;
  loop_->engine().Release(socket_);
  while (state_ != State::kClosed) {
    co_await changed.Wait();
  }
  life_ = nullptr;
  input_.clear();
  next_input_ = 0;
}

void Stream::OnReleased() {
  state_ = State::kClosed;
  sending_ = receiving_ = false;
  DropQueue();
  loop_->metrics().streams.Add(-1);
  if (life_ != nullptr) {
    life_->Raise(kLifeBit);
  }
}

void Stream::NotifyReadable(Event* event, uint32_t bit) {
  readable_ = event;
  readable_bit_ = bit;
  if (event != nullptr && (has_input() || receive_ended_)) {
    event->Raise(bit);
  }
}

void Stream::NotifyDrained(Event* event, uint32_t bit) {
  drained_ = event;
  drained_bit_ = bit;
}

void Stream::RaiseReadable() {
  if (readable_ != nullptr) {
    readable_->Raise(readable_bit_);
  }
  if (life_ != nullptr) {
    life_->Raise(kLifeBit);
  }
}

void Stream::RaiseDrained() {
  if (drained_ != nullptr) {
    drained_->Raise(drained_bit_);
  }
}

// -- receiving ------------------------------------------------------------------------------------

void Stream::StartReceiving() {
  if (!receiving_ && want_receive_ && !receive_ended_ && state_ == State::kOpen) {
    receiving_ = true;
    loop_->engine().StartReceive(socket_);
  }
}

void Stream::OnReceived(base::Slice bytes) {
  if (tls_ != nullptr) [[unlikely]] {
    TakeCiphertext(std::move(bytes));
    return;
  }
  if (!want_receive_) {
    bytes = Owned(std::move(bytes));  // nobody takes it for a while
  }
  input_.push_back(std::move(bytes));
  RaiseReadable();
}

void Stream::OnReceiveEnded(int error) {
  receiving_ = false;
  if (error == ECANCELED) {
    StartReceiving();  // resumed while it was being stopped
    return;
  }
  if (tls_ != nullptr && error == 0 && EndCiphertext()) {
    return;
  }
  receive_ended_ = true;
  if (error != 0) {
    Break(error);
  }
  RaiseReadable();
}

base::Slice Stream::TakeInput() {
  if (!has_input()) {
    return base::Slice();
  }
  base::Slice taken = std::move(input_[next_input_++]);
  if (next_input_ == input_.size()) {
    input_.clear();
    next_input_ = 0;
  }
  return taken;
}

void Stream::PutBack(base::Slice rest) {
  if (!rest.empty()) {
    input_.insert(input_.begin() + next_input_, std::move(rest));
  }
}

void Stream::PauseReceive() {
  if (!want_receive_) {
    return;
  }
  want_receive_ = false;
  for (size_t i = next_input_; i < input_.size(); ++i) {
    input_[i] = Owned(std::move(input_[i]));
  }
  if (tls_ != nullptr) {
    tls_->OwnFed([this](base::Slice slice) { return Owned(std::move(slice)); });
  }
  if (receiving_ && state_ == State::kOpen) {
    loop_->engine().StopReceive(socket_);
  }
}

void Stream::ResumeReceive() {
  want_receive_ = true;
  if (tls_ != nullptr) {
    Decrypt();
  }
  StartReceiving();
}

// -- sending --------------------------------------------------------------------------------------

void Stream::MarkDirty() {
  if (!dirty_ && !sending_ && state_ == State::kOpen) {
    dirty_ = true;
    loop_->MarkDirty(this);
  }
}

void Stream::Write(base::Slice slice) {
  if (slice.empty() || broken_ || state_ > State::kOpen) {
    return;
  }
  queued_ += slice.size();
  // A send that is still in flight after a round has found a socket that is full.
  if (slow_ || sending_) {
    slice = Owned(std::move(slice));
  }
  if (tls_ != nullptr) [[unlikely]] {
    tls_->Queue(std::move(slice));
    MarkDirty();
    return;
  }
  queue_.push_back(std::move(slice));
  tail_open_ = false;
  MarkDirty();
}

void Stream::WriteCopy(std::string_view bytes) {
  if (broken_ || state_ > State::kOpen) {
    return;
  }
  queued_ += static_cast<uint32_t>(bytes.size());
  if (tls_ != nullptr) [[unlikely]] {
    tls_->QueueCopy(bytes);
  } else {
    AppendCopy(bytes, &queue_, &tail_open_);
  }
  MarkDirty();
}

void Stream::FinishSend() {
  finishing_ = true;
  FinishIfSent();
}

void Stream::FinishIfSent() {
  if (finishing_ && queued_ == 0 && state_ == State::kOpen && !broken_) {
    if (tls_ != nullptr && tls_->established() && !tls_->close_sent()) {
      tls_->SendClose();  // comes here again once it is sent
      return;
    }
    finishing_ = false;
    loop_->engine().ShutdownSend(socket_);
  }
}

void Stream::Flush() {
  const bool nothing = tls_ != nullptr && !Encrypt();
  dirty_ = false;
  if (nothing) [[unlikely]] {
    return;
  }
  if (sending_ || queued_ == 0 || state_ != State::kOpen || broken_) {
    return;
  }
  const size_t waiting = queue_.size() - next_queued_;
  const auto count = static_cast<uint32_t>(std::min<size_t>(waiting, kSendPieces));
  iovec* pieces = &one_;
  if (count > 1) {
    if (pieces_ == nullptr) {
      pieces_ = static_cast<iovec*>(FramePool::Allocate(kPiecesBytes));
    }
    pieces = pieces_;
  }
  bool lent = false;
  in_flight_ = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const base::Slice& slice = queue_[next_queued_ + i];
    pieces[i].iov_base = const_cast<char*>(slice.data());
    pieces[i].iov_len = slice.size();
    in_flight_ += slice.size();
    lent = lent || slice.block()->lent;
  }
  sending_ = true;
  loop_->engine().Send(socket_, pieces, count, lent ? SendMode::kNow : SendMode::kAll);
}

void Stream::OnSent(int64_t result) {
  sending_ = false;
  if (broken_ || (result < 0 && result != -EAGAIN)) {
    Break(static_cast<int>(-result));
    DropQueue();
    return;
  }
  const uint32_t before = queued_;
  const auto sent = static_cast<uint32_t>(result < 0 ? 0 : result);
  Consume(sent);
  if (queued_ == 0) {
    slow_ = false;
    FinishIfSent();
  } else {
    if (sent < in_flight_) {
      slow_ = true;
      CopyOut();
    }
    MarkDirty();
  }
  const uint32_t low = loop_->limits().queue_low;
  if (before > low && queued_ <= low) {
    RaiseDrained();
  }
  if (life_ != nullptr && queued_ == 0) {
    life_->Raise(kLifeBit);
  }
}

void Stream::Consume(uint64_t sent) {
  DCHECK(sent <= queued_);
  queued_ -= static_cast<uint32_t>(sent);
  while (sent > 0) {
    base::Slice& slice = queue_[next_queued_];
    if (sent < slice.size()) {
      slice.RemovePrefix(static_cast<uint32_t>(sent));
      return;
    }
    sent -= slice.size();
    slice.Reset();
    ++next_queued_;
  }
  if (next_queued_ == queue_.size()) {
    EmptyQueue();
  } else if (next_queued_ >= kSendPieces) {
    queue_.erase(queue_.begin(), queue_.begin() + next_queued_);
    next_queued_ = 0;
  }
}

void Stream::DropQueue() {
  EmptyQueue();
  if (tls_ != nullptr) {
    tls_->DropQueued();
  }
  queued_ = 0;
}

// Nothing of it waits any more; an idle stream keeps little memory.
void Stream::EmptyQueue() {
  queue_.clear();
  next_queued_ = 0;
  tail_open_ = false;
  if (pieces_ != nullptr) {
    FramePool::Free(std::exchange(pieces_, nullptr), kPiecesBytes);
  }
  if (queue_.capacity() > kQueueKept) {
    std::vector<base::Slice>().swap(queue_);
  }
}

// The same bytes in memory of our own, if they lie in the pool's.
base::Slice Stream::Owned(base::Slice slice) {
  if (slice.block()->lent) {
    loop_->engine().metrics().copied_out_bytes.Add(slice.size());
    slice = base::Slice::CopyOf(slice.view());
  }
  return slice;
}

// What waits for a slow peer moves into memory of our own.
void Stream::CopyOut() {
  for (size_t i = next_queued_; i < queue_.size(); ++i) {
    queue_[i] = Owned(std::move(queue_[i]));
  }
  queue_.erase(queue_.begin(), queue_.begin() + next_queued_);
  next_queued_ = 0;
}

void Stream::Break(int error) {
  if (broken_) {
    return;
  }
  broken_ = true;
  error_ = error;
  if (!sending_) {
    DropQueue();
  }
  RaiseReadable();
  RaiseDrained();
}

size_t Stream::memory() const {
  return input_.capacity() * sizeof(base::Slice) + queue_.capacity() * sizeof(base::Slice) +
         (pieces_ != nullptr ? kPiecesBytes : 0) + (tls_ != nullptr ? tls_->memory() : 0);
}

}  // namespace io
