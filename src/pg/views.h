// Views of message bodies: what the proxy reads of them, checked against the body's end.
//
// Pure; any thread. Each Read...() takes a whole body (Piece::body of a whole piece) and gives
// views into it, or nothing if the body is not laid out as the manual's "Message Formats" says:
// a string without NUL, a count larger than the bytes, bytes left over. What the layout allows and
// the server may still refuse (an unknown format code) is no business of a view.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "pg/messages.h"

namespace pg {

// Query: the text.
std::optional<std::string_view> ReadQuery(std::string_view body);

struct ParseView {
  std::string_view name;
  std::string_view text;
  uint16_t type_count = 0;
  std::string_view types;  // type_count OIDs, 4 bytes each, big-endian
};
std::optional<ParseView> ReadParse(std::string_view body);

struct BindView {
  std::string_view portal;
  std::string_view statement;
  uint16_t format_count = 0;
  std::string_view formats;  // 2 bytes each
  uint16_t parameter_count = 0;
  std::string_view parameters;  // length (-1: NULL) and value each, for NextValue()
  uint16_t result_format_count = 0;
  std::string_view result_formats;  // 2 bytes each
};
std::optional<BindView> ReadBind(std::string_view body);

// The OIDs of types that users have made begin here; another server has others for them.
inline constexpr uint32_t kFirstOwnType = 16384;

// A value of a Bind or DataRow, with its length in front. Nothing: it does not fit.
struct Value {
  bool null = false;
  std::string_view bytes;
  bool operator==(const Value&) const = default;
};
std::optional<Value> NextValue(std::string_view* rest);
// Those of a DataRow's body. Nothing: it is not laid out as one.
std::optional<std::vector<Value>> ReadDataRow(std::string_view body);

struct ExecuteView {
  std::string_view portal;
  uint32_t row_limit = 0;  // 0: no limit
};
std::optional<ExecuteView> ReadExecute(std::string_view body);

// Describe and Close.
struct TargetView {
  char kind = 0;  // 'S': prepared statement, 'P': portal
  std::string_view name;
};
std::optional<TargetView> ReadTarget(std::string_view body);

// CommandComplete: the tag.
std::optional<std::string_view> ReadCommandTag(std::string_view body);

// ErrorResponse and NoticeResponse. Tolerant: what is missing is empty, an end cut off is an end.
struct ErrorView {
  std::string_view severity;  // V, not localised; S where the server sends no V
  std::string_view sqlstate;
  std::string_view message;
  std::string_view detail;
  std::string_view hint;
  std::string_view routine;  // the server's function that reported it: not localised
};
ErrorView ReadError(std::string_view body);

// ReadyForQuery: 'I', 'T' or 'E'; nothing for any other status.
std::optional<char> ReadReadyStatus(std::string_view body);

struct BackendKeyView {
  uint32_t pid = 0;
  std::string_view secret;  // 4 to 256 bytes
};
std::optional<BackendKeyView> ReadBackendKey(std::string_view body);

struct ParameterStatusView {
  std::string_view name;
  std::string_view value;
};
std::optional<ParameterStatusView> ReadParameterStatus(std::string_view body);

struct AuthenticationView {
  AuthenticationCode code = AuthenticationCode::kOk;
  // MD5Password: the salt, 4 bytes. SASLContinue, SASLFinal: the mechanism's text. GSSContinue:
  // its token. SASL: the list for ReadSaslMechanisms(). Otherwise empty.
  std::string_view data;
};
std::optional<AuthenticationView> ReadAuthentication(std::string_view body);

// PasswordMessage: the password, or the answer to an md5 request.
std::optional<std::string_view> ReadPassword(std::string_view body);

struct SaslInitialView {
  std::string_view mechanism;
  std::string_view response;  // empty as well if the client sent none
};
std::optional<SaslInitialView> ReadSaslInitialResponse(std::string_view body);

inline constexpr size_t kSaslMechanismsMax = 32;
// In the server's order. Nothing if the list does not end or is longer than the bound.
std::optional<std::vector<std::string_view>> ReadSaslMechanisms(std::string_view data);

}  // namespace pg
