#include "command/input.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/status.h"

namespace command {
namespace {

struct Closer {
  void operator()(std::FILE* file) const {
    if (file != stdin) {
      std::fclose(file);
    }
  }
};

}  // namespace

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  const std::unique_ptr<std::FILE, Closer> file(path == "-" ? stdin
                                                            : std::fopen(path.c_str(), "rbe"));
  if (file == nullptr) {
    return base::InvalidArgument(path + ": " + std::strerror(errno));
  }
  std::string all;
  char block[1 << 16];
  for (;;) {
    const size_t got = std::fread(block, 1, sizeof(block), file.get());
    all.append(block, got);
    if (all.size() > kInputBytesMax) {
      return base::ResourceExhausted(path + ": is larger than 1 GiB");
    }
    if (got == 0) {
      break;
    }
  }
  if (std::ferror(file.get()) != 0) {
    return base::Unavailable(path + ": " + std::strerror(errno));
  }
  return all;
}

}  // namespace command
