#include "config/capture_redaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace config {
namespace {

using sql::ColumnName;
using sql::MayBeSame;
using testing::ElementsAre;

TEST(CaptureRedaction, TypesByNameOrNumber) {
  std::vector<uint32_t> oids;
  EXPECT_TRUE(AddTypes("text,17", &oids).ok());
  EXPECT_TRUE(AddTypes("jsonb", &oids).ok());
  EXPECT_THAT(oids, ElementsAre(25, 17, 3802));
  for (const char* list : {"", "txt", "text,", "0", "-1", "text bytea"}) {
    EXPECT_FALSE(AddTypes(list, &oids).ok()) << list;
  }
}

TEST(CaptureRedaction, ColumnsAsSqlNamesThem) {
  std::vector<ColumnName> columns;
  EXPECT_TRUE(AddColumns("SSN, users.Email,hr.\"Staff,x\".salary", &columns).ok());
  EXPECT_THAT(columns, ElementsAre(ColumnName{"", "", "ssn"}, ColumnName{"", "users", "email"},
                                   ColumnName{"hr", "Staff,x", "salary"}));
  for (const char* list : {"", "a,", ".a", "a.", "a.b.c.d", "a b", "a;", "'a'", "\"a", "5"}) {
    EXPECT_FALSE(AddColumns(list, &columns).ok()) << list;
  }
}

TEST(CaptureRedaction, NamesThatMayBeTheSame) {
  EXPECT_TRUE(MayBeSame({"", "", "a"}, {"s", "t", "a"}));
  EXPECT_TRUE(MayBeSame({"s", "t", "a"}, {"", "t", "a"}));
  EXPECT_TRUE(MayBeSame({"", "t", "a"}, {"s", "t", ""}));
  EXPECT_FALSE(MayBeSame({"s", "t", "a"}, {"x", "t", "a"}));
  EXPECT_FALSE(MayBeSame({"", "t", "a"}, {"", "u", "a"}));
  EXPECT_FALSE(MayBeSame({"", "", "a"}, {"", "t", "b"}));
}

}  // namespace
}  // namespace config
