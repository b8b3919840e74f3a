#include "pg/scram_server.h"

#include <optional>

#include "base/check.h"
#include "base/fault_point.h"
#include "pg/scram_text.h"

namespace pg {
namespace {

constexpr std::string_view kProtocolViolation = "08P01";
constexpr std::string_view kInvalidAuthorization = "28000";
constexpr std::string_view kNotSupported = "0A000";

}  // namespace

ScramServer::ScramServer(std::string_view nonce, std::string_view binding)
    : own_nonce_(nonce), binding_(binding) {
  CHECK(!nonce.empty() && IsPrintable(nonce));
}

bool ScramServer::Refuse(std::string_view sqlstate, std::string_view message,
                         std::string_view detail) {
  refusal_ = ScramRefusal{.sqlstate = sqlstate, .message = message, .detail = detail};
  return false;
}

bool ScramServer::Malformed(std::string_view detail) {
  return Refuse(kProtocolViolation, "malformed SCRAM message", detail);
}

// -- the client's first message -------------------------------------------------------------------

ScramResult ScramServer::First(std::string_view mechanism, std::string_view client_first,
                               const ScramVerifier& verifier, std::string* answer) {
  const bool in_turn = state_ == State::kNew;
  state_ = State::kDone;  // unless all of it is understood
  if (!in_turn) {
    Malformed("The message comes at the wrong time.");
    return ScramResult::kBad;
  }
  if (client_first.size() > kScramMessageMax) {
    Malformed("The message is too long.");
    return ScramResult::kBad;
  }
  if (client_first.find('\0') != std::string_view::npos) {
    Malformed("The message holds a NUL.");
    return ScramResult::kBad;
  }
  std::string_view bare = client_first;
  if (!ReadGs2Header(mechanism, &bare) || !ReadClientFirst(bare)) {
    return ScramResult::kBad;
  }
  gs2_header_ = client_first.substr(0, client_first.size() - bare.size());
  first_bare_ = bare;
  nonce_ += own_nonce_;
  server_first_ = "r=" + nonce_ + ",s=" + base::Base64Encode(verifier.salt) +
                  ",i=" + std::to_string(verifier.iterations);
  *answer = server_first_;
  state_ = State::kChallenged;
  return ScramResult::kAnswer;
}

// "n,,", "y,," or "p=tls-server-end-point,,".
bool ScramServer::ReadGs2Header(std::string_view mechanism, std::string_view* rest) {
  if (!ReadBindingFlag(mechanism, rest)) {
    return false;
  }
  if (rest->starts_with(",a=")) {
    return Refuse(kNotSupported, "client uses authorization identity, but it is not supported");
  }
  if (!rest->starts_with(",,")) {
    return Malformed("The GS2 header does not end where it should.");
  }
  rest->remove_prefix(2);
  return true;
}

bool ScramServer::ReadBindingFlag(std::string_view mechanism, std::string_view* rest) {
  const bool plus = mechanism == kScramSha256Plus && !binding_.empty();
  if (!plus && mechanism != kScramSha256) {
    return Refuse(kProtocolViolation, "client selected an invalid SASL authentication mechanism");
  }
  const char flag = rest->empty() ? '\0' : rest->front();
  if (plus && (flag == 'n' || flag == 'y')) {
    return Malformed(
        "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel "
        "binding data.");
  }
  if (flag == 'y' && !binding_.empty()) {
    // It believes that we cannot bind, though we offered to: somebody changed the offer.
    return Refuse(kInvalidAuthorization, "SCRAM channel binding negotiation error",
                  "The client supports SCRAM channel binding but thinks the server does not.  "
                  "However, this server does support channel binding.");
  }
  if (flag == 'n' || flag == 'y') {
    rest->remove_prefix(1);
    return true;
  }
  if (flag != 'p') {
    return Malformed("The channel-binding flag is none of n, y and p.");
  }
  if (!plus) {
    return Malformed(
        "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message "
        "includes channel binding data.");
  }
  const std::string wanted = "p=" + std::string(kChannelBindingType);
  if (!rest->starts_with(wanted)) {
    return Refuse(kProtocolViolation, "unsupported SCRAM channel-binding type");
  }
  rest->remove_prefix(wanted.size());
  bound_ = true;
  return true;
}

// The name is not used: PostgreSQL's clients send none, and the StartupMessage has said who it is.
bool ScramServer::ReadClientFirst(std::string_view bare) {
  if (bare.starts_with("m=")) {
    return Refuse(kNotSupported, "client requires an unsupported SCRAM extension");
  }
  if (!TakeAttribute(&bare, 'n').has_value()) {
    return Malformed("The first message has no name.");
  }
  const std::optional<std::string_view> nonce = TakeAttribute(&bare, 'r');
  if (!nonce.has_value() || nonce->empty()) {
    return Malformed("The first message has no nonce.");
  }
  if (!IsPrintable(*nonce)) {
    return Malformed("The nonce holds characters that cannot be printed.");
  }
  if (nonce->size() + own_nonce_.size() > kScramNonceMax) {
    return Malformed("The nonce is too long.");
  }
  if (!bare.empty()) {
    return Malformed("The first message has unknown attributes.");
  }
  nonce_ = *nonce;
  return true;
}

// -- the client's final message -------------------------------------------------------------------

ScramResult ScramServer::Final(std::string_view client_final, const ScramVerifier& keys,
                               std::string* answer) {
  const bool in_turn = state_ == State::kChallenged;
  state_ = State::kDone;
  std::string proof_text;
  if (!in_turn) {
    Malformed("The message comes at the wrong time.");
    return ScramResult::kBad;
  }
  if (!ReadClientFinal(client_final, &proof_text)) {
    return ScramResult::kBad;
  }
  const std::optional<base::Sha256Digest> proof = ToDigest(proof_text);
  CHECK(proof.has_value());
  const std::string_view without_proof = client_final.substr(0, client_final.rfind(",p="));
  const std::string auth_message =
      first_bare_ + "," + server_first_ + "," + std::string(without_proof);
  client_key_ = ExclusiveOr(*proof, ScramSignature(keys.stored_key, auth_message));
  const base::Sha256Digest stored = base::Sha256(DigestBytes(client_key_));
  if (!base::ConstantTimeEqual(DigestBytes(stored), DigestBytes(keys.stored_key))) {
    return ScramResult::kWrong;
  }
  *answer = "v=" + base::Base64Encode(DigestBytes(ScramSignature(keys.server_key, auth_message)));
  return ScramResult::kAnswer;
}

// `*proof`: 32 bytes.
bool ScramServer::ReadClientFinal(std::string_view message, std::string* proof) {
  if (message.size() > kScramMessageMax) {
    return Malformed("The message is too long.");
  }
  const std::optional<std::string_view> channel = TakeAttribute(&message, 'c');
  const std::optional<std::string_view> nonce = TakeAttribute(&message, 'r');
  const std::optional<std::string_view> proof_text = TakeAttribute(&message, 'p');
  if (!channel.has_value() || !nonce.has_value() || !proof_text.has_value() || !message.empty()) {
    return Malformed("The final message is not made of channel binding, nonce and proof.");
  }
  absl::StatusOr<std::string> decoded = base::Base64Decode(*proof_text);
  if (!decoded.ok() || decoded->size() != sizeof(base::Sha256Digest)) {
    return Malformed("The proof is not base64 of 32 bytes.");
  }
  // The same header again, and with PLUS our certificate's hash behind it: who sits between the
  // client and us with a certificate of its own is found here.
  const std::string bound = gs2_header_ + (bound_ ? binding_ : std::string());
  if (!base::ConstantTimeEqual(*channel, base::Base64Encode(bound))) {
    return bound_ ? Refuse(kInvalidAuthorization, "SCRAM channel binding check failed")
                  : Refuse(kProtocolViolation,
                           "unexpected SCRAM channel-binding attribute in client-final-message");
  }
  if (!base::ConstantTimeEqual(*nonce, nonce_) && !HISTORICAL_BUG("c4-nonce-is-not-compared")) {
    return Refuse(kProtocolViolation, "invalid SCRAM response", "The nonce does not match.");
  }
  *proof = *std::move(decoded);
  return true;
}

}  // namespace pg
