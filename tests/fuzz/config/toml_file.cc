// Any text is a list of settings or an error of one line that starts with the file's name.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/status.h"
#include "config/config.h"
#include "config/settings.h"
#include "config/toml_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = config::ReadToml(text, "f.toml");
  absl::Status status = file.status();
  if (file.ok()) {
    config::Config config;
    status = config::ApplyLayer(file->given, &config);
    for (const config::GivenService& service : file->services) {
      status.Update(config::ApplyService(service, &config));
    }
    if (status.ok() && config::Complete(&config).ok()) {
      CHECK(!config::Describe(config).empty());
    }
  }
  if (!status.ok()) {
    CHECK(base::Message(status).starts_with("f.toml:"));
    CHECK(base::Message(status).find('\n') == std::string_view::npos);
  }
  return 0;
}
