#include "sql/classify_cache.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/crypto.h"
#include "sql/classify.h"

namespace sql {
namespace {

constexpr size_t kBytesMin = 64 * 1024;
// A guess of what a text and its statement take, from which the number of slots follows.
constexpr size_t kBytesPerSlot = 512;
constexpr uint64_t kSpread = 0x9E3779B97F4A7C15;  // sets the values of the options apart

uint64_t HashOf(std::string_view text, LexOptions options) {
  const uint64_t number = static_cast<uint64_t>(options.encoding) * 2 +
                          (options.standard_conforming_strings ? 0 : 1);
  return base::Checksum(text) ^ (number * kSpread);
}

}  // namespace

ClassifyCache::ClassifyCache(size_t bytes_max, const FunctionNames* writing, const Marker* marker)
    : writing_(writing), marker_(marker), bytes_max_(std::max(bytes_max, kBytesMin)) {
  const size_t sets = std::bit_floor(bytes_max_ / kBytesPerSlot / kWays);
  slots_.resize(sets * kWays);
  set_mask_ = sets - 1;
  bytes_ = slots_.size() * sizeof(Slot);
}

Statement ClassifyCache::Ask(std::string_view text, LexOptions options) const {
  Statement statement = sql::Classify(text, options, writing_);
  if (marker_ != nullptr && !statement.several) {
    statement.marks = marker_->Mark(text);
  }
  return statement;
}

const Statement& ClassifyCache::Classify(std::string_view text, LexOptions options) {
  if (text.size() > kTextBytesMax) {
    ++misses_;
    uncached_ = Ask(text, options);
    return uncached_;
  }
  const uint64_t hash = HashOf(text, options);
  Slot* set = &slots_[(hash & set_mask_) * kWays];
  for (Slot* slot = set; slot != set + kWays; ++slot) {
    if (slot->hash == hash && slot->entry != nullptr &&
        slot->options == options && slot->entry->text == text) {
      slot->referenced = true;
      ++hits_;
      return slot->entry->statement;
    }
  }
  ++misses_;
  Slot& slot = Victim(set);
  Drop(&slot);
  auto entry = std::make_unique<Entry>();
  entry->text.assign(text);
  entry->statement = Ask(text, options);
  MakeRoom(Cost(*entry), &slot);
  bytes_ += Cost(*entry);
  slot.hash = hash;
  slot.options = options;
  slot.referenced = false;
  slot.entry = std::move(entry);
  return slot.entry->statement;
}

size_t ClassifyCache::Cost(const Entry& entry) {
  return sizeof(Entry) + entry.text.capacity() + entry.statement.name.capacity();
}

// A free slot of the set, else the first without a second chance; taking chances on the way.
ClassifyCache::Slot& ClassifyCache::Victim(Slot* set) {
  for (Slot* slot = set; slot != set + kWays; ++slot) {
    if (slot->entry == nullptr) return *slot;
  }
  for (Slot* slot = set; slot != set + kWays; ++slot) {
    if (!slot->referenced) return *slot;
  }
  for (Slot* slot = set; slot != set + kWays; ++slot) slot->referenced = false;
  return set[hand_ % kWays];
}

void ClassifyCache::Drop(Slot* slot) {
  if (slot->entry == nullptr) return;
  bytes_ -= Cost(*slot->entry);
  slot->entry = nullptr;
}

// Sweeps the whole table until `wanted` bytes fit. It ends: the second round finds no chances left,
// and an empty table has room for any text that is cached.
void ClassifyCache::MakeRoom(size_t wanted, const Slot* kept) {
  while (bytes_ + wanted > bytes_max_) {
    Slot& slot = slots_[hand_];
    hand_ = hand_ + 1 == slots_.size() ? 0 : hand_ + 1;
    if (&slot == kept) continue;
    if (slot.referenced) {
      slot.referenced = false;
    } else {
      Drop(&slot);
    }
  }
}

}  // namespace sql
