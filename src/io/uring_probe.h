// What this kernel's io_uring can do for us, found out by trying, once per process.
//
// Version numbers lie (vendor kernels, gVisor, WSL2, seccomp): every feature that will be used is
// tested on a socket pair. Thread: any, before the shards start; takes about a millisecond.
#pragma once

#include <string>

namespace io {

struct UringSupport {
  bool usable = false;
  bool incremental = false;  // provided buffers can be used up piece by piece (6.12)
  bool no_iowait = false;    // waiting need not count as iowait (6.15)
  std::string reason;        // why it is not usable, and what to do about it; for one WARN line
};

UringSupport ProbeUring();

}  // namespace io
