// Fuzz target: what a hostile client sends in a SCRAM exchange: its mechanism, a NUL, its first
// message, a NUL, its final message. A first byte of 'T' makes it a TLS connection.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "pg/password.h"
#include "pg/scram_server.h"

namespace {

constexpr std::string_view kNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kVerifier =
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

std::string_view TakePart(std::string_view* bytes) {
  const size_t end = std::min(bytes->find('\0'), bytes->size());
  const std::string_view part = bytes->substr(0, end);
  bytes->remove_prefix(std::min(end + 1, bytes->size()));
  return part;
}

void CheckRefusal(const pg::ScramServer& server) {
  CHECK(server.refusal().sqlstate.size() == 5);
  CHECK(!server.refusal().message.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const bool tls = bytes.starts_with("T");
  bytes.remove_prefix(tls ? 1 : 0);
  const std::string_view mechanism = TakePart(&bytes);
  const std::string_view first = TakePart(&bytes);
  const pg::ScramVerifier verifier = *pg::ParseScramVerifier(kVerifier);
  pg::ScramServer server(kNonce, tls ? "0123456789abcdef" : "");
  std::string answer;
  const pg::ScramResult begun = server.First(mechanism, first, verifier, &answer);
  CHECK(begun != pg::ScramResult::kWrong);
  if (begun == pg::ScramResult::kBad) {
    CheckRefusal(server);
    CHECK(answer.empty());
  } else {
    CHECK(answer.size() <= pg::kScramNonceMax + 64);
    CHECK(answer.find(kNonce) != std::string::npos);
    answer.clear();
  }
  const pg::ScramResult ended = server.Final(bytes, verifier, &answer);
  CHECK(ended == pg::ScramResult::kAnswer || answer.empty());
  if (ended == pg::ScramResult::kBad) {
    CheckRefusal(server);
  }
  // Only who has the key can make a proof: the one of the corpus, of a client without channel
  // binding, which is let in with TLS too.
  CHECK(ended != pg::ScramResult::kAnswer || begun == ended);
  return 0;
}
