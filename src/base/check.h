// Assertions on our own invariants. Never on bytes from a peer: those are handled as errors.
//
// CHECK is always on: the process dies, because data could go to the wrong place.
// DCHECK is for hot paths: on in debug builds (-Dbuildtype=debug), else only compiled.
#pragma once

namespace base {

// Prints file, line and expression to stderr and aborts. Any thread.
[[noreturn]] void CheckFailed(const char* file, int line, const char* expression);

}  // namespace base

#define CHECK(condition)                                        \
  do {                                                          \
    if (__builtin_expect(!(condition), 0)) {                    \
      ::base::CheckFailed(__FILE__, __LINE__, #condition);      \
    }                                                           \
  } while (false)

#ifdef PGBRAID_DCHECK
#define DCHECK(condition) CHECK(condition)
#else
#define DCHECK(condition)             \
  do {                                \
    if (false) {                      \
      static_cast<void>(condition);   \
    }                                 \
  } while (false)
#endif
