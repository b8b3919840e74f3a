#include "backend/dial.h"

#include "gtest/gtest.h"

namespace backend {
namespace {

TEST(ConnectTimeout, IsTheServersOwn) {
  config::Server server;
  server.connect_timeout = absl::Seconds(2);
  EXPECT_EQ(ConnectTimeout(server, base::Limits()), absl::Seconds(2));
}

// A server without one used to get no time at all: a connect of over 4 ms failed.
TEST(ConnectTimeout, OfAServerWithoutOneIsTheProcesss) {
  base::Limits limits;
  limits.connect_timeout = absl::Seconds(7);
  EXPECT_EQ(ConnectTimeout(config::Server(), limits), absl::Seconds(7));
}

}  // namespace
}  // namespace backend
