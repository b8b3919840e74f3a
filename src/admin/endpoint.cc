#include "admin/endpoint.h"

#include <utility>

#include "base/log.h"

namespace admin {

Endpoint::Endpoint(io::Loop* loop, const Source* source, Orders* orders, const Patience& patience)
    : loop_(loop),
      source_(source),
      orders_(orders),
      patience_(patience),
      event_(loop),
      tasks_(loop) {}

absl::StatusOr<io::Address> Endpoint::Listen(const io::Address& address) {
  absl::StatusOr<io::Address> bound = loop_->engine().Listen(address, this);
  if (bound.ok()) {
    tasks_.Spawn(ServeAll());
  }
  return bound;
}

io::Task<void> Endpoint::Stop() {
  loop_->engine().StopListening(this);
  stopping_ = true;
  event_.Raise(io::Event::kStop);
  for (Connection* connection : connections_) {
    connection->Stop();
  }
  co_await tasks_.Join();
}

// From within the engine's round: only notes.
void Endpoint::OnAccepted(int descriptor) {
  if (metrics_.connections.value() >= kConnectionsMax) {
    metrics_.refused.Add();
    loop_->engine().Discard(descriptor);
    return;
  }
  metrics_.connections.Add(1);
  accepted_.push_back(descriptor);
  event_.Raise(kAccepted);
}

void Endpoint::OnAcceptFailed(int error) {
  base::Log(base::LogLevel::kWarn, "admin.accept_failed", {{"errno", error}});
}

io::Task<void> Endpoint::ServeAll() {
  while (!stopping_) {
    co_await event_.Wait();
    const std::vector<int> fresh = std::exchange(accepted_, {});
    for (const int descriptor : fresh) {
      tasks_.Spawn(ServeOne(descriptor));
    }
  }
}

io::Task<void> Endpoint::ServeOne(int descriptor) {
  {
    Connection connection(loop_, source_, orders_, &metrics_, &patience_);
    connections_.insert(&connection);
    if (stopping_) {
      connection.Stop();
    }
    co_await connection.Run(descriptor);
    connections_.erase(&connection);
  }
  metrics_.connections.Add(-1);
}

}  // namespace admin
