// Trace: a conversation as text, one line per message, in the manner of libpq's PQtrace:
//
//   F <tab> 13 <tab> Query <tab> "SELECT 1"
//
// side (F or B), declared length, name, then the fields. For --log-protocol and golden tests.
// One Trace per direction of a connection, owned by whoever reads its frames. The first
// kTraceBodyMax bytes of a body are shown and kept until its frame ends, however it is cut; a line
// of a longer one ends in "...". Nothing of it fails: a body that is not laid out as it should be
// is shown up to there and ends in "?".
//
// Never shown: passwords and SASL texts, salts, secrets and process ids (NNNN), and what follows
// the word PASSWORD in SQL text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pg/frame.h"
#include "pg/startup.h"

namespace pg {

inline constexpr size_t kTraceBodyMax = 4096;

class Trace {
 public:
  explicit Trace(Side side) : side_(side) {}
  // Appends a line to `*lines` when `piece` ends its frame.
  void Add(const Piece& piece, std::string* lines);

 private:
  const Side side_;
  std::string body_;  // what is shown of the body so far
};

// The lines of what has no type byte: a start-up packet, and the server's one-byte answer to
// SSLRequest or GSSENCRequest.
void TraceStartup(const StartupPacket& packet, std::string* lines);
void TraceNegotiation(StartupKind request, char answer, std::string* lines);

}  // namespace pg
