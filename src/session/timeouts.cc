// How long a client that is logged in may wait and keep others waiting. Where nothing is bounded
// there are no Turns, nobody is told of turns, and no timer is armed.
#include <array>

#include "base/log.h"
#include "session/session.h"

namespace session {
namespace {

struct Words {
  std::string_view sqlstate;
  std::string_view message;
};

constexpr std::array<Words, kTimeouts> kWords = {{
    {"53300", "timed out waiting for a server connection"},
    {"57014", "canceling statement due to timeout"},
    {"25P04", "terminating connection due to transaction timeout"},
    {"25P03", "terminating connection due to idle-in-transaction timeout"},
    {"57P05", "terminating connection due to idle-session timeout"},
    {"08006", "terminating connection because the client does not read"},
}};

}  // namespace

bool Session::WatchesTurns(const config::PoolSettings& pool) {
  const absl::Duration none = absl::ZeroDuration();
  return pool.query_timeout > none || pool.transaction_timeout > none ||
         pool.idle_transaction_timeout > none || pool.client_idle_timeout > none ||
         pool.mode == config::PoolMode::kStatement;
}

absl::Duration Session::StallTimeout() const {
  const config::PoolSettings& pool = service_->pool;
  const bool shared = !service_->passes_login_through && pool.mode != config::PoolMode::kSession;
  return shared || pool.client_stall_timeout_given ? pool.client_stall_timeout
                                                   : absl::ZeroDuration();
}

// At the start of the relay, and where the service has become another one.
void Session::StartTurns() {
  if (!WatchesTurns(service_->pool)) {
    turns_.reset();
    if (borrower_ != nullptr) {
      borrower_->TellTurns(0);
    }
    return;
  }
  if (turns_ == nullptr) {
    turns_ = std::make_unique<Turns>();
    turns_->asked = turns_->began = loop_->now();
  }
  if (borrower_ != nullptr) {
    borrower_->TellTurns(kTurnOver);
  } else {
    server().TellTurns(kTurnOver, kWentIdle);
  }
}

void Session::NoteAsked(char type) {
  const bool asks = type == 'Q' || type == 'S' || type == 'F' || type == 'E';
  if (asks && !turns_->asking) {
    turns_->asking = true;
    turns_->asked = loop_->now();
    if (turns_->status == 'I') {
      turns_->began = turns_->asked;
    }
  }
}

// One turn or more have ended. Where more was asked ahead, the next one begins now.
void Session::NoteTurnOver(uint32_t bits) {
  if ((bits & kTurnOver) == 0 || turns_ == nullptr) [[likely]] {
    return;
  }
  turns_->status = borrower_ != nullptr ? borrower_->status() : server().machine().status();
  turns_->asking = has_server() && server().machine().owes();
  turns_->asked = loop_->now();
  if ((bits & kWentIdle) != 0) {
    turns_->began = turns_->asked;
  }
  const bool one_statement = pooled_ != nullptr &&
                             service_->pool.mode == config::PoolMode::kStatement;
  if (one_statement && turns_->status != 'I') {
    Refuse("08P01", "transaction blocks are not allowed in statement pooling");
  }
}

Session::Patience Session::NextPatience() {
  const config::PoolSettings& pool = service_->pool;
  Patience next;
  const auto consider = [&](base::Instant since, absl::Duration most, Timeout cause) {
    if (most > absl::ZeroDuration() && since + most < next.until) {
      next = Patience{since + most, cause};
    }
  };
  if (borrower_ != nullptr && (borrower_->waiting() || borrower_->changing())) {
    consider(borrower_->since(), pool.query_wait_timeout, Timeout::kQueryWait);
    return next;
  }
  if (has_server() && server().stalled_since() != base::Instant::Never()) {
    consider(server().stalled_since(), StallTimeout(), Timeout::kClientStall);
  }
  if (turns_ == nullptr) [[likely]] {
    return next;
  }
  const bool in_transaction = turns_->status != 'I';
  if (turns_->asking) {
    consider(turns_->asked, pool.query_timeout, Timeout::kQuery);
  } else if (in_transaction) {
    consider(turns_->asked, pool.idle_transaction_timeout, Timeout::kIdleTransaction);
  } else {
    consider(turns_->asked, pool.client_idle_timeout, Timeout::kClientIdle);
  }
  if (turns_->asking || in_transaction) {
    consider(turns_->began, pool.transaction_timeout, Timeout::kTransaction);
  }
  return next;
}

// After what has come was taken note of: a request in the last moment counts.
void Session::OnTimes(uint32_t bits) {
  if ((bits & io::Event::kTimeout) == 0 || ended_) [[likely]] {
    return;
  }
  const Patience over = NextPatience();
  if (over.until <= loop_->now()) {
    GiveUp(over.cause);
  }
}

// The server hears of it too: closing its connection alone would not end what it runs.
void Session::GiveUp(Timeout cause) {
  around_->metrics->timeouts[static_cast<size_t>(cause)].Add();
  base::Log(base::LogLevel::kInfo, "session.timeout",
            {{"session", id_}, {"cause", Name(cause)}, {"service", service_->name}});
  if (borrower_ != nullptr) {
    borrower_->Cancel({});
  } else {
    cancels_ = server().machine().owes();
  }
  const Words& words = kWords[static_cast<size_t>(cause)];
  Refuse(words.sqlstate, words.message);
}

}  // namespace session
