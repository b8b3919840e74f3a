#include "pg/startup.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/fault_point.h"
#include "pg/messages.h"

namespace pg {
namespace {

constexpr std::string_view kProtocolViolation = "08P01";
constexpr std::string_view kFeatureNotSupported = "0A000";
constexpr std::string_view kInvalidAuthorization = "28000";
constexpr std::string_view kInvalidParameter = "22023";

StartupResult Bad(StartupError* error, std::string_view sqlstate, std::string message) {
  *error = {.sqlstate = sqlstate, .message = std::move(message), .tell = true};
  return StartupResult::kBad;
}

StartupResult BadSilently(StartupError* error, std::string message) {
  *error = {.sqlstate = kProtocolViolation, .message = std::move(message), .tell = false};
  return StartupResult::kBad;
}

StartupResult BadVersion(StartupError* error, uint32_t version) {
  return Bad(error, kFeatureNotSupported,
             "unsupported frontend protocol " + std::to_string(version >> 16) + "." +
                 std::to_string(version & 0xffff) + ": server supports 3.0 to 3.2");
}

StartupResult ParseCancel(std::string_view packet_bytes, StartupAllowed allowed,
                          StartupPacket* packet, StartupError* error) {
  const size_t length = packet_bytes.size();
  const size_t most = allowed.long_cancel_secrets ? kCancelPacketMax : kCancelPacketBytes;
  if (length < kCancelPacketBytes || length > most) {
    return BadSilently(error, "invalid length of cancel request: " + std::to_string(length));
  }
  packet->kind = StartupKind::kCancelRequest;
  packet->cancel_pid = base::LoadBe32(packet_bytes.data() + 8);
  packet->cancel_secret = packet_bytes.substr(12);
  return StartupResult::kComplete;
}

StartupResult ParseBare(StartupKind kind, std::string_view name, std::string_view packet_bytes,
                        StartupPacket* packet, StartupError* error) {
  if (packet_bytes.size() != kStartupPacketMin) {
    return BadSilently(error, "invalid length of " + std::string(name) + ": " +
                                  std::to_string(packet_bytes.size()));
  }
  packet->kind = kind;
  return StartupResult::kComplete;
}

// Takes the string up to the next NUL off `*rest`; false if there is no NUL.
bool TakeString(std::string_view* rest, std::string_view* text) {
  const size_t end = rest->find('\0');
  if (end == std::string_view::npos) {
    return false;
  }
  *text = rest->substr(0, end);
  rest->remove_prefix(end + 1);
  return true;
}

// `list`: name and value pairs, then one NUL, which must be the last byte: what stands behind it
// could be taken for parameters by somebody else.
StartupResult ParseParameters(std::string_view list, StartupPacket* packet, StartupError* error) {
  bool user_seen = false;
  bool database_seen = false;
  while (!list.empty() && list.front() != '\0') {
    Setting setting;
    if (!TakeString(&list, &setting.name) || !TakeString(&list, &setting.value)) {
      return Bad(error, kProtocolViolation,
                 "invalid startup packet layout: a name or value does not end");
    }
    const bool is_user = setting.name == "user";
    const bool is_database = setting.name == "database";
    if ((is_user && user_seen) || (is_database && database_seen)) {
      return Bad(error, kProtocolViolation,
                 "parameter \"" + std::string(setting.name) + "\" appears twice in startup packet");
    }
    if (is_user) {
      user_seen = true;
      packet->user = setting.value;
    }
    if (is_database) {
      database_seen = true;
      packet->database = setting.value;
    }
    packet->parameters.push_back(setting);
  }
  if (list.size() != 1) {
    return Bad(error, kProtocolViolation,
               "invalid startup packet layout: expected terminator as last byte");
  }
  if (packet->user.empty()) {
    return Bad(error, kInvalidAuthorization,
               "no PostgreSQL user name specified in startup packet");
  }
  return StartupResult::kComplete;
}

StartupResult ParseComplete(std::string_view packet_bytes, StartupAllowed allowed,
                            StartupPacket* packet, StartupError* error) {
  const uint32_t code = base::LoadBe32(packet_bytes.data() + 4);
  if (code == kCancelRequestCode) {
    return ParseCancel(packet_bytes, allowed, packet, error);
  }
  if (code == kSslRequestCode && allowed.ssl_request) {
    return ParseBare(StartupKind::kSslRequest, "SSLRequest", packet_bytes, packet, error);
  }
  if (code == kGssEncRequestCode && allowed.gssenc_request) {
    return ParseBare(StartupKind::kGssEncRequest, "GSSENCRequest", packet_bytes, packet, error);
  }
  // A second SSLRequest ends here as well, as a protocol "1234.5679".
  if (code >> 16 != 3) {
    return BadVersion(error, code);
  }
  packet->kind = StartupKind::kStartupMessage;
  packet->version = code;
  return ParseParameters(packet_bytes.substr(8), packet, error);
}

// isspace() of the C locale, which is what the server splits `options` by.
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Takes the next word; false at the end. A backslash makes the character behind it an ordinary
// one; a lone one at the end stands for nothing.
bool TakeWord(std::string_view* rest, std::string* word) {
  word->clear();
  while (!rest->empty() && IsSpace(rest->front())) {
    rest->remove_prefix(1);
  }
  if (rest->empty()) {
    return false;
  }
  bool escaped = false;
  while (!rest->empty() && (escaped || !IsSpace(rest->front()))) {
    const char c = rest->front();
    rest->remove_prefix(1);
    if (c == '\\' && !escaped) {
      escaped = true;
      continue;
    }
    escaped = false;
    word->push_back(c);
  }
  return true;
}

StartupError OptionError(std::string message) {
  return {.sqlstate = kInvalidParameter, .message = std::move(message), .tell = true};
}

std::optional<StartupError> AddSetting(std::string_view assignment,
                                       std::vector<OptionSetting>* settings) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    return OptionError("setting \"" + std::string(assignment) + "\" in options requires a value");
  }
  if (equals == 0) {
    return OptionError("a setting in options has no name");
  }
  if (settings->size() == kOptionSettingsMax) {
    return OptionError("options has more than " + std::to_string(kOptionSettingsMax) +
                       " settings");
  }
  OptionSetting& setting = settings->emplace_back();
  setting.name = assignment.substr(0, equals);
  setting.value = assignment.substr(equals + 1);
  std::replace(setting.name.begin(), setting.name.end(), '-', '_');
  return std::nullopt;
}

}  // namespace

