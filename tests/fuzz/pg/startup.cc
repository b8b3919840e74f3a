// Fuzz target: start-up packets and the settings inside `options`.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "pg/builders.h"
#include "pg/startup.h"
#include "pg/trace.h"

namespace {

void CheckOptions(std::string_view options) {
  std::vector<pg::OptionSetting> settings;
  const auto error = pg::ParseOptions(options, &settings);
  CHECK(settings.size() <= pg::kOptionSettingsMax);
  for (const pg::OptionSetting& setting : settings) {
    CHECK(!setting.name.empty());
    CHECK(setting.name.size() + setting.value.size() < options.size());
  }
  CHECK(!error.has_value() || (error->tell && !error->message.empty()));
}

// What was read, written again, is what came.
void CheckRoundTrip(const pg::StartupPacket& packet, std::string_view bytes) {
  std::string again;
  switch (packet.kind) {
    case pg::StartupKind::kStartupMessage:
      CHECK(!packet.user.empty());
      CHECK(pg::AppendStartupMessage(&again, packet.version, packet.parameters));
      for (const pg::Setting& parameter : packet.parameters) {
        CheckOptions(parameter.value);
      }
      break;
    case pg::StartupKind::kCancelRequest:
      CHECK(pg::AppendCancelRequest(&again, packet.cancel_pid, packet.cancel_secret));
      break;
    case pg::StartupKind::kSslRequest:
      pg::AppendSslRequest(&again);
      break;
    case pg::StartupKind::kGssEncRequest:
      pg::AppendGssEncRequest(&again);
      break;
  }
  CHECK(again == bytes.substr(0, packet.length));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckOptions(bytes);
  pg::StartupPacket packet;
  pg::StartupError error;
  const pg::StartupAllowed allowed{.long_cancel_secrets = true};
  const pg::StartupResult result = pg::ParseStartup(bytes, allowed, &packet, &error);
  if (result == pg::StartupResult::kComplete) {
    CHECK(packet.length <= size);
    CheckRoundTrip(packet, bytes);
    std::string line;
    pg::TraceStartup(packet, &line);
    CHECK(line.find('\n') == line.size() - 1);
  }
  // Byte by byte: nothing until it is decided, and then the same.
  for (size_t count = 0; count < size && count < 300; ++count) {
    pg::StartupPacket part;
    pg::StartupError part_error;
    const auto early = pg::ParseStartup(bytes.substr(0, count), allowed, &part, &part_error);
    if (early != pg::StartupResult::kMore) {
      CHECK(early == result);
      CHECK(part_error.message == error.message);
      break;
    }
  }
  return 0;
}
