#include "http/message.h"

#include "gtest/gtest.h"

namespace http {
namespace {

std::string PathOf(const std::string& target) {
  Request request;
  request.target = target;
  return std::string(request.path());
}

TEST(RequestPath, LeavesQuerySchemeAndHostOut) {
  EXPECT_EQ(PathOf("/metrics"), "/metrics");
  EXPECT_EQ(PathOf("/metrics?a=b?c"), "/metrics");
  EXPECT_EQ(PathOf("http://localhost:9187/livez?x"), "/livez");
  EXPECT_EQ(PathOf("http://localhost:9187"), "/");
  EXPECT_EQ(PathOf("*"), "*");
  EXPECT_EQ(PathOf("?"), "");
}

TEST(Serialise, WritesStatusFieldsAndBody) {
  const Response response{.body = "ok\n", .keep_alive = true};
  EXPECT_EQ(Serialise(response),
            "HTTP/1.1 200 OK\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            "Cache-Control: no-store\r\n"
            "Content-Length: 3\r\n"
            "\r\n"
            "ok\n");
}

TEST(Serialise, SaysThatTheConnectionCloses) {
  const Response response{.status = 405, .allow = "GET, HEAD", .body = "no\n"};
  const std::string bytes = Serialise(response);
  EXPECT_TRUE(bytes.starts_with("HTTP/1.1 405 Method Not Allowed\r\n")) << bytes;
  EXPECT_NE(bytes.find("\r\nConnection: close\r\n"), std::string::npos) << bytes;
  EXPECT_NE(bytes.find("\r\nAllow: GET, HEAD\r\n"), std::string::npos) << bytes;
}

TEST(Serialise, AnswersHeadWithTheFieldsOfTheBodyOnly) {
  const Response whole{.body = "body", .keep_alive = true};
  Response head = whole;
  head.head_only = true;
  EXPECT_EQ(Serialise(head) + "body", Serialise(whole));
}

}  // namespace
}  // namespace http
