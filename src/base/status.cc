#include "base/status.h"

#include <cstring>

namespace base {

absl::Status ErrnoError(std::string_view what, int error) {
  std::string text(what);
  text += ": ";
  char buffer[128];
  text += strerror_r(error, buffer, sizeof buffer);
  return Unavailable(text);
}

}  // namespace base
