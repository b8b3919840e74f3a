// The users file: PgBouncer's format, read whole or refused by line.
#include "config/users_file.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace config {
namespace {

std::string Why(std::string_view text) {
  const absl::StatusOr<Users> users = ParseUsers(text, "users.txt");
  EXPECT_FALSE(users.ok());
  const std::string why(base::Message(users.status()));
  EXPECT_EQ(why.find("geheim"), std::string::npos);
  return why;
}

TEST(UsersFile, NamesAndSecrets) {
  const absl::StatusOr<Users> users = ParseUsers(
      "; a comment\n"
      "# another\n"
      "\n"
      "\"alice\" \"geheim\"\n"
      "  \"bob \"\"b\"\" smith\"\t\"a\"\"b\"   ; why not\r\n"
      "\"carol\" \"\"\n"
      "\"dave\"\"\" \"SCRAM-SHA-256$4096:c2FsdA==$x:y\"",
      "users.txt");
  ASSERT_TRUE(users.ok()) << users.status();
  EXPECT_EQ(users->size(), 4u);
  EXPECT_EQ(users->at("alice"), "geheim");
  EXPECT_EQ(users->at("bob \"b\" smith"), "a\"b");
  EXPECT_EQ(users->at("carol"), "");
  EXPECT_EQ(users->at("dave\""), "SCRAM-SHA-256$4096:c2FsdA==$x:y");
}

TEST(UsersFile, C17_OneBadLineRefusesTheFile) {
  const std::string good = "\"alice\" \"geheim\"\n";
  const std::string shape = "users.txt:2: is not \"user\" \"secret\", both in double quotes";
  for (const std::string_view bad :
       {"alice geheim", "\"bob\" geheim", "\"bob\"", "\"bob\" \"geheim", "bob \"geheim\""}) {
    EXPECT_EQ(Why(good + std::string(bad) + "\n\"carol\" \"geheim\""), shape) << bad;
  }
  EXPECT_EQ(Why(good + "\"bob\" \"x\" \"geheim\""),
            "users.txt:2: has more than \"user\" \"secret\"");
  EXPECT_EQ(Why(good + "\"\" \"geheim\""), "users.txt:2: names no user");
  EXPECT_EQ(Why(good + "\n" + good),
            "users.txt:3: names a user that an earlier line names already");
  EXPECT_EQ(Why(good + std::string("\"b\0b\" \"geheim\"", 14)), "users.txt:2: holds a NUL byte");
}

}  // namespace
}  // namespace config
