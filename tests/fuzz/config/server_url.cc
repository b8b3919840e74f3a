// Any text is a server or an error; a server's Display() is a server again, without the password.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/check.h"
#include "config/server_url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto server = config::ParseServer(text);
  if (!server.ok()) {
    return 0;
  }
  const std::string display = server->Display();
  if (display.size() > config::kServerTextMax) {  // percent-encoding may triple it
    return 0;
  }
  const auto again = config::ParseServer(display);
  CHECK(again.ok());
  CHECK(again->password.empty());
  CHECK(again->host == server->host && again->port == server->port);
  CHECK(again->user == server->user && again->dbname == server->dbname);
  CHECK(again->Display() == display);
  return 0;
}
