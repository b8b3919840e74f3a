// The PROXY protocol: from peers that are listed, a header comes first and says where the client
// is; see proxy_header.h. It is read before anything else, TLS too.
#include <algorithm>
#include <optional>

#include "base/log.h"
#include "config/net_address.h"
#include "session/opening.h"
#include "session/proxy_header.h"
#include "session/session.h"

namespace session {

// True exactly when the connection is from a peer of proxy-protocol-from.
bool Session::ExpectsProxyHeader() const {
  const std::vector<config::NetRange>& ranges = epoch_->config.proxy_protocol_from;
  if (ranges.empty()) {
    return false;
  }
  const io::Address address = client_.PeerAddress();
  const std::optional<config::NetAddress> peer = config::NetAddress::From(address.get());
  return peer.has_value() &&
         std::any_of(ranges.begin(), ranges.end(),
                     [&](const config::NetRange& range) { return range.Contains(*peer); });
}

// Takes the header and leaves what is behind it to be read as if nothing had come before. False
// when the client is to go.
io::Task<bool> Session::TakeProxyHeader(base::Deadline deadline) {
  std::string bytes;
  ProxyHeader header;
  for (;;) {
    base::Slice slice = client_.TakeInput();
    const size_t before = bytes.size();
    bytes += slice.view().substr(0, kProxyHeaderMax - std::min(before, kProxyHeaderMax));
    const ProxyHeaderResult result = ReadProxyHeader(bytes, &header);
    if (result == ProxyHeaderResult::kBad) {
      Violation("expected a PROXY protocol header: this peer is in proxy-protocol-from");
      co_return false;
    }
    if (result == ProxyHeaderResult::kComplete) {
      slice.RemovePrefix(static_cast<uint32_t>(header.length - before));
      client_.PutBack(std::move(slice));
      break;
    }
    if (client_.has_input()) {
      continue;
    }
    if (client_.ended() || ended_) {
      co_return false;
    }
    const uint32_t bits = co_await event_.Wait(deadline);
    if ((bits & io::Event::kTimeout) != 0) {
      around_->metrics->login_timeouts.Add();
    }
    if ((bits & (io::Event::kTimeout | io::Event::kStop | kDrain)) != 0) {
      co_return false;
    }
  }
  if (header.has_source) {
    base::Log(base::LogLevel::kDebug, "session.proxy_header",
              {{"session", id_},
               {"client", header.source.ToString()},
               {"peer", client_.PeerName()}});
    client_.SpeaksFor(header.source);
  }
  co_return true;
}

}  // namespace session
