// A session whose client comes through a load balancer: the PROXY protocol's header.
// The clients of a House are Unix sockets, so here `unix` is who must send one.
#include <string>

#include "gtest/gtest.h"
#include "pg/builders.h"
#include "unit/session/house.h"

namespace session {
namespace {

using std::string_literals::operator""s;

constexpr std::string_view kHeader = "PROXY TCP4 192.0.2.1 10.0.0.1 55555 5432\r\n";

std::vector<config::NetRange> EveryUnixSocket() { return {config::NetRange()}; }

TEST(ProxyProtocol, SaysWhereTheClientIs) {
  House house(nullptr, EveryUnixSocket());
  house.Client().Send(std::string(kHeader) + StartupMessage("u"));
  ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u")));
  EXPECT_EQ(house.TheSession().client_address().ToString(), "192.0.2.1:55555");
}

TEST(ProxyProtocol, MayComeInPiecesAndBeforeTheRest) {
  const std::string all = std::string(kHeader) + StartupMessage("u");
  for (size_t cut = 1; cut < all.size(); cut += 5) {
    House house(nullptr, EveryUnixSocket());
    house.Client().Send(all.substr(0, cut));
    house.Settle();
    house.Client().Send(all.substr(cut));
    ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u"))) << cut;
    EXPECT_EQ(house.TheSession().client_address().ToString(), "192.0.2.1:55555") << cut;
  }
}

TEST(ProxyProtocol, LocalKeepsTheRealAddress) {
  House house(nullptr, EveryUnixSocket());
  house.Client().Send("\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"s + StartupMessage("u"));
  ASSERT_TRUE(house.Until(house.Server(), StartupMessage("u")));
  EXPECT_EQ(house.TheSession().client_address().ToString(), "unix:");
}

TEST(ProxyProtocol, IsRequiredOfWhoIsListed) {
  House house(nullptr, EveryUnixSocket());
  house.Client().Send(StartupMessage("u"));
  ASSERT_TRUE(house.UntilEnded(house.Client()));
  std::string refusal;
  const pg::ErrorText error{
      .severity = "FATAL",
      .sqlstate = "08P01",
      .message = "expected a PROXY protocol header: this peer is in proxy-protocol-from"};
  pg::AppendErrorResponse(&refusal, error);
  EXPECT_EQ(house.Client().got(), refusal);
  EXPECT_EQ(house.metrics().protocol_violations.value(), 1u);
}

TEST(ProxyProtocol, IsAViolationFromAnybodyElse) {
  House house;
  house.Client().Send(std::string(kHeader) + StartupMessage("u"));
  ASSERT_TRUE(house.UntilEnded(house.Client()));
  EXPECT_EQ(house.Client().got(), "");
  EXPECT_EQ(house.metrics().protocol_violations.value(), 1u);
}

// What is behind the header is read as if it came first: another header is no start-up packet.
TEST(ProxyProtocol, HasOneHeaderOnly) {
  House house(nullptr, EveryUnixSocket());
  house.Client().Send(std::string(kHeader) + std::string(kHeader));
  ASSERT_TRUE(house.UntilEnded(house.Client()));
  EXPECT_EQ(house.Client().got(), "");
}

TEST(ProxyProtocol, ABalancerThatLeavesEarlyEndsTheSession) {
  House house(nullptr, EveryUnixSocket());
  house.Client().Send("PROXY TCP4 192");
  house.Settle();
  house.Client().HalfClose();
  EXPECT_TRUE(house.UntilEnded(house.Client()));
}

}  // namespace
}  // namespace session
