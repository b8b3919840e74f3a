// The SQL that brings a connection from one session's settings to another's.
#include "backend/session_settings.h"

#include "gtest/gtest.h"

namespace backend {
namespace {

SessionSettings Of(std::initializer_list<std::pair<const char*, const char*>> settings) {
  SessionSettings made;
  for (const auto& [name, value] : settings) {
    EXPECT_TRUE(made.Set(name, value));
  }
  return made;
}

TEST(SessionSettings, NothingIsDoneWhereNothingDiffers) {
  const SessionSettings one = Of({{"timezone", "UTC"}, {"datestyle", "ISO"}});
  const SessionSettings same = Of({{"datestyle", "ISO"}, {"timezone", "UTC"}});
  EXPECT_EQ(one, same);
  EXPECT_EQ(SettingsChange(one, same), "");
}

TEST(SessionSettings, F12_OnlyWhatDiffersIsSetAndTheRestIsReset) {
  const SessionSettings from = Of({{"a", "1"}, {"app.tenant", "x"}, {"same", "s"}});
  const SessionSettings to = Of({{"a", "2"}, {"b", "3"}, {"same", "s"}});
  EXPECT_EQ(SettingsChange(from, to),
            "RESET \"app\".\"tenant\";SELECT pg_catalog.set_config(E'a',E'2',false),"
            "pg_catalog.set_config(E'b',E'3',false)");
}

TEST(SessionSettings, ValuesCannotLeaveTheirLiteral) {
  const SessionSettings to = Of({{"app.x", "'); DROP TABLE t; --\\"}});
  EXPECT_EQ(SettingsChange({}, to),
            "SELECT pg_catalog.set_config(E'app.x',E'''); DROP TABLE t; --\\\\',false)");
  EXPECT_EQ(SettingsChange(Of({{"a\"b", "1"}}), {}), "RESET \"a\"\"b\";");
}

TEST(SessionSettings, TheirNumberIsBounded) {
  SessionSettings settings;
  for (size_t i = 0; i < SessionSettings::kSettingsMax; ++i) {
    EXPECT_TRUE(settings.Set("app.s" + std::to_string(i), "1"));
  }
  EXPECT_FALSE(settings.Set("app.more", "1"));
  EXPECT_TRUE(settings.Set("app.s1", "2"));
  settings.Reset("app.s2");
  EXPECT_TRUE(settings.Set("app.more", "1"));
}

TEST(SessionSettings, ValuesAreAskedForByName) {
  EXPECT_EQ(SettingsQuery({"a", "b'c"}), "SELECT pg_catalog.current_setting(E'a',true),"
                                         "pg_catalog.current_setting(E'b''c',true)");
  EXPECT_EQ(SettingsQuery({"a"}, true),
            "SELECT pg_catalog.current_setting(E'a',true),(SELECT source FROM "
            "pg_catalog.pg_settings WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) E'a')");
}

TEST(SessionSettings, OneIsResetUnlessTheSessionIsItsSource) {
  EXPECT_FALSE(IsReset("session", "1"));
  EXPECT_TRUE(IsReset("client", "1"));
  EXPECT_TRUE(IsReset("default", "1"));
  EXPECT_TRUE(IsReset(std::nullopt, "none"));
  EXPECT_FALSE(IsReset(std::nullopt, "somebody"));
}

}  // namespace
}  // namespace backend
