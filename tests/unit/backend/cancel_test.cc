// The table of cancel keys.
#include <array>
#include <set>
#include <string>

#include "backend/cancel.h"
#include "base/bytes.h"
#include "gtest/gtest.h"

namespace backend {
namespace {

CancelTarget Target(uint32_t pid, std::string_view secret) {
  CancelTarget target;
  target.pid = pid;
  target.secret = secret;
  return target;
}

TEST(CancelRegistry, FindsByOurSecretOnly) {
  CancelRegistry registry;
  const std::string ours = registry.Add(Target(7, "abcd"));
  ASSERT_EQ(ours.size(), 4u);
  const std::optional<CancelTarget> found = registry.Find(7, ours);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->secret, "abcd");
  EXPECT_FALSE(registry.Find(8, ours).has_value());
  EXPECT_FALSE(registry.Find(7, "abcd").has_value());
}

TEST(CancelRegistry, KeepsTheServersLength) {
  CancelRegistry registry;
  EXPECT_EQ(registry.Add(Target(7, std::string(32, 'x'))).size(), 32u);
}

TEST(CancelRegistry, G10_AnOldKeyMatchesNobody) {
  CancelRegistry registry;
  const std::string ours = registry.Add(Target(7, "abcd"));
  registry.Remove(7, ours);
  EXPECT_FALSE(registry.Find(7, ours).has_value());
  EXPECT_EQ(registry.size(), 0u);
}

TEST(CancelRegistry, G3_SecretsOfOnePidDiffer) {
  CancelRegistry registry;
  std::set<std::string> secrets;
  for (int i = 0; i < 1000; ++i) {
    secrets.insert(registry.Add(Target(7, "abcd")));
  }
  EXPECT_EQ(secrets.size(), 1000u);
}

// Each bit is a coin: fewer than 600 heads of 2000 come less than once in 10^60 runs.
TEST(CancelRegistry, G3_EveryBitIsRandom) {
  constexpr uint32_t kKeys = 2000;
  CancelRegistry registry;
  std::array<uint32_t, 32> ones = {};
  for (uint32_t pid = 0; pid < kKeys; ++pid) {
    const std::string secret = registry.Add(Target(pid, "abcd"));
    const uint32_t bits = base::LoadBe32(secret.data());
    for (uint32_t bit = 0; bit < ones.size(); ++bit) {
      ones[bit] += bits >> bit & 1;
    }
  }
  for (const uint32_t count : ones) {
    EXPECT_GT(count, 600u);
    EXPECT_LT(count, kKeys - 600u);
  }
}

TEST(CancelRegistry, G3_TheSamePidOfTwoServersHasTwoKeys) {
  CancelRegistry registry;
  const std::string first = registry.Add(Target(7, "abcd"));
  const std::string second = registry.Add(Target(7, "efgh"));
  registry.Remove(7, "abcd");  // no key of ours
  ASSERT_TRUE(registry.Find(7, first).has_value() && registry.Find(7, second).has_value());
  EXPECT_EQ(registry.Find(7, first)->secret, "abcd");
  EXPECT_EQ(registry.Find(7, second)->secret, "efgh");
  EXPECT_FALSE(registry.Find(7, first + '\0').has_value());
  EXPECT_FALSE(registry.Find(7, first.substr(0, 3)).has_value());
  registry.Remove(7, first);
  EXPECT_FALSE(registry.Find(7, first).has_value());
  EXPECT_TRUE(registry.Find(7, second).has_value());
}

}  // namespace
}  // namespace backend
