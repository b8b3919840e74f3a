// RequestParser: HTTP/1.1 requests out of bytes that come in pieces of any size.
//
// Pure: owned by one connection, any thread. What it accepts does not depend on where the pieces
// are cut. It is strict where leniency lets two readers of one stream disagree about where a
// request ends (RFC 9112, 11.2): bare CR or LF, control bytes (tabs too), folded lines, a length
// given twice, with a sign, beside Transfer-Encoding, any transfer coding but `chunked`, chunk
// extensions and trailers are refused.
// Failure: a bad request is a Rejection; nothing behind it is read, the connection must close.
// Bound: ParserLimits; no memory is taken from a declared length.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "http/message.h"

namespace http {

struct ParserLimits {
  uint32_t head_bytes = 8 * 1024;  // request line and fields
  uint32_t fields = 100;
  uint32_t body_bytes = 0;
};

struct Rejection {
  int status = 400;
  std::string_view what;  // static text: what was wrong, without the peer's bytes
};

class RequestParser {
 public:
  enum class Progress : uint8_t {
    kMore,      // all bytes were taken, the request is not complete
    kRequest,   // request() is complete; bytes behind it were left
    kRejected,  // rejection() says why; the parser takes no more
  };

  explicit RequestParser(const ParserLimits& limits);
  ~RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;

  // Takes bytes from the front of `bytes`, up to the end of one request. After kRequest the next
  // call begins the next one.
  Progress Feed(std::string_view* bytes);
  // True exactly when a part of a request was taken.
  bool in_request() const;
  const Request& request() const;
  const Rejection& rejection() const;

 private:
  class Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace http
