#include "pg/views.h"

#include <algorithm>

#include "pg/body_reader.h"

namespace pg {
namespace {

// One string and nothing behind it.
std::optional<std::string_view> ReadOneString(std::string_view body) {
  BodyReader reader(body);
  const std::string_view text = reader.String();
  if (!reader.done()) {
    return std::nullopt;
  }
  return text;
}

}  // namespace

std::optional<std::string_view> ReadQuery(std::string_view body) { return ReadOneString(body); }

std::optional<ParseView> ReadParse(std::string_view body) {
  BodyReader reader(body);
  ParseView view;
  view.name = reader.String();
  view.text = reader.String();
  view.type_count = reader.Be16();
  view.types = reader.Bytes(uint64_t{view.type_count} * 4);
  if (!reader.done()) {
    return std::nullopt;
  }
  return view;
}

std::optional<BindView> ReadBind(std::string_view body) {
  BodyReader reader(body);
  BindView view;
  view.portal = reader.String();
  view.statement = reader.String();
  view.format_count = reader.Be16();
  view.formats = reader.Bytes(uint64_t{view.format_count} * 2);
  view.parameter_count = reader.Be16();
  // A value takes four bytes at least: a count that cannot be true ends here, before the loop.
  if (reader.failed() || uint64_t{view.parameter_count} * 4 > reader.rest().size()) {
    return std::nullopt;
  }
  std::string_view rest = reader.rest();
  for (uint32_t i = 0; i < view.parameter_count; ++i) {
    if (!NextValue(&rest).has_value()) {
      return std::nullopt;
    }
  }
  view.parameters = reader.Bytes(reader.rest().size() - rest.size());
  view.result_format_count = reader.Be16();
  view.result_formats = reader.Bytes(uint64_t{view.result_format_count} * 2);
  if (!reader.done()) {
    return std::nullopt;
  }
  return view;
}

std::optional<Value> NextValue(std::string_view* rest) {
  BodyReader reader(*rest);
  const uint32_t length = reader.Be32();
  if (reader.failed()) {
    return std::nullopt;
  }
  Value value;
  if (length == UINT32_MAX) {
    value.null = true;
  } else {
    value.bytes = reader.Bytes(length);  // -2 and the like are longer than any body
  }
  if (reader.failed()) {
    return std::nullopt;
  }
  *rest = reader.rest();
  return value;
}

// The count is not believed: each value has bytes of its own.
std::optional<std::vector<Value>> ReadDataRow(std::string_view body) {
  BodyReader reader(body);
  const uint16_t count = reader.Be16();
  std::string_view rest = reader.rest();
  std::vector<Value> values;
  while (!reader.failed() && !rest.empty() && values.size() < count) {
    const std::optional<Value> value = NextValue(&rest);
    if (!value.has_value()) {
      return std::nullopt;
    }
    values.push_back(*value);
  }
  if (reader.failed() || !rest.empty() || values.size() != count) {
    return std::nullopt;
  }
  return values;
}

std::optional<ExecuteView> ReadExecute(std::string_view body) {
  BodyReader reader(body);
  ExecuteView view;
  view.portal = reader.String();
  view.row_limit = reader.Be32();
  if (!reader.done()) {
    return std::nullopt;
  }
  return view;
}

std::optional<TargetView> ReadTarget(std::string_view body) {
  BodyReader reader(body);
  TargetView view;
  view.kind = static_cast<char>(reader.Byte());
  view.name = reader.String();
  if (!reader.done() || (view.kind != 'S' && view.kind != 'P')) {
    return std::nullopt;
  }
  return view;
}

std::optional<std::string_view> ReadCommandTag(std::string_view body) {
  return ReadOneString(body);
}

ErrorView ReadError(std::string_view body) {
  ErrorView view;
  std::string_view localised;
  while (!body.empty() && body.front() != '\0') {
    const char field = body.front();
    const std::string_view text = body.substr(1, body.find('\0') - 1);
    body.remove_prefix(std::min(body.size(), text.size() + 2));
    switch (field) {
      case 'S':
        localised = text;
        break;
      case 'V':
        view.severity = text;
        break;
      case 'C':
        view.sqlstate = text;
        break;
      case 'M':
        view.message = text;
        break;
      case 'D':
        view.detail = text;
        break;
      case 'H':
        view.hint = text;
        break;
      case 'R':
        view.routine = text;
        break;
      default:
        break;  // the manual: unknown fields are to be ignored
    }
  }
  if (view.severity.empty()) {
    view.severity = localised;
  }
  return view;
}

std::optional<char> ReadReadyStatus(std::string_view body) {
  if (body != "I" && body != "T" && body != "E") {
    return std::nullopt;
  }
  return body[0];
}

std::optional<BackendKeyView> ReadBackendKey(std::string_view body) {
  BodyReader reader(body);
  BackendKeyView view;
  view.pid = reader.Be32();
  view.secret = reader.rest();
  if (reader.failed() || view.secret.size() < 4 || view.secret.size() > 256) {
    return std::nullopt;
  }
  return view;
}

std::optional<ParameterStatusView> ReadParameterStatus(std::string_view body) {
  BodyReader reader(body);
  ParameterStatusView view;
  view.name = reader.String();
  view.value = reader.String();
  if (!reader.done()) {
    return std::nullopt;
  }
  return view;
}

std::optional<AuthenticationView> ReadAuthentication(std::string_view body) {
  BodyReader reader(body);
  AuthenticationView view;
  view.code = static_cast<AuthenticationCode>(reader.Be32());
  view.data = reader.rest();
  if (reader.failed()) {
    return std::nullopt;
  }
  switch (view.code) {
    case AuthenticationCode::kMd5Password:
      return view.data.size() == 4 ? std::optional(view) : std::nullopt;
    case AuthenticationCode::kOk:
    case AuthenticationCode::kKerberosV5:
    case AuthenticationCode::kCleartextPassword:
    case AuthenticationCode::kGss:
    case AuthenticationCode::kSspi:
      return view.data.empty() ? std::optional(view) : std::nullopt;
    case AuthenticationCode::kGssContinue:
    case AuthenticationCode::kSasl:
    case AuthenticationCode::kSaslContinue:
    case AuthenticationCode::kSaslFinal:
      return view;
  }
  return view;  // a code we do not know: the caller names it in its error
}

std::optional<std::string_view> ReadPassword(std::string_view body) {
  BodyReader reader(body);
  const std::string_view password = reader.String();
  return reader.done() ? std::optional(password) : std::nullopt;
}

std::optional<SaslInitialView> ReadSaslInitialResponse(std::string_view body) {
  BodyReader reader(body);
  SaslInitialView view;
  view.mechanism = reader.String();
  const uint32_t length = reader.Be32();
  if (length != UINT32_MAX) {  // -1: no response
    view.response = reader.Bytes(length);
  }
  return reader.done() ? std::optional(view) : std::nullopt;
}

std::optional<std::vector<std::string_view>> ReadSaslMechanisms(std::string_view data) {
  BodyReader reader(data);
  std::vector<std::string_view> mechanisms;
  for (;;) {
    const std::string_view name = reader.String();
    if (reader.failed()) {
      return std::nullopt;
    }
    if (name.empty()) {
      break;
    }
    if (mechanisms.size() == kSaslMechanismsMax) {
      return std::nullopt;
    }
    mechanisms.push_back(name);
  }
  if (!reader.done()) {
    return std::nullopt;
  }
  return mechanisms;
}

}  // namespace pg
