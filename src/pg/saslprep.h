// SASLprep (RFC 4013) as PostgreSQL applies it to a password before SCRAM: two ways to type the
// same characters become one.
//
// Pure; any thread; libidn's tables (Unicode 3.2, as the RFC says). It does not fail: like
// PostgreSQL's, and libpq's, it leaves a password as it is that is ASCII only, is no valid UTF-8,
// or holds what the RFC forbids; prohibited are characters before they are normalised, as there.
// Bound: a password of more than kSaslPrepMax bytes is left as it is, if it is not ASCII, because
// normalising takes time in the square of the length, and who is not logged in may ask for it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pg {

inline constexpr size_t kSaslPrepMax = 8 * 1024;

std::string SaslPrep(std::string_view password);

}  // namespace pg
