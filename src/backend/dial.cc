#include "backend/dial.h"

#include "base/status.h"

namespace backend {

absl::Duration ConnectTimeout(const config::Server& server, const base::Limits& limits) {
  return server.connect_timeout > absl::ZeroDuration() ? server.connect_timeout
                                                       : limits.connect_timeout;
}

io::Task<absl::Status> Dial(io::Stream* stream, const config::Server* server,
                            io::Resolver* resolver, base::Deadline deadline, io::Address* address) {
  if (server->IsUnixSocket()) {
    absl::StatusOr<io::Address> path = io::Address::UnixPath(server->SocketPath());
    CO_RETURN_IF_ERROR(path.status());
    *address = *path;
  } else {
    absl::StatusOr<io::Address> found =
        co_await resolver->Resolve(stream->loop(), server->host, server->port, deadline);
    CO_RETURN_IF_ERROR(found.status());
    *address = *found;
  }
  const io::Address target = *address;
  absl::Status connected = co_await stream->Dial(target, io::Traffic::kServer, deadline);
  co_return connected;
}

}  // namespace backend
