#include "admin/labels.h"

#include "gtest/gtest.h"

namespace admin {
namespace {

TEST(WithoutShard, LeavesTheShardOutWhereverItStands) {
  EXPECT_EQ(WithoutShard(""), "");
  EXPECT_EQ(WithoutShard(R"(shard="0")"), "");
  EXPECT_EQ(WithoutShard(R"(a="b")"), R"(a="b")");
  EXPECT_EQ(WithoutShard(R"(shard="0",a="b")"), R"(a="b")");
  EXPECT_EQ(WithoutShard(R"(a="b",shard="12",c="d")"), R"(a="b",c="d")");
  EXPECT_EQ(WithoutShard(R"(shards="1")"), R"(shards="1")");
}

TEST(WithoutShard, IsNotMisledByWhatIsQuoted) {
  EXPECT_EQ(WithoutShard(R"(a="x\",shard=\"y")"), R"(a="x\",shard=\"y")");
  EXPECT_EQ(WithoutShard(R"(a="\\",shard="1")"), R"(a="\\")");
  EXPECT_EQ(WithoutShard(R"(a="}\n,",b="")"), R"(a="}\n,",b="")");
}

TEST(WithoutShard, RefusesWhatIsNotLabels) {
  for (const char* labels :
       {"a", "a=", "a=b", "a=\"", "a=\"b", "a=\"b\"c", "a=\"b\",", ",a=\"b\"", "1a=\"b\"", "=\"b\"",
        "a=\"b\\", "a=\"b\\\"", "a=\"\\x\"", "a=\"b\nc\"", "a-b=\"c\"", "a=\"b\",,c=\"d\""}) {
    EXPECT_EQ(WithoutShard(labels), std::nullopt) << labels;
  }
}

}  // namespace
}  // namespace admin
