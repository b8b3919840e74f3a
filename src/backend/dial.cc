#include "backend/dial.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/fault_point.h"
#include "base/status.h"
#include "config/net_address.h"
#include "io/event.h"
#include "pg/builders.h"

namespace backend {
namespace {

// One name per set of files; servers that name the same ones share a context.
std::string FilesOf(const config::Server& server) {
  return server.sslrootcert + '\n' + server.sslcert + '\n' + server.sslkey;
}

bool WantsTls(const config::Server& server) {
  return !server.IsUnixSocket() && server.sslmode >= config::SslMode::kPrefer;
}

bool MayWantTls(const config::Server& server) {
  return !server.IsUnixSocket() && server.sslmode >= config::SslMode::kAllow;
}

bool IsOwn(const config::NetAddress& address) {
  const std::vector<config::NetAddress> own = config::OwnAddresses();
  return std::find(own.begin(), own.end(), address) != own.end();
}

// The server's one byte: 'S', 'N', or 'E' and the text of an error, which anybody on the way could
// have written; 0 if none came.
io::Task<char> ReadAnswer(io::Stream* stream, base::Deadline deadline) {
  constexpr uint32_t kReadable = 1;
  io::Event readable(stream->loop());
  stream->NotifyReadable(&readable, kReadable);
  uint32_t bits = 0;
  while (!stream->has_input() && !stream->ended() && !stream->broken() &&
         (bits & io::Event::kTimeout) == 0) {
    bits = co_await readable.Wait(deadline);
  }
  stream->NotifyReadable(nullptr, 0);
  const base::Slice answer = stream->TakeInput();
  // Whatever stands behind the byte came before there was TLS, or before anybody was asked.
  const bool more = (answer.size() > 1 || stream->has_input()) &&
                    !HISTORICAL_BUG("b2-bytes-behind-the-answer");
  co_return answer.empty() ? '\0' : more ? 'E' : answer.view()[0];
}

}  // namespace

absl::Duration ConnectTimeout(const config::Server& server, const base::Limits& limits) {
  return server.connect_timeout > absl::ZeroDuration() ? server.connect_timeout
                                                       : limits.connect_timeout;
}

// -- contexts -------------------------------------------------------------------------------------

absl::StatusOr<std::unique_ptr<Dialler>> Dialler::Make(const config::Config& config,
                                                       io::Resolver* resolver) {
  auto made = std::make_unique<Dialler>(resolver);
  made->server_name_ = config.tls.server_name;
  made->skip_verify_ = config.tls.skip_verify;
  made->listen_ = config.listen;
  std::vector<const config::Server*> servers;
  for (const config::Service& service : config.services) {
    servers.push_back(&service.primary);
  }
  for (const config::Server& mirror : config.mirrors) {
    servers.push_back(&mirror);
  }
  for (const config::Server* server : servers) {
    const absl::Status added = made->AddContext(*server);
    if (!added.ok()) {
      return base::Error(added.code(), server->origin + ": " + std::string(base::Message(added)));
    }
  }
  return made;
}

absl::Status Dialler::AddContext(const config::Server& server) {
  const std::string files = FilesOf(server);
  if (!MayWantTls(server) || contexts_.contains(files)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(std::unique_ptr<io::TlsContext> context,
                   io::TlsContext::ForClient({.ca = skip_verify_ ? "" : server.sslrootcert,
                                              .certificate = server.sslcert,
                                              .key = server.sslkey}));
  for (const std::string& warning : context->warnings()) {
    warnings_.push_back(server.origin + ": " + warning);
  }
  contexts_.emplace(files, std::move(context));
  return absl::OkStatus();
}

const io::TlsContext* Dialler::ContextFor(const std::string& files) const {
  const auto found = contexts_.find(files);
  return found == contexts_.end() ? nullptr : found->second.get();
}

Dialled Dialler::Plan(const config::Server& server, bool encrypted) const {
  Dialled plan;
  plan.encrypted = encrypted;
  if (plan.encrypted) {
    plan.direct = server.ssl_direct;
    plan.check_name = server.sslmode == config::SslMode::kVerifyFull;
    plan.name = server_name_.empty() ? server.host : server_name_;
    plan.files = FilesOf(server);
  }
  return plan;
}

std::optional<Dialled> Dialler::OtherWay(const config::Server& server,
                                         const Dialled& refused) const {
  if (server.sslmode != config::SslMode::kAllow || server.IsUnixSocket() || refused.encrypted) {
    return std::nullopt;
  }
  Dialled other = Plan(server, true);
  other.address = refused.address;
  return other;
}

// -- dialling -------------------------------------------------------------------------------------

// A name, or an address that was not this machine's when pgbraid started (one that moves between
// machines), may lead back here: each connection would then make another one, without an end.
bool Dialler::LeadsHere(const io::Address& address) const {
  const std::optional<config::NetAddress> there = config::NetAddress::From(address.get());
  if (!there.has_value() || there->family == config::NetFamily::kUnix) {
    return false;
  }
  for (const config::Endpoint& listen : listen_) {
    if (listen.IsUnixSocket() || listen.port != address.port()) {
      continue;
    }
    const std::optional<config::NetAddress> here = config::NetAddress::Parse(listen.host);
    const bool any = !here.has_value() || here->bytes == config::NetAddress().bytes;
    if (any ? there->IsLoopback() || IsOwn(*there) : *here == *there) {
      return true;
    }
  }
  return false;
}

io::Task<absl::Status> Dialler::Resolve(io::Loop* loop, const config::Server* server,
                                        base::Deadline deadline, io::Address* address) const {
  if (server->IsUnixSocket()) {
    absl::StatusOr<io::Address> path = io::Address::UnixPath(server->SocketPath());
    CO_RETURN_IF_ERROR(path.status());
    *address = *path;
  } else {
    absl::StatusOr<io::Address> found =
        co_await resolver_->Resolve(loop, server->host, server->port, deadline);
    CO_RETURN_IF_ERROR(found.status());
    *address = *found;
  }
  if (LeadsHere(*address)) {
    co_return base::Error(absl::StatusCode::kFailedPrecondition,
                          server->host + " leads to pgbraid itself");
  }
  co_return absl::OkStatus();
}

io::Task<absl::Status> Dialler::Dial(io::Stream* stream, const config::Server* server,
                                     base::Deadline deadline, Dialled* dialled) const {
  *dialled = Plan(*server, WantsTls(*server));
  absl::Status status = co_await Resolve(stream->loop(), server, deadline, &dialled->address);
  CO_RETURN_IF_ERROR(status);
  const io::Address address = dialled->address;
  status = co_await stream->Dial(address, io::Traffic::kServer, deadline);
  if (!status.ok() || !dialled->encrypted) {
    co_return status;
  }
  const bool prefer = server->sslmode == config::SslMode::kPrefer;
  status = co_await Encrypt(stream, dialled, prefer, deadline);
  const io::TlsFailure failure = stream->tls_failure();
  if (status.ok() || !prefer || failure == io::TlsFailure::kNone ||
      failure == io::TlsFailure::kTimeout) {
    co_return status;
  }
  co_await stream->Close(stream->loop()->now());
  if (stream->error() == ECANCELED) {
    co_return status;  // aborted
  }
  stream->Renew();
  dialled->encrypted = false;
  status = co_await stream->Dial(address, io::Traffic::kServer, deadline);
  co_return status;
}

io::Task<absl::Status> Dialler::DialAgain(io::Stream* stream, const Dialled* dialled,
                                          base::Deadline deadline) const {
  Dialled again = *dialled;
  const io::Address address = again.address;
  absl::Status status = co_await stream->Dial(address, io::Traffic::kServer, deadline);
  if (status.ok() && again.encrypted && !HISTORICAL_BUG("b6-cancel-in-the-clear")) {
    status = co_await Encrypt(stream, &again, false, deadline);
  }
  co_return status;
}

// Asks for TLS and shakes hands. `plain_will_do`: a server without TLS is kept as it is, and
// dialled->encrypted becomes false.
io::Task<absl::Status> Dialler::Encrypt(io::Stream* stream, Dialled* dialled, bool plain_will_do,
                                        base::Deadline deadline) const {
  const io::TlsContext* const context = ContextFor(dialled->files);
  if (context == nullptr) {
    co_return base::Unavailable("the configuration that said how to encrypt this is gone");
  }
  if (!dialled->direct) {
    std::string request;
    pg::AppendSslRequest(&request);
    stream->WriteCopy(request);
    const char answer = co_await ReadAnswer(stream, deadline);
    if (answer == 'N' && (plain_will_do || HISTORICAL_BUG("b4-require-falls-back"))) {
      dialled->encrypted = false;
      co_return absl::OkStatus();
    }
    if (answer == 'N') {
      co_return base::Unavailable("the server has no TLS, and its sslmode does not allow to go on");
    }
    if (answer == '\0' && stream->loop()->now() >= deadline) {
      co_return base::DeadlineExceeded("the server did not answer the SSLRequest in time");
    }
    if (answer != 'S') {
      co_return base::Unavailable(answer == '\0'
                                      ? "the server closed the connection at the SSLRequest"
                                      : "the server answered the SSLRequest with something else");
    }
  }
  io::TlsOptions options;
  options.server_name = dialled->name;
  options.check_name = dialled->check_name;
  options.send_alpn = dialled->direct;
  absl::Status done = co_await stream->StartTls(context, &options, deadline);
  co_return done;
}

}  // namespace backend
