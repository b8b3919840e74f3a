// FrameRule: what is known of a message type before its body is read, one row per type byte and
// side. A constant table, for any thread; the frame reader is its user, tests read it too.
//
// Frontend limits are the server's (PostgreSQL 15, src/backend/tcop/postgres.c SocketBackend and
// src/backend/libpq/auth.c); a body that is too short is left to the server, which answers with an
// error and keeps the session. Backend limits are libpq's (fe-protocol3.c pqParseInput3), and the
// least length is that of the message's fixed part, so that a reader of bodies finds it.
#pragma once

#include <cstdint>
#include <string_view>

#include "pg/frame.h"

namespace pg {

// Names of PostgreSQL (src/include/libpq/libpq.h), of the declared length, which counts itself.
inline constexpr uint32_t kSmallMessageLimit = 10'000;      // PQ_SMALL_MESSAGE_LIMIT
inline constexpr uint32_t kLargeMessageLimit = 0x3ffffffe;  // PQ_LARGE_MESSAGE_LIMIT
inline constexpr uint32_t kAuthTokenLimit = 65'535;         // PG_MAX_AUTH_TOKEN_LENGTH
// libpq takes a longer one for lost synchronisation, unless the type may be long.
inline constexpr uint32_t kShortReplyLimit = 30'000;

struct FrameRule {
  // Bounds of the declared length. An unknown type has length_min > length_max: nothing fits.
  uint32_t length_min = UINT32_MAX;
  uint32_t length_max = 0;
  bool whole = false;  // true exactly when it must be seen whole, if it is not too long
  bool known() const { return length_min <= length_max; }
};

// 256 rows, indexed by the type byte as unsigned char.
const FrameRule* RulesOf(Side side);

}  // namespace pg
