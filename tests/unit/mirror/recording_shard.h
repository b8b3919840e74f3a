// RecordingShard: what recorders need of a shard, without a server.
//
// Test support, of benchmarks too. Everything is public; it outlives the recorders.
#pragma once

#include <cstdint>

#include "config/config.h"
#include "io/epoll_engine.h"
#include "io/loop.h"
#include "mirror/recorder_tools.h"

namespace mirror {

struct RecordingShard {
  // `budget`: of what is held and of names, each, in bytes.
  RecordingShard(const base::Limits& of, int64_t budget, const config::Config& given)
      : limits(of),
        config(given),
        filters(config),
        cache(1 << 20, &config.writing_functions, filters.marker()),
        pool(budget, 1024),
        names_pool(budget, 1024),
        held(&pool),
        names(&names_pool) {}

  RecorderTools Tools() {
    RecorderTools tools;
    tools.limits = &limits;
    tools.loop = &loop;
    tools.cache = &cache;
    tools.held = &held;
    tools.names = &names;
    tools.clock = &clock;
    tools.overlaps = &overlaps;
    tools.last_writers = &last_writers;
    tools.filters = &filters;
    return tools;
  }

  static config::Config WithOneMirror() {
    config::Config config;
    config.mirrors.resize(1);
    return config;
  }

  base::Limits limits;
  io::EpollEngine engine{64 * 1024};
  io::Loop loop{&engine, &limits, 1};
  const config::Config config;
  const Filters filters;
  sql::ClassifyCache cache;
  base::CreditPool pool;
  base::CreditPool names_pool;
  base::Credit held;
  base::Credit names;
  Clock clock;
  Overlaps overlaps;
  LastWriters last_writers;
};

}  // namespace mirror
