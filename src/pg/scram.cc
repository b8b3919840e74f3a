#include "pg/scram.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace pg {
namespace {

constexpr std::string_view kGs2Header = "n,,";           // no channel binding, no other identity
constexpr std::string_view kGs2HeaderBase64 = "biws";  // of the above, for c=

std::string_view AsBytes(const base::Sha256Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

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

// Takes "<name>=<value>" up to the next comma, or to the end, off `*rest`. Nothing if it is another
// attribute, or if nothing stands behind the comma.
std::optional<std::string_view> TakeAttribute(std::string_view* rest, char name) {
  if (rest->size() < 2 || (*rest)[0] != name || (*rest)[1] != '=') {
    return std::nullopt;
  }
  const size_t comma = std::min(rest->find(','), rest->size());
  if (comma + 1 == rest->size()) {
    return std::nullopt;
  }
  const std::string_view value = rest->substr(2, comma - 2);
  rest->remove_prefix(std::min(comma + 1, rest->size()));
  return value;
}

bool Printable(std::string_view nonce) {
  return std::all_of(nonce.begin(), nonce.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// A positive decimal number without leading zeros, at most 4294967295.
std::optional<uint32_t> ParseCount(std::string_view digits) {
  if (digits.empty() || digits.size() > 10 || digits[0] == '0') {
    return std::nullopt;
  }
  uint64_t count = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') {
      return std::nullopt;
    }
    count = count * 10 + static_cast<uint64_t>(c - '0');
  }
  if (count > UINT32_MAX) {
    return std::nullopt;
  }
  return static_cast<uint32_t>(count);
}

struct ServerFirst {
  std::string_view nonce;
  std::string salt;
  uint32_t iterations = 0;
};

absl::StatusOr<ServerFirst> ParseServerFirst(std::string_view text, std::string_view our_nonce) {
  if (text.size() > kScramServerMessageMax) {
    return base::InvalidArgument("SCRAM: the server's first message is too long");
  }
  const std::optional<std::string_view> nonce = TakeAttribute(&text, 'r');
  if (!nonce.has_value()) {
    return base::InvalidArgument("SCRAM: the server's first message has no nonce");
  }
  if (nonce->size() > kScramNonceMax) {
    return base::InvalidArgument("SCRAM: the server's nonce is longer than " +
                                 std::to_string(kScramNonceMax) + " characters");
  }
  if (nonce->size() <= our_nonce.size() || !nonce->starts_with(our_nonce) || !Printable(*nonce)) {
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
  if (*count > kScramIterationsMax) {
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
  const base::Sha256Digest salted = base::Pbkdf2Sha256(password, salt, iterations);
  ScramKeys keys;
  keys.client_key = base::HmacSha256(AsBytes(salted), "Client Key");
  keys.stored_key = base::Sha256(AsBytes(keys.client_key));
  keys.server_key = base::HmacSha256(AsBytes(salted), "Server Key");
  return keys;
}

base::Sha256Digest ScramSignature(const base::Sha256Digest& key, std::string_view auth_message) {
  return base::HmacSha256(AsBytes(key), auth_message);
}

ScramClient::ScramClient(std::string_view user, std::string_view password, std::string_view nonce)
    : password_(password), nonce_(nonce), first_bare_("n=" + EscapeName(user) + ",r=" + nonce_) {
  CHECK(!nonce.empty() && Printable(nonce) && nonce.find(',') == std::string_view::npos);
}

std::string ScramClient::NewNonce() { return base::Base64Encode(base::SecureRandom(18)); }

std::string ScramClient::First() {
  CHECK(state_ == State::kNew);
  state_ = State::kFirstSent;
  return std::string(kGs2Header) + first_bare_;
}

absl::StatusOr<std::string> ScramClient::Final(std::string_view server_first) {
  if (state_ != State::kFirstSent) {
    return Fail("SCRAM: the server's first message came at the wrong time");
  }
  absl::StatusOr<ServerFirst> first = ParseServerFirst(server_first, nonce_);
  if (!first.ok()) {
    return Fail(base::Message(first.status()));
  }
  std::string message = "c=" + std::string(kGs2HeaderBase64) + ",r=" + std::string(first->nonce);
  const std::string auth_message = first_bare_ + "," + std::string(server_first) + "," + message;
  const ScramKeys keys = DeriveScramKeys(password_, first->salt, first->iterations);
  base::Sha256Digest proof = ScramSignature(keys.stored_key, auth_message);
  for (size_t i = 0; i < proof.size(); ++i) {
    proof[i] = static_cast<unsigned char>(proof[i] ^ keys.client_key[i]);
  }
  server_signature_ = ScramSignature(keys.server_key, auth_message);
  state_ = State::kFinalSent;
  message += ",p=" + base::Base64Encode(AsBytes(proof));
  return message;
}

absl::Status ScramClient::Verify(std::string_view server_final) {
  if (state_ != State::kFinalSent) {
    return Fail("SCRAM: the server's final message came at the wrong time");
  }
  if (server_final.size() > kScramServerMessageMax) {
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
  if (!base::ConstantTimeEqual(*signature, AsBytes(server_signature_))) {
    return Fail("SCRAM: the server's signature is wrong: it does not know the password");
  }
  state_ = State::kVerified;
  return absl::OkStatus();
}

absl::Status ScramClient::Fail(std::string_view what) {
  state_ = State::kFailed;
  return base::PermissionDenied(what);
}

std::string Md5Response(std::string_view user, std::string_view password, std::string_view salt) {
  CHECK(salt.size() == 4);
  const std::string inner = base::Md5Hex(std::string(password) + std::string(user));
  return "md5" + base::Md5Hex(inner + std::string(salt));
}

}  // namespace pg
