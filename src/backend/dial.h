// Dialler: how servers are reached: name to address, connect, and TLS as the server's sslmode says.
// Whoever connects to a server goes through here (sessions, mirrors, cancels, whatever comes), so
// that what holds for one connection holds for all of them.
//
// Made once per configuration, on the starting thread; immutable afterwards and used by all shards.
// It owns the TLS contexts of the servers. A configuration that replaces another brings a Dialler
// of its own; connections made by the old one live on.
//
// sslmode as libpq has it: `require` and stricter never go without TLS. `prefer` does where the
// server says it has none, or where the handshake fails: then on a second connection. `allow` goes
// without at first; whoever logs in and is refused asks OtherWay(). Over a Unix socket there is no
// TLS.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/limits.h"
#include "config/config.h"
#include "io/resolver.h"
#include "io/stream.h"
#include "io/task.h"
#include "io/tls_context.h"

namespace backend {

// How long a connect and login to `server` may take: what its URL says, else the process's limit.
absl::Duration ConnectTimeout(const config::Server& server, const base::Limits& limits);

// How a server was reached; enough to reach it in the same way again.
struct Dialled {
  io::Address address;
  bool encrypted = false;
  bool direct = false;      // TLS from the first byte
  bool check_name = false;  // verify-full
  std::string name;         // to be verified, and told by SNI
  std::string files;        // which of the Dialler's contexts
};

class Dialler {
 public:
  // For servers that want no TLS: dialling any other is an error.
  explicit Dialler(io::Resolver* resolver) : resolver_(resolver) {}
  // Reads the files that the configuration's servers name. An error starts with where the server
  // was configured. `resolver` outlives this.
  static absl::StatusOr<std::unique_ptr<Dialler>> Make(const config::Config& config,
                                                       io::Resolver* resolver);
  Dialler(const Dialler&) = delete;
  Dialler& operator=(const Dialler&) = delete;

  // Resolves, connects and encrypts `stream`; after an error it is to be closed all the same.
  // kFailedPrecondition: the server's name has come to stand for an address on which this process
  // listens. kDeadlineExceeded, kUnavailable. Texts name the server's host, so they are for the
  // log, not for clients. What a server says instead of an answer is not kept.
  io::Task<absl::Status> Dial(io::Stream* stream, const config::Server* server,
                              base::Deadline deadline, Dialled* dialled) const;
  // sslmode=allow: how to dial a server again, with TLS, that has refused the login of a connection
  // without. Nothing where that is all there is.
  std::optional<Dialled> OtherWay(const config::Server& server, const Dialled& refused) const;
  // As it was dialled before: never without TLS if there was TLS.
  io::Task<absl::Status> DialAgain(io::Stream* stream, const Dialled* dialled,
                                   base::Deadline deadline) const;
  // True exactly when both verify servers' certificates for the same names, or both do not.
  bool VerifiesLike(const Dialler& other) const {
    return server_name_ == other.server_name_ && skip_verify_ == other.skip_verify_;
  }
  // What should be said when the process starts.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  absl::Status AddContext(const config::Server& server);
  const io::TlsContext* ContextFor(const std::string& files) const;
  Dialled Plan(const config::Server& server, bool encrypted) const;
  bool LeadsHere(const io::Address& address) const;
  io::Task<absl::Status> Resolve(io::Loop* loop, const config::Server* server,
                                 base::Deadline deadline, io::Address* address) const;
  io::Task<absl::Status> Encrypt(io::Stream* stream, Dialled* dialled, bool plain_will_do,
                                 base::Deadline deadline) const;

  io::Resolver* const resolver_;
  std::string server_name_;  // instead of every host, or empty
  bool skip_verify_ = false;
  std::vector<config::Endpoint> listen_;
  std::map<std::string, std::unique_ptr<io::TlsContext>> contexts_;  // by Dialled::files
  std::vector<std::string> warnings_;
};

}  // namespace backend
