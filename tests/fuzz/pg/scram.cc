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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(bytes.find('\0'), size);
  const std::string_view first = bytes.substr(0, end);
  const std::string_view last = bytes.substr(std::min(end + 1, size));
  pg::ScramClient client("user", kPassword, kNonce);
  client.First();
  const absl::StatusOr<std::string> final_message = client.Final(first);
  if (final_message.ok()) {
    CHECK(final_message->starts_with("c=biws,r=" + std::string(kNonce)));
    CHECK(final_message->size() <= pg::kScramNonceMax + 64);
    CHECK(first.size() <= pg::kScramServerMessageMax);
  } else {
    CHECK(base::Message(final_message.status()).find(kPassword) == std::string_view::npos);
  }
  const absl::Status status = client.Verify(last);
  CHECK(status.ok() == client.verified());
  // Nobody but the holder of the password can make a signature: the one of the corpus.
  CHECK(!client.verified() || (final_message.ok() && last.starts_with("v=")));
  return 0;
}
