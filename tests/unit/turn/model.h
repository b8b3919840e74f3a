// A naive model of a PostgreSQL backend, to hold turn::Machine against.
//
// RunServer() is what src/backend/tcop/postgres.c and commands/copyfromparse.c do with a list of
// messages, written down literally and without any notion of a ledger; what a statement does (rows,
// COPY, an error, and where) is written on the message beforehand. What the model takes for granted
// was checked with raw bytes against PostgreSQL 15.20:
//   Parse Bind Execute(COPY) Sync CopyData CopyDone Sync   1 2 G C Z      the first Sync swallowed
//   ... a BEFORE STATEMENT trigger fails                   1 2 G E Z Z    not swallowed
//   ... the data behind the first Sync is bad              1 2 G E Z      swallowed
//   Query(COPY) Sync Flush CopyData CopyDone Sync          G C Z Z
//   Query(COPY) Sync CopyData CopyDone Sync, trigger fails G E Z Z Z
//   Query(COPY; COPY) CopyData CopyDone Sync CopyFail Sync G C G E Z Z
//   Query(COPY) Query                                      G E(ERROR) E(FATAL), closed
//   Parse(bad) Query FunctionCall Bind Sync Query          E Z T D C Z
//   CopyData CopyDone CopyFail CopyDone Query              T D C Z
//   Bind Execute Query Sync                                2 D C T D C Z Z
//   Flush with a body, Query, Sync                         E Z
//   Sync with a body, Query                                E Z T D C Z
//   Query(COPY), Flush with a body, CopyData CopyDone      G C Z
//   Execute of a deferred violation, Sync                  C E Z
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace turn {

// Where decisions come from: a seed, which never ends, or a fuzzer's bytes, then 0.
class Choices {
 public:
  explicit Choices(uint64_t seed) : prng_(seed), seeded_(true) {}
  explicit Choices(std::string_view bytes) : prng_(0), bytes_(bytes) {}
  bool used_up() const { return !seeded_ && bytes_.empty(); }
  uint32_t Below(uint32_t bound) {
    if (seeded_) return static_cast<uint32_t>(prng_.Below(bound));
    if (bytes_.empty()) return 0;
    const uint32_t byte = static_cast<unsigned char>(bytes_.front());
    bytes_.remove_prefix(1);
    return byte % bound;
  }
  bool OneIn(uint32_t n) { return Below(n) == n - 1; }

 private:
  base::Prng prng_;
  std::string_view bytes_;
  bool seeded_ = false;
};

enum class StepKind : uint8_t { kRows, kTag, kEmpty, kSuspended, kCopyIn, kCopyOut, kCopyBoth };

// One statement.
struct Step {
  StepKind kind = StepKind::kTag;
  uint8_t rows = 0;
  // 0: it succeeds. Else it fails: COPY in: having read fails_at - 1 messages; others: at once
  // (1) or behind its rows (more).
  uint8_t fails_at = 0;
};

// A fuzzer makes millions of these: no heap.
struct Message {
  static constexpr size_t kStepsMax = 3;
  char type = 0;      // a frontend type byte; 'o': a reply of our own, not sent to the server
  char status = 'I';  // of the ReadyForQuery, should it be answered by one
  bool bad = false;   // fails, whatever it is
  uint8_t count = 0;  // of `steps`: of a Query; of an Execute: one
  std::array<Step, kStepsMax> steps;

  std::span<const Step> statements() const { return std::span(steps).first(count); }
};

struct ModelReply {
  char type = 0;          // a backend type byte; 'o': our own
  char status = 0;        // of Z
  bool fatal = false;     // of E
  uint32_t message = 0;   // whose answer it is
  uint32_t consumed = 0;  // how many messages the server had read
};

enum class End : uint8_t { kIdle, kSkipping, kCopyIn, kCopyBoth, kDead };

struct ModelRun {
  std::vector<ModelReply> replies;
  End end = End::kIdle;
};

std::vector<Message> MakeMessages(Choices* choices);
ModelRun RunServer(const std::vector<Message>& messages);

struct Told {
  std::string failure;  // empty: the machine said what the model knows
  bool ambiguous = false;
  size_t replies = 0;
};
// Makes messages, runs the model, and takes the machine through them, sending and delivering in an
// order that `choices` decides.
Told Converse(Choices* choices);

}  // namespace turn
