#include "pg/scram.h"

#include <optional>
#include <utility>

#include "base/check.h"
#include "base/fault_point.h"
#include "base/status.h"
#include "pg/saslprep.h"
#include "pg/scram_text.h"

namespace pg {
namespace {

// RFC 5802: ',' and '=' of a name are written as =2C and =3D.
std::string EscapeName(std::string_view name) {
  std::string escaped;
  for (const char c : name) {
    if (c == ',') {
      escaped += "=2C";
    } else if (c == '=') {
      escaped += "=3D";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

struct ServerFirst {
  std::string_view nonce;
  std::string salt;
  uint32_t iterations = 0;
};

absl::StatusOr<ServerFirst> ParseServerFirst(std::string_view text, std::string_view our_nonce) {
  if (text.size() > kScramMessageMax) {
    return base::InvalidArgument("SCRAM: the server's first message is too long");
  }
  const std::optional<std::string_view> nonce = TakeAttribute(&text, 'r');
  if (!nonce.has_value()) {
    return base::InvalidArgument("SCRAM: the server's first message has no nonce");
  }
  if (nonce->size() > kScramNonceMax && !HISTORICAL_BUG("c5-nonce-of-any-length")) {
    return base::InvalidArgument("SCRAM: the server's nonce is longer than " +
                                 std::to_string(kScramNonceMax) + " characters");
  }
  if (nonce->size() <= our_nonce.size() || !nonce->starts_with(our_nonce) || !IsPrintable(*nonce)) {
    return base::InvalidArgument("SCRAM: the server's nonce does not extend ours");
  }
  const std::optional<std::string_view> salt_text = TakeAttribute(&text, 's');
  absl::StatusOr<std::string> salt = base::Base64Decode(salt_text.value_or(std::string_view()));
  if (!salt.ok() || salt->empty()) {
    return base::InvalidArgument("SCRAM: the server's salt is missing or not base64");
  }
  const std::optional<std::string_view> count_text = TakeAttribute(&text, 'i');
  const std::optional<uint32_t> count = ParseCount(count_text.value_or(std::string_view()));
  if (!count.has_value()) {
    return base::InvalidArgument("SCRAM: the server's iteration count is missing or no number");
  }
  if (*count > kScramIterationsMax && !HISTORICAL_BUG("c6-any-number-of-iterations")) {
    return base::InvalidArgument("SCRAM: the server asks for " + std::to_string(*count) +
                                 " iterations, more than the limit of " +
                                 std::to_string(kScramIterationsMax));
  }
  if (!text.empty()) {
    return base::InvalidArgument("SCRAM: the server's first message has unknown attributes");
  }
  return ServerFirst{.nonce = *nonce, .salt = *std::move(salt), .iterations = *count};
}

}  // namespace

ScramKeys DeriveScramKeys(std::string_view password, std::string_view salt, uint32_t iterations) {
  const base::Sha256Digest salted = base::Pbkdf2Sha256(SaslPrep(password), salt, iterations);
  ScramKeys keys;
  keys.client_key = base::HmacSha256(DigestBytes(salted), "Client Key");
  keys.stored_key = base::Sha256(DigestBytes(keys.client_key));
  keys.server_key = base::HmacSha256(DigestBytes(salted), "Server Key");
  return keys;
}

base::Sha256Digest ScramSignature(const base::Sha256Digest& key, std::string_view auth_message) {
  return base::HmacSha256(DigestBytes(key), auth_message);
}

ScramKeys ScramKeysOf(const base::Sha256Digest& client_key, const base::Sha256Digest& server_key) {
  return ScramKeys{.client_key = client_key,
                   .stored_key = base::Sha256(DigestBytes(client_key)),
                   .server_key = server_key};
}

ScramClient::ScramClient(std::string_view user, std::string_view nonce, ChannelBinding binding)
    : nonce_(nonce),
      first_bare_("n=" + EscapeName(user) + ",r=" + nonce_),
      binding_(std::move(binding)) {
  CHECK(!nonce.empty() && IsPrintable(nonce));
}

std::string ScramClient::NewNonce() { return base::Base64Encode(base::SecureRandom(18)); }

std::string_view ScramClient::mechanism() const {
  return binding_.flag == BindingFlag::kBound ? kScramSha256Plus : kScramSha256;
}

// No other identity than the user's own.
std::string ScramClient::Gs2Header() const {
  std::string header(1, static_cast<char>(binding_.flag));
  if (binding_.flag == BindingFlag::kBound) {
    header += "=" + std::string(kChannelBindingType);
  }
  return header + ",,";
}

std::string ScramClient::First() {
  CHECK(state_ == State::kNew);
  state_ = State::kFirstSent;
  return Gs2Header() + first_bare_;
}

absl::StatusOr<ScramChallenge> ScramClient::OnServerFirst(std::string_view server_first) {
  if (state_ != State::kFirstSent) {
    return Fail("SCRAM: the server's first message came at the wrong time");
  }
  absl::StatusOr<ServerFirst> first = ParseServerFirst(server_first, nonce_);
  if (!first.ok()) {
    return Fail(base::Message(first.status()));
  }
  server_first_ = server_first;
  final_nonce_ = first->nonce;
  state_ = State::kChallenged;
  return ScramChallenge{.salt = std::move(first->salt), .iterations = first->iterations};
}

std::string ScramClient::Final(const ScramKeys& keys) {
  CHECK(state_ == State::kChallenged);
  const std::string bound = binding_.flag == BindingFlag::kBound ? binding_.data : std::string();
  std::string message = "c=" + base::Base64Encode(Gs2Header() + bound) + ",r=" + final_nonce_;
  const std::string auth_message = first_bare_ + "," + server_first_ + "," + message;
  const base::Sha256Digest proof =
      ExclusiveOr(ScramSignature(keys.stored_key, auth_message), keys.client_key);
  server_signature_ = ScramSignature(keys.server_key, auth_message);
  state_ = State::kFinalSent;
  message += ",p=" + base::Base64Encode(DigestBytes(proof));
  return message;
}

absl::Status ScramClient::Verify(std::string_view server_final) {
  if (state_ != State::kFinalSent) {
    return Fail("SCRAM: the server's final message came at the wrong time");
  }
  if (server_final.size() > kScramMessageMax) {
    return Fail("SCRAM: the server's final message is too long");
  }
  if (server_final.starts_with("e=")) {
    return Fail("SCRAM: the server refused the login");
  }
  const std::optional<std::string_view> text = TakeAttribute(&server_final, 'v');
  const absl::StatusOr<std::string> signature =
      base::Base64Decode(text.value_or(std::string_view()));
  if (!text.has_value() || !signature.ok() || !server_final.empty()) {
    return Fail("SCRAM: the server's final message has no signature");
  }
  if (!base::ConstantTimeEqual(*signature, DigestBytes(server_signature_))) {
    return Fail("SCRAM: the server's signature is wrong: it does not know the password");
  }
  state_ = State::kVerified;
  return absl::OkStatus();
}

absl::Status ScramClient::Fail(std::string_view what) {
  state_ = State::kFailed;
  return base::PermissionDenied(what);
}

std::string Md5Secret(std::string_view user, std::string_view password) {
  return "md5" + base::Md5Hex(std::string(password) + std::string(user));
}

std::string Md5Response(std::string_view secret, std::string_view salt) {
  CHECK(secret.starts_with("md5") && salt.size() == 4);
  return "md5" + base::Md5Hex(std::string(secret.substr(3)) + std::string(salt));
}

}  // namespace pg
