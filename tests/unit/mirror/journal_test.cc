// What a journal keeps of a session, and which errors it takes upon itself.
#include "mirror/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "mirror/trace.h"
#include "sql/classify.h"
#include "sql/tables.h"

namespace mirror {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

void Do(Journal* journal, const std::string& text, const std::string& tag, bool applied = true) {
  Step step;
  step.text = base::Slice::CopyOf(text);
  MarkTrace(sql::Classify(text), tag, &step);
  step.tag = tag;
  journal->Note(&step, applied);
}

TEST(JournalTest, KeepsWhatThePrimaryHasWhateverTheMirrorDid) {
  Journal journal;
  Do(&journal, "SET search_path = a", "SET", false);
  Do(&journal, "PREPARE q AS SELECT 1", "PREPARE", false);
  Do(&journal, "SET search_path = b", "SET");
  EXPECT_THAT(journal.texts(), ElementsAre("PREPARE q AS SELECT 1", "SET search_path = b"));
  Do(&journal, "SELECT set_config('a.b', 'c', false)", "SELECT 1");
  Do(&journal, "LOAD 'auto_explain'", "LOAD");
  Do(&journal, "RESET ALL", "RESET", false);
  EXPECT_THAT(journal.texts(), ElementsAre("PREPARE q AS SELECT 1", "LOAD 'auto_explain'"));
  Do(&journal, "DISCARD ALL", "DISCARD ALL");
  Do(&journal, "PREPARE q AS SELECT 1", "PREPARE");
  Do(&journal, "DEALLOCATE q", "DEALLOCATE", false);
  EXPECT_THAT(journal.texts(), IsEmpty());
}

TEST(JournalTest, RoleThatHasEndedIsTheBeginning) {
  Journal journal;
  Do(&journal, "SET ROLE a", "SET");
  Do(&journal, "SET SESSION AUTHORIZATION b", "SET");
  Do(&journal, "RESET ALL", "RESET");
  EXPECT_THAT(journal.texts(), ElementsAre("SET ROLE a", "SET SESSION AUTHORIZATION b"));
  Do(&journal, "SET SESSION AUTHORIZATION DEFAULT", "SET");
  Do(&journal, "SET ROLE NONE", "SET");
  EXPECT_THAT(journal.texts(), IsEmpty());
  Do(&journal, "SET ROLE a", "SET");
  Do(&journal, "RESET ROLE", "RESET");
  EXPECT_THAT(journal.texts(), IsEmpty());
}

TEST(JournalTest, MissesWhatWentWithItsConnection) {
  for (const char* sqlstate :
       {"42P01", "42704", "42883", "42703", "3F000", "26000", "34000"}) {
    Journal journal;
    Do(&journal, "CREATE TEMP TABLE a(b int)", "CREATE TABLE");
    EXPECT_TRUE(journal.held());
    EXPECT_FALSE(journal.Misses(sqlstate)) << "it is there";
    journal.OnLost();
    EXPECT_FALSE(journal.held());
    EXPECT_TRUE(journal.Misses(sqlstate)) << sqlstate;
    EXPECT_FALSE(journal.Misses("23505"));
    Do(&journal, "DISCARD ALL", "DISCARD ALL");
    EXPECT_FALSE(journal.Misses(sqlstate)) << sqlstate;
  }
}

TEST(JournalTest, MissesWhatTheMirrorNeverMade) {
  Journal journal;
  Do(&journal, "CREATE TEMP TABLE a(b int)", "CREATE TABLE", false);
  EXPECT_FALSE(journal.held());
  EXPECT_TRUE(journal.Misses("42P01"));
}

TEST(JournalTest, NameOfALostTemporaryTableIsNobodyElses) {
  Journal journal;
  const auto lacks = [&journal](const std::string& text) {
    Unit unit;
    unit.steps.emplace_back().text = base::Slice::CopyOf(text);
    return journal.Lacks(unit);
  };
  Do(&journal, "CREATE TEMP TABLE mine(b int)", "CREATE TABLE");
  Do(&journal, "CREATE TEMP TABLE pg_temp.\"Odd \"\"One\"(b int)", "CREATE TABLE");
  EXPECT_FALSE(lacks("INSERT INTO mine VALUES (1)"));
  journal.OnLost();
  EXPECT_TRUE(lacks("INSERT INTO MINE VALUES (1)"));
  EXPECT_TRUE(lacks("INSERT INTO t SELECT * FROM \"Odd \"\"One\""));
  EXPECT_FALSE(lacks("INSERT INTO public.mine VALUES ('mine')"));
  EXPECT_FALSE(lacks("INSERT INTO t VALUES (1)"));
  Do(&journal, "DROP TABLE mine", "DROP TABLE", false);
  EXPECT_FALSE(lacks("INSERT INTO mine VALUES (1)"));
  Do(&journal, "CREATE TEMP TABLE mine(b int)", "CREATE TABLE");
  EXPECT_FALSE(lacks("INSERT INTO mine VALUES (1)")) << "it is there again";
  Do(&journal, "DISCARD ALL", "DISCARD ALL");
  EXPECT_FALSE(lacks("SELECT * FROM \"Odd \"\"One\""));
}

TEST(JournalTest, KnowsWhatOnlyItsConnectionWouldStillHave) {
  Journal journal;
  const auto keeps = [&journal](const std::string& text, const std::string& tag) {
    Step step;
    step.text = base::Slice::CopyOf(text);
    MarkTrace(sql::Classify(text), tag, &step);
    step.tag = tag;
    return journal.WouldKeep(step);
  };
  EXPECT_FALSE(keeps("DISCARD TEMP", "DISCARD TEMP"));
  Do(&journal, "CREATE TEMP TABLE mine(b int)", "CREATE TABLE");
  EXPECT_TRUE(keeps("DISCARD TEMP", "DISCARD TEMP"));
  EXPECT_TRUE(keeps("DISCARD ALL", "DISCARD ALL"));
  EXPECT_TRUE(keeps("DROP TABLE other, pg_temp.mine", "DROP TABLE"));
  EXPECT_FALSE(keeps("DROP TABLE other", "DROP TABLE"));
  std::string many = "DROP TABLE t0";
  for (size_t i = 1; i < 2 * sql::kTablesMax; ++i) {
    many += ", t" + std::to_string(i);
  }
  EXPECT_TRUE(keeps(many + ", mine", "DROP TABLE")) << "more names than are kept";
  EXPECT_FALSE(keeps("DISCARD SEQUENCES", "DISCARD SEQUENCES"));
  journal.OnLost();
  EXPECT_FALSE(keeps("DROP TABLE mine", "DROP TABLE"));
  Do(&journal, "DISCARD TEMP", "DISCARD TEMP");
  Unit unit;
  unit.steps.emplace_back().text = base::Slice::CopyOf("INSERT INTO mine VALUES (1)");
  EXPECT_FALSE(journal.Lacks(unit)) << "the primary has none either";
  EXPECT_THAT(journal.texts(), IsEmpty());
}

TEST(JournalTest, SettingWhoseTextIsGoneBlindsUntilAllAreReset) {
  Journal journal;
  Step step;
  step.trace = Trace::kLost;
  journal.Note(&step, false);
  EXPECT_TRUE(journal.blind());
  Do(&journal, "SET search_path = a", "SET");
  EXPECT_TRUE(journal.blind());
  Do(&journal, "RESET ALL", "RESET");
  EXPECT_FALSE(journal.blind());
}

TEST(JournalTest, ValuesOfSequencesTieWhoAsksForThem) {
  Journal journal;
  journal.OnRun();
  EXPECT_FALSE(journal.held());
  Do(&journal, "INSERT INTO t VALUES (lastval())", "INSERT 0 1");
  EXPECT_TRUE(journal.held());
  EXPECT_FALSE(journal.tied());
  EXPECT_FALSE(journal.Misses("55000"));
  journal.OnLost();
  EXPECT_FALSE(journal.held());
  EXPECT_TRUE(journal.Misses("55000"));
  EXPECT_FALSE(journal.Misses("42P01"));
}

// The mirror's sequence has not moved for it, or has another last value.
TEST(JournalTest, LastValuesAreMissedOnceAValueWasGivenInTheirPlace) {
  const auto asks = [](const std::string& text) {
    Unit unit;
    unit.steps.emplace_back();
    unit.steps[0].text = base::Slice::CopyOf(text);
    MarkTrace(sql::Classify(text), "INSERT 0 1", unit.steps.data());
    return unit;
  };
  const Unit currval = asks("INSERT INTO t VALUES (pg_catalog.\"currval\"('s'))");
  const Unit lastval = asks("INSERT INTO t SELECT lastval()");
  const Unit neither = asks("INSERT INTO t(currval) VALUES ('lastval()')");
  Journal journal;
  Step pinned;
  pinned.tag = "INSERT 0 1";
  pinned.pins_sequence = true;
  journal.Note(&pinned, false);
  EXPECT_FALSE(journal.Lacks(currval));
  journal.Note(&pinned, true);
  EXPECT_TRUE(journal.Lacks(currval));
  EXPECT_TRUE(journal.Lacks(lastval));
  EXPECT_FALSE(journal.Lacks(neither));
  Do(&journal, "DISCARD ALL", "DISCARD ALL");
  EXPECT_FALSE(journal.Lacks(currval));
}

}  // namespace
}  // namespace mirror
