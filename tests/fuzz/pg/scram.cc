// Fuzz target: what a hostile server sends in a SCRAM exchange: its first message, a NUL, its
// final message.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/status.h"
#include "pg/scram.h"

namespace {

constexpr std::string_view kNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kPassword = "pencil";
constexpr uint32_t kIterationsAtMost = 4096;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(bytes.find('\0'), size);
  const std::string_view first = bytes.substr(0, end);
  const std::string_view last = bytes.substr(std::min(end + 1, size));
  pg::ScramClient client("user", kNonce);
  client.First();
  const absl::StatusOr<pg::ScramChallenge> asked = client.OnServerFirst(first);
  if (asked.ok()) {
    CHECK(asked->iterations >= 1 && asked->iterations <= pg::kScramIterationsMax);
    // Fewer iterations than it asks for: what is fuzzed is the text, not PBKDF2.
    const uint32_t iterations = std::min(asked->iterations, kIterationsAtMost);
    const std::string answer =
        client.Final(pg::DeriveScramKeys(kPassword, asked->salt, iterations));
    CHECK(answer.starts_with("c=biws,r=" + std::string(kNonce)));
    CHECK(answer.size() <= pg::kScramNonceMax + 64);
    CHECK(first.size() <= pg::kScramMessageMax);
  } else {
    CHECK(base::Message(asked.status()).find(kPassword) == std::string_view::npos);
  }
  const absl::Status status = client.Verify(last);
  CHECK(status.ok() == client.verified());
  // Nobody but the holder of the password can make a signature: the one of the corpus.
  CHECK(!client.verified() || (asked.ok() && last.starts_with("v=")));
  return 0;
}
