#include "admin/connection.h"

#include <string>
#include <utility>

namespace admin {

Connection::Connection(io::Loop* loop, const Source* source, Orders* orders,
                       AdminMetrics* metrics, const Patience* patience)
    : loop_(loop),
      source_(source),
      orders_(orders),
      metrics_(metrics),
      patience_(patience),
      event_(loop),
      stream_(loop),
      parser_(http::ParserLimits{}) {}

io::Task<void> Connection::Run(int descriptor) {
  stream_.Adopt(descriptor, io::Traffic::kClient);
  stream_.NotifyReadable(&event_, kReadable);
  stream_.NotifyDrained(&event_, kDrained);
  while (!ended_) {
    const bool asked = co_await ReadRequest();
    if (!asked) {
      break;
    }
    metrics_->requests.Add();
    stream_.WriteCopy(http::Serialise(Obey()));
    ended_ = ended_ || !parser_.request().keep_alive;
    const bool room = co_await AwaitRoom();
    ended_ = ended_ || !room;
  }
  stream_.NotifyReadable(nullptr, 0);
  stream_.NotifyDrained(nullptr, 0);
  input_.Reset();
  // Whoever was told all that it asked for does not hold up the end of the process.
  const bool at_once = stopped_ && stream_.queued() == 0;
  co_await stream_.Close(at_once ? loop_->now() : loop_->In(loop_->limits().close_timeout));
}

void Connection::Stop() {
  stopped_ = true;
  ended_ = true;
  event_.Raise(io::Event::kStop);
}

io::Task<bool> Connection::ReadRequest() {
  base::Deadline deadline = loop_->In(patience_->idle);
  bool begun = false;
  while (!ended_) {
    if (TakeInput()) {
      co_return true;
    }
    if (ended_ || stream_.ended() || stream_.broken()) {
      co_return false;
    }
    if (!begun && parser_.in_request()) {
      begun = true;
      deadline = loop_->In(patience_->request);
    }
    const uint32_t bits = co_await event_.Wait(deadline);
    if ((bits & io::Event::kTimeout) != 0 && loop_->now() >= deadline) {
      metrics_->timeouts.Add();
      co_return false;
    }
  }
  co_return false;
}

// Parses what has come; true when a request is complete. A rejection ends the connection.
bool Connection::TakeInput() {
  while (!input_.empty() || stream_.has_input()) {
    if (input_.empty()) {
      input_ = stream_.TakeInput();
    }
    std::string_view bytes = input_.view();
    const http::RequestParser::Progress progress = parser_.Feed(&bytes);
    input_.RemovePrefix(input_.size() - static_cast<uint32_t>(bytes.size()));
    if (progress == http::RequestParser::Progress::kRequest) {
      return true;
    }
    if (progress == http::RequestParser::Progress::kRejected) {
      Reject();
      return false;
    }
  }
  return false;
}

http::Response Connection::Obey() {
  Answered answered = Answer(parser_.request(), *source_, *metrics_);
  if (answered.order.has_value()) {
    orders_->CarryOut(*answered.order);
  }
  return std::move(answered.response);
}

void Connection::Reject() {
  metrics_->rejected.Add();
  http::Response response;
  response.status = parser_.rejection().status;
  response.body = std::string(parser_.rejection().what) + "\n";
  stream_.WriteCopy(http::Serialise(response));
  ended_ = true;
}

// Lets the loop turn, and waits while too much waits for the client. False: it does not read.
io::Task<bool> Connection::AwaitRoom() {
  const base::Deadline deadline = loop_->In(patience_->answer);
  co_await event_.Wait(loop_->now());
  while (!ended_ && !stream_.broken() && stream_.queued() > loop_->limits().queue_low) {
    stream_.PauseReceive();
    const uint32_t bits = co_await event_.Wait(deadline);
    if ((bits & io::Event::kTimeout) != 0 && loop_->now() >= deadline) {
      metrics_->timeouts.Add();
      co_return false;
    }
  }
  stream_.ResumeReceive();
  co_return true;
}

}  // namespace admin
