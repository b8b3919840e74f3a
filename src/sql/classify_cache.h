// ClassifyCache: remembers what Classify said of a text.
//
// One per shard, used on its thread only, no lock. Bounded in bytes (texts, statements and its own
// table together); texts longer than kTextBytesMax are classified each time. Set-associative with a
// second chance: a text hit since the hand last passed stays, so a stream of texts seen once does
// not push the hot ones out. The hash only finds a candidate, the text is compared whole: a client
// who makes hashes collide gets misses, never another statement's answer. Cannot fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sql/classify.h"
#include "sql/function_names.h"
#include "sql/lexer.h"
#include "sql/statement.h"

namespace sql {

// Marks texts by what only their reader knows (patterns of the configuration): asked once for each
// text that is kept. Pure; outlives the cache.
class Marker {
 public:
  virtual ~Marker() = default;
  virtual uint64_t Mark(std::string_view text) const = 0;
};

class ClassifyCache {
 public:
  static constexpr size_t kTextBytesMax = 4096;

  // `bytes_max`: bound of bytes(); below 64 KiB it counts as 64 KiB.
  // `writing` and `marker` outlive the cache; null: there are none.
  explicit ClassifyCache(size_t bytes_max, const FunctionNames* writing = nullptr,
                         const Marker* marker = nullptr);
  ClassifyCache(const ClassifyCache&) = delete;
  ClassifyCache& operator=(const ClassifyCache&) = delete;

  // What sql::Classify(text, options, writing) says, with the marker's marks; valid until the next
  // call.
  const Statement& Classify(std::string_view text, LexOptions options = {});

  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }  // long texts too
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string text;
    Statement statement;
  };
  struct Slot {
    uint64_t hash = 0;  // of the text and the options
    std::unique_ptr<Entry> entry;
    LexOptions options;
    bool referenced = false;  // true exactly when hit since the hand last passed
  };
  static constexpr size_t kWays = 8;

  Statement Ask(std::string_view text, LexOptions options) const;
  static size_t Cost(const Entry& entry);
  Slot& Victim(Slot* set);
  void Drop(Slot* slot);
  void MakeRoom(size_t wanted, const Slot* kept);

  const FunctionNames* const writing_;
  const Marker* const marker_;
  std::vector<Slot> slots_;  // sets of kWays; the number of sets is a power of two
  size_t set_mask_;
  size_t bytes_max_;
  size_t bytes_;
  size_t hand_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
  Statement uncached_;
};

}  // namespace sql
