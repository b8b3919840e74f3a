#include "mirror/health_check.h"

#include <memory>

#include "mirror/mirrors.h"
#include "mirror/shadow.h"

namespace mirror {
namespace {

// Switched off, it may be switched on by a reload.
absl::Duration LookAgain() { return absl::Seconds(5); }

}  // namespace

HealthCheck::HealthCheck(Shadow* shadow)
    : shadow_(shadow), loop_(shadow->mirrors()->tools().loop), event_(loop_) {}

io::Task<void> HealthCheck::Run() {
  while (!stopped_) {
    const absl::Duration interval = loop_->limits().mirror_health_interval;
    if (interval > absl::ZeroDuration() && shadow_->gate()->EnterAlone()) {
      co_await Check();
      shadow_->gate()->Leave();
    }
    if (!stopped_) {
      co_await event_.Wait(loop_->In(interval > absl::ZeroDuration() ? interval : LookAgain()));
    }
  }
}

void HealthCheck::Stop() {
  stopped_ = true;
  if (dialling_ != nullptr) {
    dialling_->Abort();
  }
  event_.Raise(io::Event::kStop);
}

io::Task<void> HealthCheck::Check() {
  const config::Server* const server = shadow_->server();
  backend::LoginFacts login = shadow_->Login();
  login.database = server->dbname.empty() ? server->user : server->dbname;
  const base::Deadline deadline = shadow_->DialDeadline();
  std::unique_ptr<Link> link = shadow_->NewLink(std::string());
  const backend::Epoch epoch = shadow_->mirrors()->tools().epoch;
  const backend::Dialler* const dialler = epoch->dialler.get();
  dialling_ = link.get();
  const absl::Status status = co_await link->Open(server, dialler, &login, deadline);
  dialling_ = nullptr;
  co_await link->Close();
  if (!stopped_) {
    Tell(status);
  }
}

// A database that is not there is an answer: it may be that of no session.
void HealthCheck::Tell(const absl::Status& status) {
  const bool reachable = status.ok() || status.code() == absl::StatusCode::kNotFound;
  if (!reachable) {
    shadow_->LogConnectFailed(status);
  }
  shadow_->SetReachable(reachable);
}

}  // namespace mirror
