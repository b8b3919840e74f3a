// The rules of admission that need no wait: who decides about a client, and whether it may go on to
// the exchange at all.
//
// Pure; any thread. Internal to session/'s Authenticator.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/authentication.h"
#include "io/stream.h"
#include "pg/frame_reader.h"
#include "session/authenticator.h"

namespace session {

// Nothing if the client has gone.
std::optional<config::NetAddress> PeerOf(const io::Stream& stream);

// What decides about a client.
struct Ruling {
  bool ruled = false;  // false: no rule fits
  config::AuthMethod method = config::AuthMethod::kReject;
  config::ClientCert client_cert = config::ClientCert::kAny;
  std::string_view map;
};
Ruling RuleFor(const config::Authentication& rules, const Claim& claim,
               const std::optional<config::NetAddress>& peer);
// Why this client may not even try; nothing if it may.
std::optional<Refusal> CheckRuling(const config::Authentication& rules, const Claim& claim,
                                   const Ruling& ruling, const io::Stream& stream);
// The exchange of a method for a secret: md5 becomes SCRAM for a SCRAM secret, as in PostgreSQL.
Exchange ExchangeFor(config::AuthMethod method, pg::SecretKind kind);
// What is wrong with a message in place of an answer.
std::string AnswerFault(pg::ReadResult result, const pg::Piece& piece, std::string_view error);

}  // namespace session
