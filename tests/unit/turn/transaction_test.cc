// What becomes of each statement, told as short stories. A number is an INSERT with that item.
// begin start commit rollback; with + AND CHAIN; with ! the server answers ROLLBACK.
// save:a release:a back:a (ROLLBACK TO); prepare; tag:NAME:n any other tag, with item n;
// error; I T E are ReadyForQuery.
// Marked [15.20]: these tags and statuses are what a PostgreSQL 15.20 server answered.
#include "turn/transaction.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace turn {
namespace {

std::string UnitText(const Unit* unit) {
  if (unit == nullptr) return "";
  const char* const fates[] = {"committed", "discarded", "prepared", "unknown"};
  std::string text = fates[static_cast<size_t>(unit->fate)];
  text += unit->explicit_block ? "{" : "(";
  for (size_t i = 0; i < unit->items.size(); ++i) {
    if (i > 0) text += ' ';
    text += std::to_string(unit->items[i]);
  }
  return text += unit->explicit_block ? "}" : ")";
}

std::string Name(const std::string& word) { return word.substr(word.find(':') + 1); }

const Unit* Statement(Transaction* transaction, std::string word) {
  sql::Statement statement;
  std::string tag;
  const bool aborted = word.ends_with('!');
  if (aborted) word.pop_back();
  statement.chain = word.ends_with('+');
  if (statement.chain) word.pop_back();
  if (word == "begin") {
    statement.control = sql::Control::kBegin;
    tag = "BEGIN";
  } else if (word == "start") {
    statement.control = sql::Control::kBegin;
    tag = "START TRANSACTION";
  } else if (word == "commit") {
    statement.control = sql::Control::kCommit;
    tag = "COMMIT";
  } else if (word == "rollback") {
    statement.control = sql::Control::kRollback;
    tag = "ROLLBACK";
  } else if (word == "prepare") {
    statement.control = sql::Control::kPrepare;
    tag = "PREPARE TRANSACTION";
  } else if (word.starts_with("save:")) {
    statement.control = sql::Control::kSavepoint;
    tag = "SAVEPOINT";
    statement.name = Name(word);
  } else if (word.starts_with("release:")) {
    statement.control = sql::Control::kRelease;
    tag = "RELEASE";
    statement.name = Name(word);
  } else {
    EXPECT_TRUE(word.starts_with("back:")) << word;
    statement.control = sql::Control::kRollbackTo;
    tag = "ROLLBACK";
    statement.name = Name(word);
  }
  return transaction->Completed(99, statement, aborted ? "ROLLBACK" : tag);
}

const Unit* Word(Transaction* transaction, const std::string& word) {
  if (word == "I" || word == "T" || word == "E") return transaction->Ready(word[0]);
  if (word == "error") return transaction->Failed();
  sql::Statement statement;
  if (word[0] >= '0' && word[0] <= '9') {
    return transaction->Completed(std::stoull(word), statement, "INSERT 0 1");
  }
  if (word.starts_with("tag:")) {
    std::string tag = word.substr(4, word.rfind(':') - 4);
    std::replace(tag.begin(), tag.end(), '_', ' ');
    return transaction->Completed(std::stoull(word.substr(word.rfind(':') + 1)), statement, tag);
  }
  return Statement(transaction, word);
}

// Tells the story and returns what was decided, each behind the word that decided it.
std::string Tell(std::string_view story, Transaction* transaction) {
  std::string told;
  while (!story.empty()) {
    const size_t end = std::min(story.find(' '), story.size());
    const std::string word(story.substr(0, end));
    story.remove_prefix(std::min(end + 1, story.size()));
    const std::string unit = UnitText(Word(transaction, word));
    if (unit.empty()) continue;
    if (!told.empty()) told += ", ";
    told += word + ": " + unit;
  }
  return told;
}
std::string Tell(std::string_view story) {
  Transaction transaction(100);
  return Tell(story, &transaction);
}

TEST(TransactionTest, ImplicitStatementCommitsAtReadyForQuery) {
  EXPECT_EQ(Tell("1 I 2 I"), "I: committed(1), I: committed(2)");
}

TEST(TransactionTest, StatementsOfOneQueryOrPipelineAreOneUnit) {
  EXPECT_EQ(Tell("1 2 3 I"), "I: committed(1 2 3)");
}

TEST(TransactionTest, ErrorDiscardsTheImplicitTransaction) {
  EXPECT_EQ(Tell("1 2 error I 3 I"), "I: discarded(1 2), I: committed(3)");
}

TEST(TransactionTest, ErrorOfSyncDiscardsToo) {  // a deferred constraint [15.20]
  EXPECT_EQ(Tell("1 error I"), "I: discarded(1)");
}

TEST(TransactionTest, ExplicitBlockCommitsAtItsTag) {
  EXPECT_EQ(Tell("begin T 1 T 2 T commit I"), "commit: committed{1 2}");
  EXPECT_EQ(Tell("start 1 commit I"), "commit: committed{1}");
}

TEST(TransactionTest, RollbackDiscardsAll) {
  EXPECT_EQ(Tell("begin T 1 T 2 T rollback I"), "rollback: discarded{1 2}");
}

TEST(TransactionTest, CommitAnsweredByRollbackDiscards) {  // [15.20]
  EXPECT_EQ(Tell("begin T 1 T error E commit! I 2 I"), "commit!: discarded{1}, I: committed(2)");
}

TEST(TransactionTest, CommitThatFailsDiscards) {  // deferred constraint at COMMIT [15.20]
  EXPECT_EQ(Tell("begin T 1 T error I"), "I: discarded{1}");
  EXPECT_EQ(Tell("begin 1 error I 2 I"), "I: discarded{1}, I: committed(2)");
}

TEST(TransactionTest, ErrorInABlockKeepsWhatASavepointSaves) {
  EXPECT_EQ(Tell("begin T 1 T save:a T 2 T error E back:a T 3 T commit I"),
            "back:a: discarded{2}, commit: committed{1 3}");
}

TEST(TransactionTest, ImplicitInsertFollowedByBeginIsNotCommitted) {  // [15.20]
  EXPECT_EQ(Tell("1 begin T rollback I"), "rollback: discarded{1}");
  EXPECT_EQ(Tell("1 begin T 2 T commit I"), "commit: committed{1 2}");
}

TEST(TransactionTest, ReadyInATransactionWithoutABeginSeenIsABlock) {
  EXPECT_EQ(Tell("1 T 2 T"), "");
  EXPECT_EQ(Tell("1 T error E rollback I"), "rollback: discarded{1}");
}

TEST(TransactionTest, CommitNeedsNoReadyForQuery) {  // Execute(COMMIT), Flush [15.20]
  Transaction transaction(100);
  EXPECT_EQ(Tell("begin 1 commit", &transaction), "commit: committed{1}");
  EXPECT_FALSE(transaction.in_block());
  EXPECT_EQ(Tell("I", &transaction), "");
}

TEST(TransactionTest, ErrorBehindCommitDoesNotUndoIt) {  // [15.20]
  EXPECT_EQ(Tell("begin 1 commit error I"), "commit: committed{1}");
  EXPECT_EQ(Tell("1 commit 2 error I"), "commit: committed(1), I: discarded(2)");
}

TEST(TransactionTest, CommitAndRollbackEndAnImplicitBlock) {  // [15.20]
  EXPECT_EQ(Tell("82 rollback 83 I"), "rollback: discarded(82), I: committed(83)");
  EXPECT_EQ(Tell("82 commit 83 I"), "commit: committed(82), I: committed(83)");
}

TEST(TransactionTest, E13_ManyTransactionsInOneQuery) {
  EXPECT_EQ(Tell("begin 1 commit 2 rollback I"), "commit: committed{1}, rollback: discarded(2)");
  EXPECT_EQ(Tell("begin 1 commit 2 error I"), "commit: committed{1}, I: discarded(2)");
  EXPECT_EQ(Tell("begin 1 commit begin 2 error E rollback I"),
            "commit: committed{1}, rollback: discarded{2}");
}

TEST(TransactionTest, AndChainGoesStraightOn) {  // [15.20]
  EXPECT_EQ(Tell("begin 90 commit+ T 91 T rollback+ T 92 T rollback I"),
            "commit+: committed{90}, rollback+: discarded{91}, rollback: discarded{92}");
  EXPECT_EQ(Tell("begin T 1 T error E commit+! T 2 T commit I"),
            "commit+!: discarded{1}, commit: committed{2}");
  EXPECT_EQ(Tell("begin 1 commit+ 2 error E rollback I"),
            "commit+: committed{1}, rollback: discarded{2}");
}

TEST(TransactionTest, RollbackToMayBeRepeated) {
  EXPECT_EQ(Tell("begin 1 save:a 2 back:a 3 back:a 4 commit I"),
            "back:a: discarded{2}, back:a: discarded{3}, commit: committed{1 4}");
}

TEST(TransactionTest, SavepointOfTheSameNameShadows) {  // [15.20]
  EXPECT_EQ(Tell("begin save:a 1 save:a 2 back:a release:a back:a T commit I"),
            "back:a: discarded{2}, back:a: discarded{1}");
  EXPECT_EQ(Tell("begin save:a 1 save:a 2 back:a 3 commit I"),
            "back:a: discarded{2}, commit: committed{1 3}");
}

TEST(TransactionTest, ReleaseMergesIntoWhatIsAround) {
  EXPECT_EQ(Tell("begin save:a 1 save:b 2 release:b 3 back:a 4 commit I"),
            "back:a: discarded{1 2 3}, commit: committed{4}");
  EXPECT_EQ(Tell("begin save:a 1 save:b 2 release:a 3 commit I"), "commit: committed{1 2 3}");
}

TEST(TransactionTest, RollbackToAnOuterSavepointForgetsTheInner) {
  EXPECT_EQ(Tell("begin save:a 1 save:b 2 back:a 3 save:b 4 back:b commit I"),
            "back:a: discarded{1 2}, back:b: discarded{4}, commit: committed{3}");
}

TEST(TransactionTest, SavepointsEndWithTheirTransaction) {
  EXPECT_EQ(Tell("begin save:a 1 commit+ 2 save:b 3 back:b commit I"),
            "commit+: committed{1}, back:b: discarded{3}, commit: committed{2}");
}

TEST(TransactionTest, PrepareTransactionMovesTheOutcomeOut) {
  EXPECT_EQ(Tell("begin 1 prepare I 2 I"), "prepare: prepared{1}, I: committed(2)");
  EXPECT_EQ(Tell("begin T 1 T error E prepare! I"), "prepare!: discarded{1}");  // [15.20]
}

TEST(TransactionTest, CommitPreparedIsAStatementOfItsOwn) {
  EXPECT_EQ(Tell("tag:COMMIT_PREPARED:5 I"), "tag:COMMIT_PREPARED:5: committed(5)");
  EXPECT_EQ(Tell("tag:ROLLBACK_PREPARED:6 I"), "tag:ROLLBACK_PREPARED:6: committed(6)");
}

TEST(TransactionTest, StatementThatCommitsItselfSurvivesALaterError) {  // [15.20]
  EXPECT_EQ(Tell("tag:VACUUM:1 error I"), "tag:VACUUM:1: committed(1)");
  EXPECT_EQ(Tell("tag:CREATE_DATABASE:1 2 error I"),
            "tag:CREATE_DATABASE:1: committed(1), I: discarded(2)");
}

TEST(TransactionTest, StatementThatCommitsItselfCommitsWhatCameBefore) {
  Transaction transaction(8);
  sql::Statement index;
  index.commits = true;
  transaction.Completed(1, sql::Statement(), "INSERT 0 1");
  EXPECT_EQ(UnitText(transaction.Committing(sql::Statement(), "CREATE INDEX")), "");
  EXPECT_EQ(UnitText(transaction.Committing(index, "CREATE INDEX")), "committed(1)");
  EXPECT_EQ(UnitText(transaction.Completed(2, index, "CREATE INDEX")), "committed(2)");
  transaction.Failed();
  EXPECT_EQ(UnitText(transaction.Ready('I')), "");
}

TEST(TransactionTest, WhatIsKeptThroughARollbackIsDecidedAtTheEnd) {
  Transaction transaction(8);
  sql::Statement savepoint;
  savepoint.name = "a";
  sql::Statement back = savepoint;
  back.control = sql::Control::kRollbackTo;
  transaction.Completed(0, sql::Statement(), "BEGIN");
  transaction.Completed(1, sql::Statement(), "INSERT 0 1");
  transaction.Completed(0, savepoint, "SAVEPOINT");
  transaction.Completed(2, sql::Statement(), "PREPARE");
  const Unit* const undone = transaction.Completed(0, back, "ROLLBACK");
  ASSERT_EQ(UnitText(undone), "discarded{2}");
  EXPECT_TRUE(undone->to_savepoint);
  transaction.Keep(2);
  const Unit* const again = transaction.Completed(0, back, "ROLLBACK");
  ASSERT_EQ(UnitText(again), "discarded{2}");
  transaction.Keep(2);
  const Unit* const end = transaction.Completed(0, sql::Statement(), "COMMIT");
  EXPECT_EQ(UnitText(end), "committed{1 2}");
  EXPECT_FALSE(end->to_savepoint);
}

TEST(TransactionTest, SettingsAreDiscardedLikeAnything) {
  EXPECT_EQ(Tell("begin tag:SET:1 T tag:SET:2 rollback I"), "rollback: discarded{1 2}");
}

TEST(TransactionTest, BeginWithinABlockChangesNothing) {
  EXPECT_EQ(Tell("begin 1 save:a 2 begin 3 back:a commit I"),
            "back:a: discarded{2 3}, commit: committed{1}");
}

TEST(TransactionTest, ItemZeroIsNotTold) {
  EXPECT_EQ(Tell("0 I begin 0 1 0 commit I"), "commit: committed{1}");
}

TEST(TransactionTest, SavepointNeverSeenMakesTheOutcomeUnknown) {
  EXPECT_EQ(Tell("begin 1 back:x 2 commit I 3 I"), "commit: unknown{1 2}, I: committed(3)");
  EXPECT_EQ(Tell("begin 1 release:x commit I"), "commit: unknown{1}");
  EXPECT_EQ(Tell("begin 1 back:x rollback I"), "rollback: discarded{1}");
}

TEST(TransactionTest, BoundsMakeTheOutcomeUnknownNeverWrong) {
  Transaction transaction(2);
  EXPECT_EQ(Tell("begin 1 2 3 commit I 4 I", &transaction),
            "commit: unknown{1 2}, I: committed(4)");
  EXPECT_EQ(Tell("begin 1 save:a save:b save:b 2 back:b commit I", &transaction),
            "commit: unknown{1 2}");
  EXPECT_EQ(Tell("begin 1 2 3 rollback I 4 I", &transaction),
            "rollback: discarded{1 2}, I: committed(4)");
}

// Each side of a savepoint folds alone, and keeps its own fate.
TEST(TransactionTest, WhatIsFoldedMeetsItsFateAsOne) {
  Transaction transaction(100);
  EXPECT_EQ(Tell("begin 1 2 3 save:a 4 5 6", &transaction), "");
  EXPECT_EQ(transaction.FoldEnd(0), 3u);
  EXPECT_EQ(transaction.FoldEnd(2), 3u);
  EXPECT_EQ(transaction.FoldEnd(3), 6u);
  transaction.Fold(0, 3);
  EXPECT_EQ(transaction.FoldEnd(0), 1u);
  EXPECT_EQ(transaction.FoldEnd(1), 4u);
  transaction.Fold(1, 2);
  EXPECT_EQ(transaction.pending(), 3u);
  EXPECT_EQ(Tell("back:a 7 release:a", &transaction), "back:a: discarded{4 6}");
  EXPECT_EQ(transaction.FoldEnd(0), 2u);
  transaction.Fold(0, 2);
  EXPECT_EQ(Tell("commit", &transaction), "commit: committed{1}");
}

}  // namespace
}  // namespace turn
