// The message types of protocol 3.0 and 3.2 by the names of the PostgreSQL manual ("Message
// Formats"), and the numbers that stand in their bodies. Constants only, for any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "pg/frame.h"

namespace pg {

enum class FrontendType : char {
  kBind = 'B',
  kClose = 'C',
  kCopyData = 'd',
  kCopyDone = 'c',
  kCopyFail = 'f',
  kDescribe = 'D',
  kExecute = 'E',
  kFlush = 'H',
  kFunctionCall = 'F',
  kParse = 'P',
  // PasswordMessage, SASLInitialResponse, SASLResponse or GSSResponse: the authentication request
  // that it answers tells which.
  kPassword = 'p',
  kQuery = 'Q',
  kSync = 'S',
  kTerminate = 'X',
};

enum class BackendType : char {
  kAuthentication = 'R',
  kBackendKeyData = 'K',
  kBindComplete = '2',
  kCloseComplete = '3',
  kCommandComplete = 'C',
  kCopyBothResponse = 'W',
  kCopyData = 'd',
  kCopyDone = 'c',
  kCopyInResponse = 'G',
  kCopyOutResponse = 'H',
  kDataRow = 'D',
  kEmptyQueryResponse = 'I',
  kErrorResponse = 'E',
  kFunctionCallResponse = 'V',
  kNegotiateProtocolVersion = 'v',
  kNoData = 'n',
  kNoticeResponse = 'N',
  kNotificationResponse = 'A',
  kParameterDescription = 't',
  kParameterStatus = 'S',
  kParseComplete = '1',
  kPortalSuspended = 's',
  kReadyForQuery = 'Z',
  kRowDescription = 'T',
};

// What an Authentication message asks for.
enum class AuthenticationCode : uint32_t {
  kOk = 0,
  kKerberosV5 = 2,
  kCleartextPassword = 3,
  kMd5Password = 5,
  kGss = 7,
  kGssContinue = 8,
  kSspi = 9,
  kSasl = 10,
  kSaslContinue = 11,
  kSaslFinal = 12,
};

inline constexpr uint32_t kProtocol30 = 3u << 16;
inline constexpr uint32_t kProtocol32 = 3u << 16 | 2;
// These stand where a StartupMessage has its version.
inline constexpr uint32_t kCancelRequestCode = 1234u << 16 | 5678;
inline constexpr uint32_t kSslRequestCode = 1234u << 16 | 5679;
inline constexpr uint32_t kGssEncRequestCode = 1234u << 16 | 5680;

// For logs and traces: "Query", "ReadyForQuery", ...; "unknown" for what is no type of that side.
std::string_view Name(Side side, char type);
// "AuthenticationOk", ...; "unknown" for a code that the manual does not have.
std::string_view Name(AuthenticationCode code);

}  // namespace pg
