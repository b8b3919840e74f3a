// Hba: which client may come from where, as whom, to which database, and how it must show who it
// is: rules in the syntax of pg_hba.conf (PostgreSQL manual, section 21.1). The first that fits
// decides; where none fits, nobody comes in.
//
// A plain value, immutable once read; any thread. What PostgreSQL has and pgbraid has not is an
// error, never ignored: +group, samerole, samenet, @file, host names, regular expressions, other
// methods. One bad line refuses the file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "config/net_address.h"

namespace config {

enum class AuthMethod : uint8_t { kScramSha256, kMd5, kPassword, kCert, kTrust, kReject };
std::string_view Name(AuthMethod method);

enum class HbaConnection : uint8_t { kLocal, kHost, kHostSsl, kHostNoSsl };
enum class HbaNameKind : uint8_t { kName, kAll, kSameUser, kReplication };
struct HbaName {
  HbaNameKind kind = HbaNameKind::kName;
  std::string text;  // kName
};
// What the client's certificate must be, besides the method.
enum class ClientCert : uint8_t { kAny, kVerifyCa, kVerifyFull };

struct HbaRule {
  size_t line = 0;  // of the file
  HbaConnection connection = HbaConnection::kLocal;
  std::vector<HbaName> databases;
  std::vector<HbaName> users;
  bool every_address = false;
  std::vector<NetRange> addresses;  // if not every_address, and not kLocal
  AuthMethod method = AuthMethod::kReject;
  ClientCert client_cert = ClientCert::kAny;
  std::string map;  // of user names, for kCert and kVerifyFull; empty: the names are equal
};

// A client at its login.
struct HbaQuery {
  NetAddress peer;
  bool tls = false;
  bool replication = false;  // physical: no database
  std::string_view database;
  std::string_view user;
};

class Hba {
 public:
  // `own`: this machine's addresses, for samehost.
  static absl::StatusOr<Hba> Parse(std::string_view text, std::string_view file,
                                   const std::vector<NetAddress>& own);
  // The rule that decides; null: none does.
  const HbaRule* Find(const HbaQuery& query) const;
  const std::vector<HbaRule>& rules() const { return rules_; }

 private:
  std::vector<HbaRule> rules_;
};

}  // namespace config
