// The table of cancel keys.
#include <set>
#include <string>

#include "backend/cancel.h"
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

}  // namespace
}  // namespace backend
