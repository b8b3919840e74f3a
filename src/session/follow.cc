// Another configuration, for a client that is in: a pooled session goes over to it when it holds no
// connection: its service is found anew by the name of the database that it asked for, and it asks
// the pool of that from then on. Nothing else of it changes: its settings and statements go along.
#include <utility>

#include "backend/pools.h"
#include "session/session.h"

namespace session {

// The service of this client by what is in force. Null where it cannot go on; it has been told.
const config::Service* Session::ServiceNow() {
  const config::Service* const service =
      config::FindService(around_->epoch->config, database_);
  if (service == nullptr) {
    Refuse("57P01", "terminating connection due to administrator command: database \"" +
                        database_ + "\" was removed from the configuration");
    return nullptr;
  }
  if (!MayGoOn(*service)) {
    Refuse("57P01", "terminating connection due to administrator command: the configuration of "
                    "database \"" + database_ + "\" has changed; connect again");
    return nullptr;
  }
  return service;
}

// False where the client would have to log in anew, or its login has begun in another way, or its
// mirror would get only a part of what the session does.
bool Session::MayGoOn(const config::Service& service) const {
  if (service.passes_login_through ||
      (service.primary.user.empty() && !service_->primary.user.empty())) {
    return false;
  }
  const bool keeps = service.pool.mode == config::PoolMode::kSession;
  if (borrower_ != nullptr && pooled_ == nullptr &&
      keeps != (service_->pool.mode == config::PoolMode::kSession)) {
    return false;
  }
  const bool same_work =
      service.mirrored == service_->mirrored &&
      (!service.mirrored || service.primary.dbname == service_->primary.dbname);
  return same_work || !around_->mirrors->any();
}

// While it holds no connection. False if the client is sent away.
bool Session::Follow() {
  const config::Service* const service = ServiceNow();
  if (service == nullptr) {
    return false;
  }
  if (service->name != service_->name) {
    CountOut();  // whoever is in is not sent away by the limits of another service
    static_cast<void>(CountIn(*service, user_, false));
  }
  // Where the server's URL names no user, neither did the old one: then it is the client's login.
  backend::Pool* const pool =
      around_->pools->Join(service, LoginTo(*service, borrower_->pool()->login()));
  borrower_->MoveTo(pool);
  borrower_->KeepForSession(service->pool.mode == config::PoolMode::kSession);
  service_ = service;
  StartTurns();
  epoch_ = around_->epoch;
  return true;
}

void Session::FollowBetweenTransactions() {
  if (ended_ || !outdated()) {
    return;
  }
  if (!borrower_->has_connection()) {
    static_cast<void>(Follow());
  } else {
    borrower_->TellTurns(kTurnOver);
  }
}

}  // namespace session
