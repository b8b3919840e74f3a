// The pages under /v1/mirrors: what became of the copies, which tables are not known to be equal,
// and the one order that can be given: to forget gaps that were mended.
//
// Pure but for what the Source reads; on the endpoint's shard. Every request gets an answer; an
// order comes back as a value and is carried out by whoever asked.
#pragma once

#include <string_view>

#include "admin/pages.h"
#include "admin/source.h"
#include "http/message.h"

namespace admin {

// True exactly if `path` is one of them, or beneath one.
bool IsMirrorsPath(std::string_view path);
Answered AnswerMirrors(const http::Request& request, const Source& source);

}  // namespace admin
