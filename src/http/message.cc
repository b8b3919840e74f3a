#include "http/message.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>

namespace http {
namespace {

namespace beast = boost::beast;

beast::string_view View(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string_view Request::path() const {
  std::string_view path = target;
  constexpr std::string_view kScheme = "http://";
  if (path.starts_with(kScheme)) {
    path.remove_prefix(kScheme.size());
    const size_t slash = path.find('/');
    path = slash == std::string_view::npos ? "/" : path.substr(slash);
  }
  return path.substr(0, path.find('?'));
}

std::string Serialise(const Response& response) {
  constexpr unsigned kHttp11 = 11;
  beast::http::response<beast::http::string_body> message(
      static_cast<beast::http::status>(response.status), kHttp11, response.body);
  message.set(beast::http::field::content_type, View(response.content_type));
  message.set(beast::http::field::cache_control, "no-store");
  if (!response.allow.empty()) {
    message.set(beast::http::field::allow, View(response.allow));
  }
  message.keep_alive(response.keep_alive);
  message.prepare_payload();
  beast::http::response_serializer<beast::http::string_body> serialiser(message);
  serialiser.split(true);  // the head first, so that HEAD can stop behind it
  std::string bytes;
  while (!serialiser.is_done() && !(response.head_only && serialiser.is_header_done())) {
    beast::error_code error;
    serialiser.next(error, [&](beast::error_code&, const auto& buffers) {
      bytes += beast::buffers_to_string(buffers);
      serialiser.consume(beast::buffer_bytes(buffers));
    });
  }
  return bytes;
}

}  // namespace http
