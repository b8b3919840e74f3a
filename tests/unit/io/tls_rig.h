// TlsRig: an authority, a server certificate for "db.example" and 127.0.0.1, contexts made from
// them, and the coroutines that shake hands.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "io/stream.h"
#include "io/tls_context.h"
#include "unit/io/certificates.h"
#include "unit/io/raw_tls.h"
#include "unit/io/rig.h"

namespace io_test {

inline std::unique_ptr<io::TlsContext> Sound(absl::StatusOr<std::unique_ptr<io::TlsContext>> made) {
  EXPECT_TRUE(made.ok()) << base::Message(made.status());
  return made.ok() ? *std::move(made) : nullptr;
}

inline io::Task<void> Secure(io::Stream* stream, const io::TlsContext* context,
                             const io::TlsOptions* options, base::Deadline deadline,
                             std::optional<absl::Status>* status) {
  absl::Status done = co_await stream->StartTls(context, options, deadline);
  *status = done;
}

class TlsRig : public Rig {
 public:
  explicit TlsRig(Kind kind, const Sizes& sizes = Sizes(),
                  const base::Limits& limits = base::Limits())
      : Rig(kind, sizes, limits), authority_(&folder_, "authority") {
    authority_.Issue("server",
                     {.common_name = "db.example", .names = {"DNS:db.example", "IP:127.0.0.1"}});
    server_ = Sound(io::TlsContext::ForServer(Files("server")));
    client_ =
        Sound(io::TlsContext::ForClient({.ca = authority_.file(), .certificate = "", .key = ""}));
    named_.server_name = "db.example";
    named_.check_name = true;
  }

  const Folder& folder() const { return folder_; }
  const Authority& authority() const { return authority_; }
  io::TlsServerFiles Files(const std::string& name, const std::string& client_ca = "") const {
    return {.certificate = authority_.Certificate(name),
            .key = authority_.Key(name),
            .client_ca = client_ca};
  }
  const io::TlsContext* server() const { return server_.get(); }
  const io::TlsContext* client() const { return client_.get(); }
  const io::TlsOptions& plain() const { return plain_; }  // nothing is checked by name
  const io::TlsOptions& named() const { return named_; }  // verify-full for db.example
  base::Deadline Soon() { return loop()->now() + absl::Seconds(20); }

  // Both ends are streams of this loop.
  std::pair<absl::Status, absl::Status> Shake(io::Stream* accepted, const io::TlsContext* server,
                                              io::Stream* dialled, const io::TlsContext* client,
                                              const io::TlsOptions& options) {
    std::optional<absl::Status> ours;
    std::optional<absl::Status> theirs;
    scope().Spawn(Secure(accepted, server, &plain_, Soon(), &ours));
    scope().Spawn(Secure(dialled, client, &options, Soon(), &theirs));
    EXPECT_TRUE(Join());
    return {*ours, *theirs};
  }
  // The stream is the server, `raw` the client, or the other way round.
  absl::Status Shake(io::Stream* stream, RawTls* raw, const io::TlsContext* context,
                     const io::TlsOptions& options) {
    std::optional<absl::Status> done;
    scope().Spawn(Secure(stream, context, &options, Soon(), &done));
    bool shaken = false;
    EXPECT_TRUE(Until([&] {
      shaken = shaken || raw->Shake();
      return done.has_value() && (shaken || raw->failed());
    }));
    return *done;
  }

 private:
  Folder folder_;
  Authority authority_;
  std::unique_ptr<io::TlsContext> server_;
  std::unique_ptr<io::TlsContext> client_;
  io::TlsOptions plain_;
  io::TlsOptions named_;
};

// A connection whose one end is a stream and whose other end speaks by RawTls.
struct Half {
  Half(TlsRig* rig, const RawOptions& options, const Ends& ends)
      : stream(rig->loop()), raw(ends.theirs, options) {
    stream.Adopt(ends.ours, io::Traffic::kClient);
  }
  io::Stream stream;
  RawTls raw;
};

}  // namespace io_test
