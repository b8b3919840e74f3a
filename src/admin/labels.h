// Labels: a series' `key="value",…` read, without `shard`.
//
// Pure, any thread. Accepts exactly what OpenMetrics 1.0 allows between the braces.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace admin {

// `labels` without the label `shard`; nullopt if they are not well-formed.
std::optional<std::string> WithoutShard(std::string_view labels);

}  // namespace admin
