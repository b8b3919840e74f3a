// What the nonce load asks a server: turns, each with the bytes that go out and the one answer that
// may come back. Every turn carries a nonce of its client's own, in its rows, its error or its
// notice, so that an answer to somebody else's question cannot pass for the right one.
//
// Values; single-threaded. It shares no code with src/: a judge must not repeat the judged's
// mistakes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace load {

using Random = std::mt19937_64;

// One request up to the ReadyForQuery that ends it.
struct Turn {
  std::string bytes;
  std::vector<std::string> rows;  // first columns (or COPY lines) in order
  std::string notice;             // what a notice must be, or empty
  std::string error;              // the SQLSTATE that must come, or empty for none
  std::string error_text;         // what the error's message must contain
  std::string name_set;           // application_name from here on
  int prepares = -1;              // the named statement that exists once ParseComplete came
};

// Turns that leave in one piece, and what happens to them.
struct Batch {
  std::vector<Turn> turns;
  bool cancel = false;  // a CancelRequest races them
};

// What a client does next: its batches go out one after the other, each when the one before it has
// been answered.
using Plan = std::vector<Batch>;

// What a plan may be made of. A word of --without leaves one out.
enum class Kind : uint8_t {
  kSimple,
  kMany,         // several statements in one Query
  kUnnamed,      // Parse, Bind, Describe, Execute of the unnamed statement
  kNamed,        // a named statement, parsed once and used for the connection's life
  kPipeline,     // up to 12 turns before the first answer is read
  kTransaction,  // BEGIN to COMMIT in several turns
  kError,        // an error whose text holds the nonce
  kNotice,
  kCopy,     // COPY TO STDOUT
  kSetting,  // SET application_name, and SHOW in later transactions
  kTimeout,  // a statement that runs into statement_timeout
  kCancel,   // a CancelRequest that comes before, in or after its query
  kCount,
};

inline constexpr size_t kKinds = static_cast<size_t>(Kind::kCount);
inline constexpr size_t kNames = 8;  // named statements of a client

std::string_view NameOf(Kind kind);

// The mark by which a nonce is found in any text.
inline constexpr std::string_view kMark = "nonce:";

// Makes the plans of one client.
class Planner {
 public:
  // Texts of statements differ between clients though their names do not.
  Planner(size_t client, Random& random) : client_(client), random_(random) {}

  [[nodiscard]] Plan Make(Kind kind);
  [[nodiscard]] std::string Nonce();
  [[nodiscard]] std::string FirstName() const;

  // A new connection has no statements, and the name it started with.
  void Reset();
  void OnPrepared(int which) { prepared_.at(static_cast<size_t>(which)) = true; }
  void OnNameSet(const std::string& name) { name_ = name; }

 private:
  Turn Simple(const std::string& text, std::vector<std::string> rows) const;
  Turn Unnamed();
  Turn Named();
  Plan Pipeline();
  Plan Transaction();
  Plan Timeout();
  Turn Copy();

  size_t client_;
  Random& random_;
  uint64_t counter_ = 0;
  std::array<bool, kNames> prepared_{};
  std::string name_;
};

// Parts of the protocol that the client itself needs.
std::string Startup(const std::string& user, const std::string& database, const std::string& name);
std::string PasswordMessage(std::string_view password);
std::string CancelRequest(std::string_view key);
uint32_t Get32(const char* at);

}  // namespace load
