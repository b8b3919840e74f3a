// AppendCopy: bytes copied to the end of a list of slices, into the last one while it has room.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/slice.h"

namespace io {

inline constexpr uint32_t kTailFirst = 512;  // first block, bytes
inline constexpr uint32_t kTailLargest = 64 * 1024;

// `*tail_open`: true exactly when AppendCopy made the last slice, so that nobody else's reaches
// behind it; whoever adds another slice sets it to false.
inline void AppendCopy(std::string_view bytes, std::vector<base::Slice>* list, bool* tail_open) {
  while (!bytes.empty()) {
    if (!*tail_open || list->back().room() == 0) {
      const auto want = static_cast<uint32_t>(std::min<size_t>(bytes.size(), kTailLargest));
      list->push_back(base::Slice::WithCapacity(std::max(want, kTailFirst)));
      *tail_open = true;
    }
    const size_t part = std::min<size_t>(bytes.size(), list->back().room());
    list->back().Append(bytes.substr(0, part));
    bytes.remove_prefix(part);
  }
}

}  // namespace io
