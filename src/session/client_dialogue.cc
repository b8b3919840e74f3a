#include "session/client_dialogue.h"

#include <utility>

#include "base/check.h"
#include "base/fault_point.h"
#include "pg/builders.h"
#include "pg/views.h"

namespace session {

ClientDialogue::ClientDialogue(Facts facts) : facts_(std::move(facts)) {
  CHECK(facts_.exchange != Exchange::kScram || facts_.secret.kind == pg::SecretKind::kScram);
  CHECK(facts_.exchange != Exchange::kMd5 || facts_.secret.kind != pg::SecretKind::kScram);
}

ClientDialogue::Step ClientDialogue::Refuse(std::string_view sqlstate, std::string_view message,
                                            std::string_view detail) {
  state_ = State::kOver;
  refusal_.sqlstate = sqlstate;
  refusal_.message = message;
  refusal_.detail = detail;
  return Step::kRefused;
}

ClientDialogue::Step ClientDialogue::WrongPassword() {
  return Refuse("28P01", "password authentication failed for user \"" + facts_.user + "\"");
}

ClientDialogue::Step ClientDialogue::Begin(std::string* request) {
  CHECK(state_ == State::kNew);
  switch (facts_.exchange) {
    case Exchange::kScram: {
      state_ = State::kFirst;
      scram_.emplace(facts_.random, facts_.binding);
      const std::string_view both[] = {pg::kScramSha256Plus, pg::kScramSha256};
      const std::span<const std::string_view> offered(both);
      CHECK(pg::AppendAuthenticationSasl(request, offered.subspan(facts_.binding.empty() ? 1 : 0)));
      break;
    }
    case Exchange::kMd5:
      state_ = State::kSingle;
      pg::AppendAuthenticationMd5Password(request, facts_.random);
      break;
    case Exchange::kCleartext:
      state_ = State::kSingle;
      pg::AppendAuthenticationCleartextPassword(request);
      break;
  }
  const bool at_once = facts_.doomed && HISTORICAL_BUG("a13-unknown-user-is-told-at-once");
  return at_once ? WrongPassword() : Step::kAsk;
}

ClientDialogue::Step ClientDialogue::OnAnswer(std::string_view body, std::string* request) {
  switch (state_) {
    case State::kFirst:
      return OnScramFirst(body, request);
    case State::kFinal:
      return OnScramFinal(body, request);
    case State::kSingle:
      return facts_.exchange == Exchange::kMd5 ? OnMd5(body) : OnCleartext(body);
    case State::kNew:
    case State::kDerive:
    case State::kOver:
      break;
  }
  CHECK(false);
}

ClientDialogue::Step ClientDialogue::OnScramFirst(std::string_view body, std::string* request) {
  const std::optional<pg::SaslInitialView> first = pg::ReadSaslInitialResponse(body);
  if (!first.has_value()) {
    return Refuse("08P01", "invalid SASL response");
  }
  std::string answer;
  const pg::ScramResult result =
      scram_->First(first->mechanism, first->response, facts_.secret.verifier, &answer);
  if (result != pg::ScramResult::kAnswer) {
    const pg::ScramRefusal& why = scram_->refusal();
    return Refuse(why.sqlstate, why.message, why.detail);
  }
  CHECK(pg::AppendAuthenticationSaslContinue(request, answer));
  state_ = State::kFinal;
  return Step::kAsk;
}

ClientDialogue::Step ClientDialogue::OnScramFinal(std::string_view body, std::string* request) {
  std::string answer;
  const pg::ScramVerifier& verifier = facts_.secret.verifier;
  const pg::ScramResult result = scram_->Final(body, verifier, &answer);
  if (result == pg::ScramResult::kBad) {
    const pg::ScramRefusal& why = scram_->refusal();
    return Refuse(why.sqlstate, why.message, why.detail);
  }
  if (result == pg::ScramResult::kWrong || facts_.doomed) {
    return WrongPassword();
  }
  CHECK(pg::AppendAuthenticationSaslFinal(request, answer));
  pg::Credential::Keys keys;
  keys.of = challenge();
  keys.keys = pg::ScramKeysOf(scram_->client_key(), verifier.server_key);
  credential_.scram = std::move(keys);
  state_ = State::kOver;
  return Step::kIn;
}

ClientDialogue::Step ClientDialogue::OnMd5(std::string_view body) {
  const std::optional<std::string_view> answer = pg::ReadPassword(body);
  if (!answer.has_value()) {
    return Refuse("08P01", "invalid password packet size");
  }
  const bool right = pg::CheckMd5(facts_.secret, facts_.user, facts_.random, *answer);
  if (!right || facts_.doomed) {
    return WrongPassword();
  }
  credential_.md5_secret = facts_.secret.kind == pg::SecretKind::kMd5
                               ? facts_.secret.text
                               : pg::Md5Secret(facts_.user, facts_.secret.text);
  state_ = State::kOver;
  return Step::kIn;
}

ClientDialogue::Step ClientDialogue::OnCleartext(std::string_view body) {
  const std::optional<std::string_view> answer = pg::ReadPassword(body);
  if (!answer.has_value()) {
    return Refuse("08P01", "invalid password packet size");
  }
  if (answer->empty()) {
    return Refuse("28P01", "empty password returned by client");
  }
  password_ = *answer;
  if (facts_.secret.kind == pg::SecretKind::kScram) {
    state_ = State::kDerive;
    return facts_.secret.verifier.iterations <= pg::kScramIterationsMax ? Step::kDerive
                                                                        : WrongPassword();
  }
  const bool right = pg::CheckCleartext(facts_.secret, facts_.user, password_);
  if (!right || facts_.doomed) {
    return WrongPassword();
  }
  credential_.password = password_;
  state_ = State::kOver;
  return Step::kIn;
}

ClientDialogue::Step ClientDialogue::Derived(const pg::ScramKeys& keys) {
  CHECK(state_ == State::kDerive);
  if (!pg::CheckScramKeys(facts_.secret.verifier, keys) || facts_.doomed) {
    return WrongPassword();
  }
  credential_.password = password_;
  state_ = State::kOver;
  return Step::kIn;
}

pg::ScramChallenge ClientDialogue::challenge() const {
  return pg::ScramChallenge{.salt = facts_.secret.verifier.salt,
                            .iterations = facts_.secret.verifier.iterations};
}

}  // namespace session
