#include "config/server_auth.h"

#include <algorithm>
#include <array>

#include "base/status.h"
#include "config/text.h"

namespace config {
namespace {

constexpr std::array<std::string_view, kServerMethods> kNames = {
    "none", "password", "md5", "gss", "sspi", "scram-sha-256"};

}  // namespace

std::string_view Name(ServerMethod method) { return kNames[static_cast<size_t>(method)]; }

absl::Status ServerAuth::SetRequireAuth(std::string_view text) {
  const std::string_view whole = text;
  const bool negated = text.starts_with('!');
  uint32_t named = 0;
  for (bool more = !text.empty(); more;) {
    const size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    more = comma != std::string_view::npos;
    text.remove_prefix(more ? comma + 1 : text.size());
    if (word.starts_with('!') != negated) {
      return base::InvalidArgument(
          "the require_auth mixes methods with and without '!'; write all or none with it");
    }
    word.remove_prefix(negated ? 1 : 0);
    const auto found = std::find(kNames.begin(), kNames.end(), word);
    if (found == kNames.end()) {
      return base::InvalidArgument(
          "the require_auth names a method that is none of none, password, md5, gss, sspi and "
          "scram-sha-256");
    }
    const uint32_t bit = 1u << (found - kNames.begin());
    if ((named & bit) != 0) {
      return base::InvalidArgument("the require_auth names a method twice");
    }
    named |= bit;
  }
  const uint32_t all = (1u << kServerMethods) - 1;
  if (!whole.empty()) {
    allowed_ = negated ? all & ~named : named;
  }
  text_ = whole;
  return absl::OkStatus();
}

absl::Status ServerAuth::SetChannelBinding(std::string_view text) {
  const absl::StatusOr<size_t> choice = ParseChoice(text, {"disable", "prefer", "require"});
  if (!choice.ok()) {
    return base::InvalidArgument("the channel_binding is not one of disable, prefer, require");
  }
  channel_binding_ = static_cast<ChannelBindingMode>(*choice);
  return absl::OkStatus();
}

}  // namespace config
