// Status macros, and the one place where abseil's string_view meets std::string_view.
//
// Debian's abseil has a string_view of its own, newer ones alias std::string_view: text crosses
// over only through Error() and Message(), so that the code compiles with both.
// The macros are statements, never expressions (GCC 12.2 miscompiles the expression form in
// coroutines); the CO_ forms are for coroutines.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace base {

inline absl::Status Error(absl::StatusCode code, std::string_view message) {
  return absl::Status(code, absl::string_view(message.data(), message.size()));
}
inline absl::Status InvalidArgument(std::string_view message) {
  return Error(absl::StatusCode::kInvalidArgument, message);
}
inline absl::Status Unavailable(std::string_view message) {
  return Error(absl::StatusCode::kUnavailable, message);
}
inline absl::Status DeadlineExceeded(std::string_view message) {
  return Error(absl::StatusCode::kDeadlineExceeded, message);
}
inline absl::Status Cancelled(std::string_view message) {
  return Error(absl::StatusCode::kCancelled, message);
}
inline absl::Status ResourceExhausted(std::string_view message) {
  return Error(absl::StatusCode::kResourceExhausted, message);
}
inline absl::Status PermissionDenied(std::string_view message) {
  return Error(absl::StatusCode::kPermissionDenied, message);
}
inline absl::Status DataLoss(std::string_view message) {
  return Error(absl::StatusCode::kDataLoss, message);
}
inline absl::Status Internal(std::string_view message) {
  return Error(absl::StatusCode::kInternal, message);
}

inline std::string_view Message(const absl::Status& status) {
  const auto text = status.message();
  return std::string_view(text.data(), text.size());
}

// "what: strerror(error)"; code kUnavailable.
absl::Status ErrnoError(std::string_view what, int error);

}  // namespace base

#define BASE_STATUS_CONCAT_(a, b) a##b
#define BASE_STATUS_NAME_(a, b) BASE_STATUS_CONCAT_(a, b)

#define RETURN_IF_ERROR(expression)                      \
  do {                                                   \
    absl::Status status_macro_value = (expression);      \
    if (!status_macro_value.ok()) {                      \
      return status_macro_value;                         \
    }                                                    \
  } while (false)

#define ASSIGN_OR_RETURN(target, expression)                                     \
  auto BASE_STATUS_NAME_(status_or_, __LINE__) = (expression);                   \
  if (!BASE_STATUS_NAME_(status_or_, __LINE__).ok()) {                           \
    return BASE_STATUS_NAME_(status_or_, __LINE__).status();                     \
  }                                                                              \
  target = *std::move(BASE_STATUS_NAME_(status_or_, __LINE__))

// In coroutines the awaited value is assigned to a named local first:
//   absl::Status sent = co_await stream.Flush(deadline);
//   CO_RETURN_IF_ERROR(sent);
#define CO_RETURN_IF_ERROR(expression)                   \
  do {                                                   \
    absl::Status status_macro_value = (expression);      \
    if (!status_macro_value.ok()) {                      \
      co_return status_macro_value;                      \
    }                                                    \
  } while (false)
