// HealthCheck: whether a mirror can be logged in to, while nothing that is mirrored would tell.
//
// Owned by the Shadow of the first shard. Every mirror_health_interval, if no shard has a
// connection to it, it makes one, as its login, and lets it go again: so that a mirror that is away
// is known, and told of, before the first write that it misses. What lanes find out meanwhile goes
// the same way, Shadow::SetReachable.
#pragma once

#include "io/event.h"
#include "io/task.h"
#include "mirror/link.h"

namespace mirror {

class Shadow;

class HealthCheck {
 public:
  explicit HealthCheck(Shadow* shadow);
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  // Until Stop().
  io::Task<void> Run();
  void Stop();

 private:
  io::Task<void> Check();
  void Tell(const absl::Status& status);

  Shadow* const shadow_;
  io::Loop* const loop_;
  io::Event event_;
  Link* dialling_ = nullptr;  // while it is waited for
  bool stopped_ = false;
};

}  // namespace mirror
