// Deriver: SCRAM keys of passwords, which take milliseconds each: on a worker's thread, once.
//
// One per shard, on it. The keys are kept, so that a login costs hashes only; what they are found
// by is a keyed hash, so that nobody finds a password here. Whoever asks for what is being derived
// waits for that. Bound: kDerivedMax entries, the oldest goes first.
// It does not fail. It is destroyed after every Derive() has returned.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "io/event.h"
#include "io/loop.h"
#include "io/task.h"
#include "io/worker.h"
#include "pg/scram.h"

namespace backend {

inline constexpr size_t kDerivedMax = 4096;  // entries; about 256 bytes each

class Deriver {
 public:
  // Both outlive it.
  Deriver(io::Loop* loop, io::Worker* worker);
  ~Deriver();
  Deriver(const Deriver&) = delete;
  Deriver& operator=(const Deriver&) = delete;

  // What the views show lives until it returns. `iterations`: at most pg::kScramIterationsMax.
  io::Task<pg::ScramKeys> Derive(std::string_view password, std::string_view salt,
                                 uint32_t iterations);
  // The same without keeping it: for passwords that a client claims to know.
  io::Task<pg::ScramKeys> DeriveOnce(std::string_view password, std::string_view salt,
                                     uint32_t iterations);
  size_t size() const { return kept_.size(); }
  uint64_t derivations() const { return derivations_; }

 private:
  struct Entry;
  std::string KeyOf(std::string_view password, std::string_view salt, uint32_t iterations) const;
  void Evict();

  io::Loop* const loop_;
  io::Worker* const worker_;
  const std::string secret_;  // of the keyed hash
  std::unordered_map<std::string, Entry> kept_;
  std::list<std::string> order_;  // of kept_, oldest first; without those that are being derived
  uint64_t derivations_ = 0;
};

}  // namespace backend
