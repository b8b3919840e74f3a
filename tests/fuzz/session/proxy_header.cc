// Fuzz target of PROXY protocol headers: whatever the bytes, the answer is the same however they
// are cut, what is complete lies within the bytes and the bound, and nothing behind it is looked
// at.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "session/proxy_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  session::ProxyHeader whole;
  const session::ProxyHeaderResult result = session::ReadProxyHeader(bytes, &whole);
  size_t cut = 0;
  session::ProxyHeader header;
  session::ProxyHeaderResult partly = session::ProxyHeaderResult::kMore;
  while (cut <= size && partly == session::ProxyHeaderResult::kMore) {
    partly = session::ReadProxyHeader(bytes.substr(0, cut++), &header);
  }
  CHECK(partly == result);
  if (result != session::ProxyHeaderResult::kComplete) {
    return 0;
  }
  CHECK(whole.length == cut - 1 && header.length == whole.length);
  CHECK(whole.length <= size && whole.length <= session::kProxyHeaderMax);
  CHECK(whole.has_source == (whole.source.family() != AF_UNSPEC));
  CHECK(header.source.ToString() == whole.source.ToString());
  return 0;
}
