#include "mirror/shadow.h"

#include <algorithm>
#include <utility>

#include "mirror/lane.h"
#include "mirror/mirrors.h"

namespace mirror {

Shadow::Shadow(Mirrors* mirrors, const config::Server& server, Shared::PerMirror* shared)
    : mirrors_(mirrors), server_(server), shared_(shared), credit_(&shared->budget) {}

bool Shadow::Wants(const std::string& database, bool primary_names_one, std::string* there) const {
  *there = server_.dbname.empty() ? database : server_.dbname;
  return primary_names_one || *there == database;
}

std::unique_ptr<Link> Shadow::NewLink(std::string key) {
  const MirrorsTools& tools = mirrors_->tools();
  return std::make_unique<Link>(tools.loop, mirrors_->connection_metrics(),
                                tools.epoch->config.log_protocol, std::move(key));
}

std::unique_ptr<Link> Shadow::TakeIdle(const std::string& key) {
  for (size_t i = idle_.size(); i > 0; --i) {
    std::unique_ptr<Link>& place = idle_[i - 1];
    if (place->alive() && place->key() != key) {
      continue;
    }
    std::unique_ptr<Link> link = std::move(place);
    idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(i - 1));
    if (link->alive()) {
      return link;
    }
    Discard(std::move(link));
  }
  return nullptr;
}

void Shadow::GiveBack(std::unique_ptr<Link> link) {
  if (!link->alive()) {
    Discard(std::move(link));
    return;
  }
  link->connection().EndLease();
  for (Lane* lane : waiting_) {
    if (lane->key() == link->key() && gate()->Forget(Waiter{mirrors_, lane->id()})) {
      lane->Hand(std::move(link));
      return;
    }
  }
  if (gate()->contended()) {
    Discard(std::move(link));
    return;
  }
  idle_.push_back(std::move(link));
}

void Shadow::Discard(std::unique_ptr<Link> link) {
  metrics_.connections.Add(-1);
  mirrors_->tasks().Spawn(Close(std::move(link)));
}

io::Task<void> Shadow::Close(std::unique_ptr<Link> link) {
  co_await link->Close();
  link.reset();
  gate()->Leave();
}

void Shadow::MakeRoom() {
  std::unique_ptr<Link> link;
  if (!idle_.empty()) {
    link = std::move(idle_.front());
    idle_.erase(idle_.begin());
  } else {
    link = mirrors_->YieldOne(this);
  }
  if (link != nullptr) {
    Discard(std::move(link));
  }
}

void Shadow::DiscardIdle() {
  while (!idle_.empty()) {
    std::unique_ptr<Link> link = std::move(idle_.back());
    idle_.pop_back();
    Discard(std::move(link));
  }
}

void Shadow::SetReachable(bool reachable) {
  reachable_ = reachable;
  if (!reachable) {
    mirrors_->OnUnreachable(this);
  }
}

bool Shadow::MayLogFailure(base::Instant now) {
  if (now < next_log_) {
    return false;
  }
  next_log_ = now + absl::Seconds(10);
  return true;
}

}  // namespace mirror
