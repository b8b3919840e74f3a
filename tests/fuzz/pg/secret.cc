// Fuzz target: a stored secret as a users file or pg_authid has it. What is a verifier is written
// as it was read; nothing lets an empty password in.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "pg/password.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view stored(reinterpret_cast<const char*>(data), size);
  const std::optional<pg::Secret> secret = pg::ParseSecret(stored);
  CHECK(secret.has_value() == (!stored.empty() && stored.size() <= pg::kSecretMax));
  if (!secret.has_value()) {
    return 0;
  }
  CHECK(!pg::CheckCleartext(*secret, "user", ""));
  CHECK(!pg::CheckMd5(*secret, "user", "salt", ""));
  const std::string salt = "salt";
  switch (secret->kind) {
    case pg::SecretKind::kPlain:
      CHECK(pg::CheckCleartext(*secret, "user", stored));
      CHECK(pg::CheckMd5(*secret, "user", salt,
                         pg::Md5Response(pg::Md5Secret("user", stored), salt)));
      break;
    case pg::SecretKind::kMd5:
      CHECK(secret->text.size() == 35);
      CHECK(!pg::CheckCleartext(*secret, "user", stored));
      CHECK(pg::CheckMd5(*secret, "user", salt, pg::Md5Response(secret->text, salt)));
      break;
    case pg::SecretKind::kScram:
      CHECK(pg::FormatScramVerifier(secret->verifier) == stored);
      CHECK(!pg::CheckCleartext(*secret, "user", stored));
      break;
  }
  const pg::Secret mock = pg::MockSecret("process", "user", *secret);
  CHECK(mock.kind == secret->kind);
  CHECK(!pg::CheckCleartext(mock, "user", stored));
  return 0;
}
