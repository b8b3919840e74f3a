// Builders: the messages that pgbraid itself sends, appended to a string.
//
// Pure; any thread. Those that take text or bytes of others give false, and append nothing, if
// the message would be longer than the receiver's limit for its type (all sums are of 64 bits:
// a length that wraps would make the receiver read a body as messages) or if a string holds a NUL
// (the receiver would see another message than was meant). The others cannot fail.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pg/messages.h"
#include "pg/startup.h"

namespace pg {

// -- what a server sends ------------------------------------------------------------------------

inline constexpr std::string_view kParseComplete("1\0\0\0\4", 5);
inline constexpr std::string_view kCloseComplete("3\0\0\0\4", 5);

struct ErrorText {
  std::string_view severity;  // "ERROR", "FATAL", "WARNING", ...
  std::string_view sqlstate;
  std::string_view message;
  std::string_view detail = {};  // left out if empty
  std::string_view hint = {};
  std::string_view routine = {};  // the server's function that would report it
};
inline constexpr size_t kErrorFieldMax = 8192;
// Each field is cut at kErrorFieldMax bytes, and at a NUL: most of it is better than nothing.
void AppendErrorResponse(std::string* to, const ErrorText& text);
void AppendNoticeResponse(std::string* to, const ErrorText& text);
void AppendReadyForQuery(std::string* to, char status);
void AppendAuthenticationOk(std::string* to);
[[nodiscard]] bool AppendCommandComplete(std::string* to, std::string_view tag);
void AppendAuthenticationCleartextPassword(std::string* to);
// `salt`: 4 bytes.
void AppendAuthenticationMd5Password(std::string* to, std::string_view salt);
// `mechanisms` in the order in which they are preferred.
[[nodiscard]] bool AppendAuthenticationSasl(std::string* to,
                                            std::span<const std::string_view> mechanisms);
[[nodiscard]] bool AppendAuthenticationSaslContinue(std::string* to, std::string_view data);
[[nodiscard]] bool AppendAuthenticationSaslFinal(std::string* to, std::string_view data);
// `secret`: 4 bytes in protocol 3.0, up to 256 in 3.2.
[[nodiscard]] bool AppendBackendKeyData(std::string* to, uint32_t pid, std::string_view secret);
[[nodiscard]] bool AppendParameterStatus(std::string* to, std::string_view name,
                                         std::string_view value);
// `newest`: the newest minor version spoken; `unknown`: the `_pq_.` options not understood.
[[nodiscard]] bool AppendNegotiateProtocolVersion(std::string* to, uint32_t newest,
                                                  std::span<const std::string_view> unknown);

// -- what a client sends ------------------------------------------------------------------------

[[nodiscard]] bool AppendQuery(std::string* to, std::string_view text);
[[nodiscard]] bool AppendParse(std::string* to, std::string_view name, std::string_view text,
                               std::span<const uint32_t> types);

struct BindMessage {
  std::string_view portal = {};
  std::string_view statement = {};
  std::span<const uint16_t> formats = {};  // none, one for all, or one each
  std::span<const std::optional<std::string_view>> parameters = {};  // nothing: NULL
  std::span<const uint16_t> result_formats = {};
};
[[nodiscard]] bool AppendBind(std::string* to, const BindMessage& bind);
// `kind`: 'S' a prepared statement, 'P' a portal.
[[nodiscard]] bool AppendDescribe(std::string* to, char kind, std::string_view name);
[[nodiscard]] bool AppendClose(std::string* to, char kind, std::string_view name);
[[nodiscard]] bool AppendExecute(std::string* to, std::string_view portal, uint32_t row_limit);
void AppendSync(std::string* to);
void AppendFlush(std::string* to);
void AppendTerminate(std::string* to);
[[nodiscard]] bool AppendPasswordMessage(std::string* to, std::string_view password);
[[nodiscard]] bool AppendSaslInitialResponse(std::string* to, std::string_view mechanism,
                                             std::string_view response);
[[nodiscard]] bool AppendSaslResponse(std::string* to, std::string_view response);
// `version`: kProtocol30, ...; `parameters` in the order in which they are to be sent.
[[nodiscard]] bool AppendStartupMessage(std::string* to, uint32_t version,
                                        std::span<const Setting> parameters);
[[nodiscard]] bool AppendCancelRequest(std::string* to, uint32_t pid, std::string_view secret);
void AppendSslRequest(std::string* to);
void AppendGssEncRequest(std::string* to);

// -- COPY, both ways ----------------------------------------------------------------------------

[[nodiscard]] bool AppendCopyData(std::string* to, std::string_view bytes);
void AppendCopyDone(std::string* to);
[[nodiscard]] bool AppendCopyFail(std::string* to, std::string_view reason);

}  // namespace pg
