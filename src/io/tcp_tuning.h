// TcpTuning: how soon the kernel gives up a peer that has gone without a word.
//
// A value; from the configuration's limits, applied to every TCP socket that an engine adopts or
// connects. What a kernel does not know is left out.
#pragma once

#include "absl/time/time.h"
#include "base/limits.h"

namespace io {

struct TcpTuning {
  // A connection without traffic: probes after `idle`, then every `interval`, given up after
  // `count` without an answer. idle zero: no probes.
  absl::Duration keepalive_idle = absl::Seconds(4);
  absl::Duration keepalive_interval = absl::Seconds(2);
  int keepalive_count = 3;
  // Bytes that are not acknowledged: the longest pause between two attempts to send them again
  // (TCP_RTO_MAX_MS, Linux 6.15); with the system's 15 attempts and one second about 15 s in all.
  // Zero: the system's, which gives up after a quarter of an hour.
  absl::Duration retry_max = absl::Seconds(1);
  // The same, on any kernel, but also for a peer that is well and only does not read. Zero: off.
  absl::Duration user_timeout;
};

inline TcpTuning TuningOf(const base::Limits& limits) {
  return TcpTuning{.keepalive_idle = limits.tcp_keepalive_idle,
                   .keepalive_interval = limits.tcp_keepalive_interval,
                   .keepalive_count = static_cast<int>(limits.tcp_keepalive_count),
                   .retry_max = limits.tcp_retry_max,
                   .user_timeout = limits.tcp_user_timeout};
}

}  // namespace io
