// HeadScanner: finds the end of a request's head byte by byte and refuses what no honest client
// sends, before a parser sees it.
//
// Pure; owned by a RequestParser. Each byte is judged when it comes, so that a refusal does not
// depend on how the bytes were cut, and so that another protocol's bytes are refused at once.
#pragma once

#include <cstdint>
#include <string_view>

#include "http/request_parser.h"

namespace http {

class HeadScanner {
 public:
  enum class Verdict : uint8_t { kMore, kEnd, kRejected };
  explicit HeadScanner(const ParserLimits& limits) : limits_(limits) {}

  Verdict Take(char byte);
  uint32_t taken() const { return taken_; }
  const Rejection& rejection() const { return rejection_; }

 private:
  Verdict Reject(int status, std::string_view what);
  Verdict EndLine();

  const ParserLimits limits_;
  Rejection rejection_;
  uint32_t taken_ = 0;
  uint32_t line_bytes_ = 0;  // of the current line, without its end
  uint32_t lines_ = 0;       // that have ended
  bool after_cr_ = false;
};

}  // namespace http
