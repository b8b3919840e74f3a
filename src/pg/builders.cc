#include "pg/builders.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "base/fault_point.h"
#include "pg/frame_rules.h"

namespace pg {
namespace {

constexpr uint64_t kCountMax = UINT16_MAX;

// Type byte and length; false if the receiver would refuse the length. Everything that follows is
// exactly `body_bytes` long.
bool AppendHeader(std::string* to, Side side, char type, uint64_t body_bytes) {
  const uint64_t length = body_bytes + 4;
  if (length > RulesOf(side)[static_cast<unsigned char>(type)].length_max) {
    return false;
  }
  to->reserve(to->size() + static_cast<size_t>(length) + 1);
  to->push_back(type);
  base::AppendBe32(to, static_cast<uint32_t>(length));
  return true;
}

bool AppendHeader(std::string* to, FrontendType type, uint64_t body_bytes) {
  return AppendHeader(to, Side::kFrontend, static_cast<char>(type), body_bytes);
}

bool AppendHeader(std::string* to, BackendType type, uint64_t body_bytes) {
  return AppendHeader(to, Side::kBackend, static_cast<char>(type), body_bytes);
}

// A message without a body.
void AppendBare(std::string* to, char type) {
  to->push_back(type);
  base::AppendBe32(to, 4);
}

void AppendString(std::string* to, std::string_view text) {
  to->append(text);
  to->push_back('\0');
}

// How many bytes AppendString() takes. Lengths are judged before a byte is looked at.
uint64_t StringBytes(std::string_view text) { return uint64_t{text.size()} + 1; }

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

bool TooLong(std::string_view text) { return text.size() > kLargeMessageLimit; }

// One string, nothing else.
template <typename Type>
bool AppendText(std::string* to, Type type, std::string_view text) {
  if (TooLong(text) || HasNul(text) || !AppendHeader(to, type, StringBytes(text))) {
    return false;
  }
  AppendString(to, text);
  return true;
}

template <typename Type>
bool AppendBytes(std::string* to, Type type, std::string_view bytes) {
  if (!AppendHeader(to, type, bytes.size())) {
    return false;
  }
  to->append(bytes);
  return true;
}

bool AppendTarget(std::string* to, FrontendType type, char kind, std::string_view name) {
  CHECK(kind == 'S' || kind == 'P');
  if (TooLong(name) || HasNul(name) || !AppendHeader(to, type, 1 + StringBytes(name))) {
    return false;
  }
  to->push_back(kind);
  AppendString(to, name);
  return true;
}

void AppendErrorFields(std::string* to, BackendType type, const ErrorText& text) {
  std::string body;
  const auto add = [&body](char field, std::string_view value) {
    value = value.substr(0, std::min(value.find('\0'), kErrorFieldMax));
    if (!value.empty()) {
      body.push_back(field);
      AppendString(&body, value);
    }
  };
  add('S', text.severity);
  add('V', text.severity);
  add('C', text.sqlstate);
  add('M', text.message);
  add('D', text.detail);
  add('H', text.hint);
  add('R', text.routine);
  body.push_back('\0');
  CHECK(AppendBytes(to, type, body));  // seven bounded fields
}

// A packet of the start-up phase: a length and no type.
void AppendUntyped(std::string* to, uint32_t code, std::string_view body) {
  base::AppendBe32(to, static_cast<uint32_t>(8 + body.size()));
  base::AppendBe32(to, code);
  to->append(body);
}

// Bytes of the body of `bind`, or nothing if a count does not fit into 16 bits or the sum is too
// long for a Bind.
std::optional<uint64_t> BindBytes(const BindMessage& bind) {
  if (bind.formats.size() > kCountMax || bind.parameters.size() > kCountMax ||
      bind.result_formats.size() > kCountMax) {
    return std::nullopt;
  }
  uint64_t bytes = StringBytes(bind.portal) + StringBytes(bind.statement) + 6;
  bytes += 2 * (uint64_t{bind.formats.size()} + bind.result_formats.size());
  for (const std::optional<std::string_view>& parameter : bind.parameters) {
    bytes += 4;
    if (parameter.has_value()) {
      bytes += parameter->size();
    }
    if (bytes > kLargeMessageLimit) {  // before the sum of 65535 of them can wrap even 64 bits
      return std::nullopt;
    }
  }
  return bytes;
}

void AppendCounted(std::string* to, std::span<const uint16_t> numbers) {
  base::AppendBe16(to, static_cast<uint16_t>(numbers.size()));
  for (const uint16_t number : numbers) {
    base::AppendBe16(to, number);
  }
}

bool AppendAuthentication(std::string* to, AuthenticationCode code, std::string_view data) {
  if (!AppendHeader(to, BackendType::kAuthentication, 4 + data.size())) {
    return false;
  }
  base::AppendBe32(to, static_cast<uint32_t>(code));
  to->append(data);
  return true;
}

}  // namespace

void AppendErrorResponse(std::string* to, const ErrorText& text) {
  AppendErrorFields(to, BackendType::kErrorResponse, text);
}

void AppendNoticeResponse(std::string* to, const ErrorText& text) {
  AppendErrorFields(to, BackendType::kNoticeResponse, text);
}

void AppendReadyForQuery(std::string* to, char status) {
  CHECK(status == 'I' || status == 'T' || status == 'E');
  CHECK(AppendBytes(to, BackendType::kReadyForQuery, std::string_view(&status, 1)));
}

void AppendAuthenticationOk(std::string* to) {
  CHECK(AppendHeader(to, BackendType::kAuthentication, 4));
  base::AppendBe32(to, static_cast<uint32_t>(AuthenticationCode::kOk));
}

bool AppendCommandComplete(std::string* to, std::string_view tag) {
  if (HasNul(tag) || !AppendHeader(to, BackendType::kCommandComplete, tag.size() + 1)) {
    return false;
  }
  AppendString(to, tag);
  return true;
}

void AppendAuthenticationCleartextPassword(std::string* to) {
  CHECK(AppendAuthentication(to, AuthenticationCode::kCleartextPassword, ""));
}

void AppendAuthenticationMd5Password(std::string* to, std::string_view salt) {
  CHECK(salt.size() == 4);
  CHECK(AppendAuthentication(to, AuthenticationCode::kMd5Password, salt));
}

bool AppendAuthenticationSasl(std::string* to, std::span<const std::string_view> mechanisms) {
  std::string list;
  for (const std::string_view mechanism : mechanisms) {
    if (mechanism.empty() || mechanism.find('\0') != std::string_view::npos) {
      return false;
    }
    list += mechanism;
    list += '\0';
  }
  list += '\0';
  return AppendAuthentication(to, AuthenticationCode::kSasl, list);
}

bool AppendAuthenticationSaslContinue(std::string* to, std::string_view data) {
  return AppendAuthentication(to, AuthenticationCode::kSaslContinue, data);
}

bool AppendAuthenticationSaslFinal(std::string* to, std::string_view data) {
  return AppendAuthentication(to, AuthenticationCode::kSaslFinal, data);
}

bool AppendBackendKeyData(std::string* to, uint32_t pid, std::string_view secret) {
  if (secret.size() < 4 || !AppendHeader(to, BackendType::kBackendKeyData, 4 + secret.size())) {
    return false;
  }
  base::AppendBe32(to, pid);
  to->append(secret);
  return true;
}

bool AppendParameterStatus(std::string* to, std::string_view name, std::string_view value) {
  if (TooLong(name) || TooLong(value) || HasNul(name) || HasNul(value) ||
      !AppendHeader(to, BackendType::kParameterStatus, StringBytes(name) + StringBytes(value))) {
    return false;
  }
  AppendString(to, name);
  AppendString(to, value);
  return true;
}

bool AppendNegotiateProtocolVersion(std::string* to, uint32_t newest,
                                    std::span<const std::string_view> unknown) {
  std::string body;
  base::AppendBe32(&body, newest);
  base::AppendBe32(&body, static_cast<uint32_t>(unknown.size()));
  for (const std::string_view option : unknown) {
    if (body.size() + StringBytes(option) > kShortReplyLimit || HasNul(option)) {
      return false;
    }
    AppendString(&body, option);
  }
  return AppendBytes(to, BackendType::kNegotiateProtocolVersion, body);
}

bool AppendQuery(std::string* to, std::string_view text) {
  return AppendText(to, FrontendType::kQuery, text);
}

bool AppendParse(std::string* to, std::string_view name, std::string_view text,
                 std::span<const uint32_t> types) {
  if (types.size() > kCountMax || TooLong(name) || TooLong(text) || HasNul(name) ||
      HasNul(text)) {
    return false;
  }
  const uint64_t bytes = StringBytes(name) + StringBytes(text) + 2 + 4 * uint64_t{types.size()};
  if (!AppendHeader(to, FrontendType::kParse, bytes)) {
    return false;
  }
  AppendString(to, name);
  AppendString(to, text);
  base::AppendBe16(to, static_cast<uint16_t>(types.size()));
  for (const uint32_t type : types) {
    base::AppendBe32(to, type);
  }
  return true;
}

bool AppendBind(std::string* to, const BindMessage& bind) {
  const std::optional<uint64_t> bytes = BindBytes(bind);
  if (!bytes.has_value() || *bytes > kLargeMessageLimit || HasNul(bind.portal) ||
      HasNul(bind.statement) || !AppendHeader(to, FrontendType::kBind, *bytes)) {
    return false;
  }
  AppendString(to, bind.portal);
  AppendString(to, bind.statement);
  AppendCounted(to, bind.formats);
  base::AppendBe16(to, static_cast<uint16_t>(bind.parameters.size()));
  for (const std::optional<std::string_view>& parameter : bind.parameters) {
    base::AppendBe32(to, parameter.has_value() ? static_cast<uint32_t>(parameter->size())
                                               : UINT32_MAX);
    to->append(parameter.value_or(std::string_view()));
  }
  AppendCounted(to, bind.result_formats);
  return true;
}

bool AppendDescribe(std::string* to, char kind, std::string_view name) {
  return AppendTarget(to, FrontendType::kDescribe, kind, name);
}

bool AppendClose(std::string* to, char kind, std::string_view name) {
  return AppendTarget(to, FrontendType::kClose, kind, name);
}

bool AppendExecute(std::string* to, std::string_view portal, uint32_t row_limit) {
  if (TooLong(portal) || HasNul(portal) ||
      !AppendHeader(to, FrontendType::kExecute, StringBytes(portal) + 4)) {
    return false;
  }
  AppendString(to, portal);
  base::AppendBe32(to, row_limit);
  return true;
}

void AppendSync(std::string* to) { AppendBare(to, static_cast<char>(FrontendType::kSync)); }

void AppendFlush(std::string* to) { AppendBare(to, static_cast<char>(FrontendType::kFlush)); }

void AppendTerminate(std::string* to) {
  AppendBare(to, static_cast<char>(FrontendType::kTerminate));
}

bool AppendPasswordMessage(std::string* to, std::string_view password) {
  return AppendText(to, FrontendType::kPassword, password);
}

bool AppendSaslInitialResponse(std::string* to, std::string_view mechanism,
                               std::string_view response) {
  if (TooLong(mechanism) || TooLong(response) || HasNul(mechanism) ||
      !AppendHeader(to, FrontendType::kPassword,
                    StringBytes(mechanism) + 4 + uint64_t{response.size()})) {
    return false;
  }
  AppendString(to, mechanism);
  base::AppendBe32(to, static_cast<uint32_t>(response.size()));
  to->append(response);
  return true;
}

bool AppendSaslResponse(std::string* to, std::string_view response) {
  return AppendBytes(to, FrontendType::kPassword, response);
}

bool AppendStartupMessage(std::string* to, uint32_t version,
                          std::span<const Setting> parameters) {
  std::string body;
  for (const Setting& parameter : parameters) {
    const uint64_t bytes = StringBytes(parameter.name) + StringBytes(parameter.value);
    // An empty name would end the list for the receiver.
    if (parameter.name.size() > kStartupPacketMax || parameter.value.size() > kStartupPacketMax ||
        parameter.name.empty() || HasNul(parameter.name) ||
        (HasNul(parameter.value) && !HISTORICAL_BUG("a8-nul-in-a-start-up-value")) ||
        8 + body.size() + bytes + 1 > kStartupPacketMax) {
      return false;
    }
    AppendString(&body, parameter.name);
    AppendString(&body, parameter.value);
  }
  body.push_back('\0');
  AppendUntyped(to, version, body);
  return true;
}

bool AppendCancelRequest(std::string* to, uint32_t pid, std::string_view secret) {
  if (secret.size() < 4 || 12 + secret.size() > kCancelPacketMax) {
    return false;
  }
  std::string body;
  base::AppendBe32(&body, pid);
  body.append(secret);
  AppendUntyped(to, kCancelRequestCode, body);
  return true;
}

void AppendSslRequest(std::string* to) { AppendUntyped(to, kSslRequestCode, {}); }

void AppendGssEncRequest(std::string* to) { AppendUntyped(to, kGssEncRequestCode, {}); }

bool AppendCopyData(std::string* to, std::string_view bytes) {
  return AppendBytes(to, FrontendType::kCopyData, bytes);
}

void AppendCopyDone(std::string* to) {
  AppendBare(to, static_cast<char>(FrontendType::kCopyDone));
}

bool AppendCopyFail(std::string* to, std::string_view reason) {
  return AppendText(to, FrontendType::kCopyFail, reason);
}

}  // namespace pg
