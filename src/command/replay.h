// pgbraid replay: runs a capture on another server, in the order in which it was committed.
//
// On the starting thread, which becomes a shard of its own. The server is a mirror to it: each
// captured session has a lane, and the rules of mirror/order.h hold. The capture is read twice: for
// the plan, then each unit as its turn comes. So memory is taken for the plan (replay_plan.h), one
// segment of a log at first, and then what waits (replay_player.h). Ends when all is decided, when
// the server cannot be reached, or when what was in the capture cannot be read again.
#pragma once

#include <span>
#include <string_view>

#include "command/outcome.h"

namespace command {

// `arguments`: those behind "replay".
Outcome Replay(std::span<const std::string_view> arguments, const Console& console);

}  // namespace command
