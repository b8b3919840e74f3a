#include "session/admission.h"

#include "base/check.h"

namespace session {
namespace {

using config::AuthMethod;

// "10.0.0.1" of "10.0.0.1:5432", "[local]" for a Unix socket: as PostgreSQL writes it.
std::string HostOf(const io::Stream& stream) {
  const std::string name = stream.PeerName();
  if (name.empty() || name.starts_with("unix:")) {
    return "[local]";
  }
  std::string host = name.substr(0, name.rfind(':'));
  if (host.starts_with('[')) {
    host = host.substr(1, host.size() - 2);
  }
  return host;
}

std::string WhoFrom(const Claim& claim, const io::Stream& stream) {
  const std::string database = claim.replication
                                   ? "replication connection"
                                   : "database \"" + std::string(claim.database) + "\"";
  return "host \"" + HostOf(stream) + "\", user \"" + std::string(claim.user) + "\", " + database +
         (claim.tls != nullptr ? ", SSL encryption" : ", no encryption");
}

// The certificate's common name is the user's, or the map says that it may be.
bool NameFits(const config::Authentication& rules, const Claim& claim, std::string_view map) {
  const std::string& name = claim.tls->peer_common_name;
  if (name.empty()) {
    return false;
  }
  return map.empty() ? name == claim.user : rules.ident.Allows(map, name, claim.user);
}

}  // namespace

std::optional<config::NetAddress> PeerOf(const io::Stream& stream) {
  const io::Address address = stream.PeerAddress();
  return config::NetAddress::From(address.get());
}

Ruling RuleFor(const config::Authentication& rules, const Claim& claim,
               const std::optional<config::NetAddress>& peer) {
  Ruling ruling;
  if (!rules.hba.has_value()) {
    ruling.ruled = true;
    ruling.method = rules.default_method();
    return ruling;
  }
  if (!peer.has_value()) {
    return ruling;
  }
  config::HbaQuery query;
  query.peer = *peer;
  query.tls = claim.tls != nullptr;
  query.replication = claim.replication;
  query.database = claim.database;
  query.user = claim.user;
  const config::HbaRule* rule = rules.hba->Find(query);
  if (rule != nullptr) {
    ruling.ruled = true;
    ruling.method = rule->method;
    ruling.client_cert = rule->client_cert;
    ruling.map = rule->map;
  }
  return ruling;
}

std::optional<Refusal> CheckRuling(const config::Authentication& rules, const Claim& claim,
                                   const Ruling& ruling, const io::Stream& stream) {
  if (!ruling.ruled) {
    return Refusal{"28000", "no pg_hba.conf entry for " + WhoFrom(claim, stream), ""};
  }
  if (ruling.method == AuthMethod::kReject) {
    return Refusal{"28000", "pg_hba.conf rejects connection for " + WhoFrom(claim, stream), ""};
  }
  const bool cert = ruling.method == AuthMethod::kCert;
  const bool verified = claim.tls != nullptr && claim.tls->peer_verified;
  if ((cert || ruling.client_cert != config::ClientCert::kAny) && !verified) {
    return Refusal{"28000", "connection requires a valid client certificate", ""};
  }
  const bool compares = cert || ruling.client_cert == config::ClientCert::kVerifyFull;
  if (compares && !NameFits(rules, claim, ruling.map)) {
    return Refusal{
        "28000",
        "certificate authentication failed for user \"" + std::string(claim.user) + "\"", ""};
  }
  const std::optional<config::NetAddress> peer = PeerOf(stream);
  const bool near = peer.has_value() && peer->IsLoopback();
  if (ruling.method == AuthMethod::kPassword && claim.tls == nullptr && !near) {
    return Refusal{"28000", "a password in clear text needs a TLS connection", ""};
  }
  return std::nullopt;
}

Exchange ExchangeFor(AuthMethod method, pg::SecretKind kind) {
  switch (method) {
    case AuthMethod::kPassword:
      return Exchange::kCleartext;
    case AuthMethod::kMd5:
      return kind == pg::SecretKind::kScram ? Exchange::kScram : Exchange::kMd5;
    case AuthMethod::kScramSha256:
      return Exchange::kScram;
    case AuthMethod::kCert:
    case AuthMethod::kTrust:
    case AuthMethod::kReject:
      break;
  }
  CHECK(false);
}

std::string AnswerFault(pg::ReadResult result, const pg::Piece& piece, std::string_view error) {
  if (result == pg::ReadResult::kBad) {
    return std::string(error);
  }
  if (piece.type != 'p') {
    return "expected password response, got message type " +
           std::to_string(static_cast<unsigned char>(piece.type));
  }
  return "the answer is too long";
}

}  // namespace session