StartupResult ParseStartup(std::string_view bytes, StartupAllowed allowed, StartupPacket* packet,
                           StartupError* error) {
  if (bytes.size() < 4) {
    return StartupResult::kMore;
  }
  const uint32_t length = base::LoadBe32(bytes.data());
  if (length < kStartupPacketMin ||
      (length > kStartupPacketMax && !HISTORICAL_BUG("a1-start-up-of-any-length"))) {
    return BadSilently(error, "invalid length of startup packet: " + std::to_string(length));
  }
  if (bytes.size() < length) {
    return StartupResult::kMore;
  }
  *packet = StartupPacket();
  packet->length = length;
  return ParseComplete(bytes.substr(0, length), allowed, packet, error);
}

std::optional<StartupError> ParseOptions(std::string_view options,
                                         std::vector<OptionSetting>* settings) {
  settings->clear();
  std::string word;
  while (TakeWord(&options, &word)) {
    std::string_view assignment = word;
    if (word == "-c") {
      if (!TakeWord(&options, &word)) {
        return OptionError("-c in options requires a setting");
      }
      assignment = word;
    } else if (word.size() > 2 && (word.starts_with("--") || word.starts_with("-c"))) {
      assignment.remove_prefix(2);
    } else {
      return OptionError("\"" + word + "\" in options is neither -c name=value nor --name=value");
    }
    std::optional<StartupError> error = AddSetting(assignment, settings);
    if (error.has_value()) {
      return error;
    }
  }
  return std::nullopt;
}

}  // namespace pg
