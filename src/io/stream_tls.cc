// Stream's TLS: the handshake, and what happens to bytes between the socket and the stream's user.
#include <cerrno>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "io/slice_tail.h"
#include "io/stream.h"

namespace io {

TlsMetrics::Side& Stream::tls_side(TlsRole role) {
  TlsMetrics& metrics = loop_->metrics().tls;
  return role == TlsRole::kServer ? metrics.accepted : metrics.dialled;
}

Task<absl::Status> Stream::StartTls(const TlsContext* context, const TlsOptions* options,
                                    base::Deadline deadline) {
  CHECK(tls_ == nullptr);
  if (state_ != State::kOpen || broken_) {
    co_return base::Unavailable("TLS handshake: the connection is broken");
  }
  const base::Instant began = loop_->now();
  TlsMetrics::Side& side = tls_side(context->role());
  RecordSink* const sink = this;
  tls_ = std::make_unique<TlsSession>(context, *options, sink);
  while (has_input()) {
    tls_->Feed(Owned(TakeInput()));
  }
  cipher_ended_ = receive_ended_;
  receive_ended_ = false;
  ResumeReceive();
  const bool done = co_await ShakeHands(deadline);
  if (!done) {
    side.failures[static_cast<size_t>(tls_->failure())].Add();
    const std::string why = "TLS handshake: " + tls_->why();
    if (tls_->failure() == TlsFailure::kTimeout) {
      co_return base::DeadlineExceeded(why);
    }
    co_return base::Unavailable(why);
  }
  side.handshakes.Add();
  side.resumptions.Add(tls_->facts().resumed ? 1 : 0);
  side.handshake_time.Record(loop_->now() - began);
  Decrypt();
  if (queued_ > 0) {
    MarkDirty();  // written meanwhile
  }
  co_return absl::OkStatus();
}

// False: tls_ knows why.
Task<bool> Stream::ShakeHands(base::Deadline deadline) {
  Event changed(loop_);
  life_ = &changed;
  TlsSession::Step step = TlsSession::Step::kWantInput;
  bool first = true;  // a client speaks first
  while (step == TlsSession::Step::kWantInput) {
    if (first || tls_->fed() > 0) {
      co_await loop_->handshakes().Pass();
    }
    if (loop_->now() >= deadline) {
      tls_->Fail(TlsFailure::kTimeout, "timed out");
    }
    // What came before the end is heard first: it may be the alert that says why.
    if (first || tls_->fed() > 0 || tls_->failure() != TlsFailure::kNone) {
      first = false;
      step = tls_->Handshake();
    } else if (broken_) {
      tls_->Fail(TlsFailure::kClosed, "the connection broke");
    } else if (cipher_ended_) {
      tls_->Fail(TlsFailure::kClosed, "the peer closed the connection");
    } else {
      co_await changed.Wait(deadline);
    }
  }
  life_ = nullptr;
  if (step == TlsSession::Step::kFailed) {
    FailTls(EPROTO);
  }
  co_return step == TlsSession::Step::kDone;
}

// -- receiving ------------------------------------------------------------------------------------

void Stream::TakeCiphertext(base::Slice bytes) {
  if (leaving_ || receive_ended_) {
    return;
  }
  if (tls_->established() && want_receive_) {
    tls_->Feed(std::move(bytes));
    Decrypt();
    return;
  }
  // It waits: for its turn to shake hands, or until somebody takes the plaintext.
  tls_->Feed(Owned(std::move(bytes)));
  if (!tls_->established() && tls_->fed() > loop_->limits().tls_handshake_bytes_max) {
    tls_->Fail(TlsFailure::kProtocol, "too much was sent before the handshake was over");
    FailTls(EPROTO);
  }
  RaiseReadable();
}

// The socket has ended in good order. False if the stream has too, as far as anybody reads it.
bool Stream::EndCiphertext() {
  if (leaving_ || receive_ended_) {
    return false;
  }
  cipher_ended_ = true;
  if (tls_->established()) {
    Decrypt();
  }
  RaiseReadable();
  return true;
}

void Stream::Decrypt() {
  if (!tls_->established()) {
    return;
  }
  bool news = false;
  TlsSession::Input input = TlsSession::Input::kBytes;
  while (want_receive_ && !receive_ended_ && input == TlsSession::Input::kBytes) {
    base::Slice plaintext;
    input = tls_->Read(&plaintext);
    switch (input) {
      case TlsSession::Input::kBytes:
        input_.push_back(std::move(plaintext));
        news = true;
        break;
      case TlsSession::Input::kWantInput:
        if (cipher_ended_) {
          // The end of a TCP stream proves nothing: anybody on the way can make it.
          tls_->Fail(TlsFailure::kClosed, "the connection ended without close_notify");
          FailTls(ECONNRESET);
        }
        break;
      case TlsSession::Input::kClosed:
        receive_ended_ = true;
        tls_->DropFed();
        news = true;
        break;
      case TlsSession::Input::kFailed:
        FailTls(EPROTO);
        break;
    }
  }
  if (news) {
    RaiseReadable();
  }
}

// tls_ has failed. Records that are queued, an alert among them, still go out.
void Stream::FailTls(int error) {
  if (tls_->known()) {
    loop_->metrics().tls.broken.Add();
  }
  if (error_ == 0) {
    error_ = error;
  }
  receive_ended_ = true;
  queued_ -= tls_->DropQueued();
  RaiseReadable();
  RaiseDrained();
}

// -- sending --------------------------------------------------------------------------------------

void Stream::PutRecord(std::string_view bytes) {
  if (broken_ || state_ != State::kOpen) {
    return;
  }
  queued_ += static_cast<uint32_t>(bytes.size());
  AppendCopy(bytes, &queue_, &tail_open_);
  MarkDirty();
}

// Called by Flush, with dirty_ still set. False if there is no record to send.
bool Stream::Encrypt() {
  if (state_ == State::kOpen && !broken_ && !sending_) {
    const bool was_sound = tls_->failure() == TlsFailure::kNone;
    const uint32_t encrypted = tls_->Encrypt();
    queued_ -= encrypted;
    if (was_sound && tls_->failure() != TlsFailure::kNone) {
      FailTls(EPROTO);
    }
  }
  return next_queued_ < queue_.size();
}

// close_notify behind all that was written. From now on what comes is dropped.
void Stream::SayGoodbye() {
  leaving_ = true;
  tls_->DropFed();
  if (cipher_ended_) {
    receive_ended_ = true;
  }
  if (state_ == State::kOpen && !broken_) {
    const uint32_t encrypted = tls_->Encrypt();
    queued_ -= encrypted;
    tls_->SendClose();
    MarkDirty();
  }
}

void Stream::Renew() {
  CHECK(state_ == State::kClosed && !sending_ && !receiving_);
  tls_.reset();
  state_ = State::kNew;
  error_ = 0;
  want_receive_ = receive_ended_ = slow_ = finishing_ = broken_ = false;
  cipher_ended_ = leaving_ = false;
}

}  // namespace io
