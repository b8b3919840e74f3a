// What the kernel tells about this process, as metrics.
//
// Called on the shard that answers a scrape: a few short reads of /proc, none of them a wait. A
// number that cannot be had is left out.
#pragma once

#include "admin/open_metrics.h"

namespace admin {

// Names that start with `process_` are those that every Prometheus dashboard knows.
void DescribeProcess(OpenMetricsText* text);

}  // namespace admin
