// pgbraid replay: runs a capture on another server, in the order in which it was committed.
//
// On the starting thread, which becomes a shard of its own. The server is a mirror to it: each
// captured session has a lane, and the rules of mirror/order.h hold. The capture is held in memory,
// at most kReplayBytesMax of it. Ends when everything is decided, or when the server cannot be
// reached.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "command/outcome.h"

namespace command {

inline constexpr int64_t kReplayBytesMax = int64_t{1} << 30;

// `arguments`: those behind "replay".
Outcome Replay(std::span<const std::string_view> arguments, const Console& console);

}  // namespace command
