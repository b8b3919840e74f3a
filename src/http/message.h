// Request and Response: HTTP/1.1 messages as plain values, and how a response becomes bytes.
//
// Pure: owned by whoever made them, any thread. A request's size is bounded by the parser that
// made it (request_parser.h); a response is as large as its maker's body.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace http {

struct Field {
  std::string name;  // as sent
  std::string value;
};

struct Request {
  std::string method;  // as sent: methods are case-sensitive (RFC 9110, 9.1)
  std::string target;  // as sent
  std::vector<Field> fields;
  std::string body;
  bool keep_alive = false;  // true exactly when another request may follow

  // The target without its query and, for a target in absolute form, without scheme and host.
  std::string_view path() const;
};

struct Response {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string_view allow = {};  // the Allow field; left out if empty
  std::string body = {};
  bool keep_alive = false;
  bool head_only = false;  // the answer to HEAD: every field of the body, but not the body
};

// The bytes to send. Texts of `response` are ours, never a peer's: they are not escaped.
std::string Serialise(const Response& response);

}  // namespace http
