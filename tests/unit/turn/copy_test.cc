// The turn machine in COPY and replication: the catalogue's group H.
#include <gtest/gtest.h>

#include <string>

#include "talk.h"
#include "turn/machine.h"

namespace turn {
namespace {

TEST(MachineCopyTest, H1_SyncsBeforeTheEndOfCopyAreSwallowed) {
  Talk talk;
  talk.Client("P B E S d H S c S");
  EXPECT_EQ(talk.Server("1 2 G C ZI"), "1. 2. 3. 3C 7Z");
  EXPECT_FALSE(talk.machine().ambiguous());
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H1_SyncsSentDuringCopyMakeNoEntry) {
  Talk talk;
  talk.Client("P B E S");
  EXPECT_EQ(talk.Server("1 2 G"), "1. 2. 3.");
  EXPECT_TRUE(talk.machine().copy_in());
  EXPECT_EQ(talk.Client("d S H d S c S"), "- - - - - - 5");
  EXPECT_FALSE(talk.machine().copy_in());
  EXPECT_EQ(talk.Server("C ZI"), "3C 5Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H1_ErrorInCopyOfAnExecuteSkipsToSync) {
  Talk before;  // CopyDone
  before.Client("P B E");
  EXPECT_EQ(before.Server("1 2 G E"), "1. 2. 3. 3E");
  EXPECT_FALSE(before.machine().copy_in());
  EXPECT_TRUE(before.machine().skipping());
  EXPECT_EQ(before.Client("d c Q S"), "- - - 4");
  EXPECT_EQ(before.Server("ZI"), "4Z");
  EXPECT_TRUE(before.machine().poolable());

  Talk after;
  after.Client("P B E d c B E S");
  EXPECT_EQ(after.Server("1 2 G E ZI"), "1. 2. 3. 3E 7Z");
  EXPECT_TRUE(after.machine().poolable());
}

TEST(MachineCopyTest, H1_ErrorInCopyOfAQueryDoesNotSkip) {
  Talk talk;
  talk.Client("Q d");
  EXPECT_EQ(talk.Server("G E ZI"), "1. 1E 1Z");
  EXPECT_EQ(talk.Client("d c Q"), "- - 2");  // the rest of the data is ignored
  EXPECT_EQ(talk.Server("C ZI"), "2C 2Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H1_CopyThatFailsBeforeItsResponseLeavesTheSyncsInPlace) {
  Talk talk;
  talk.Client("P B E S d c S");
  EXPECT_EQ(talk.Server("1 2 E ZI ZI"), "1. 2. 3E 4Z 6Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H1_ErrorAfterASwallowedSyncIsAmbiguousAndEitherCountIsTolerated) {
  for (const std::string server : {"ZI", "ZI ZI"}) {
    for (const bool sync_late : {true, false}) {
      Talk talk;
      talk.Client("P B E S d");
      EXPECT_EQ(talk.Server("1 2 G E"), "1. 2. 3. 3E");
      EXPECT_TRUE(talk.machine().ambiguous());
      if (sync_late) talk.Client("c S");
      EXPECT_EQ(talk.Server(server).find('X'), std::string::npos);
      EXPECT_FALSE(talk.machine().owes());
      EXPECT_FALSE(talk.machine().skipping());
      EXPECT_FALSE(talk.machine().poolable());
      talk.Client("Q");
      EXPECT_EQ(talk.Server("T D C ZI").substr(0, 1), sync_late ? "6" : "5");
      EXPECT_FALSE(talk.machine().owes());
    }
  }
}

TEST(MachineCopyTest, H1_SurplusReadyForQueryIsNotTakenForTheNextRequests) {
  Talk talk;
  talk.Client("P B E S d c S");
  EXPECT_EQ(talk.Server("1 2 G E ZI"), "1. 2. 3. 3E 6Z");
  talk.Client("Q P S");
  EXPECT_EQ(talk.Server("ZI T C ZI 1 ZI"), "-Z 7. 7C 7Z 8. 9Z");
}

TEST(MachineCopyTest, H2_CopyFailIsAnError) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("G"), "1.");
  EXPECT_EQ(talk.Client("d f"), "- -");
  EXPECT_EQ(talk.Server("E ZI"), "1E 1Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H4_CopyDataIsNeverOwedAnything) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("G"), "1.");
  pg::Piece piece;
  piece.type = 'd';
  piece.first = true;
  for (const uint32_t length : {0u, 1u, 0x3ffffffbu}) {
    piece.body_length = length;
    piece.last = length == 0;
    EXPECT_EQ(talk.machine().OnRequest(piece, 7), RequestResult::kOk);
    EXPECT_EQ(talk.machine().last_request(), 0u);
  }
  EXPECT_EQ(talk.machine().entries(), 1u);
  EXPECT_EQ(talk.Client("c"), "-");
  EXPECT_EQ(talk.Server("C ZI"), "1C 1Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H5_CopyInsideAPipeline) {
  Talk talk;
  talk.Client("P B E d d c P B E P B E S");
  EXPECT_EQ(talk.Server("1 2 G C 1 2 D C 1 2 H d c C ZI"),
            "1. 2. 3. 3C 5. 6. 7. 7C 8. 9. 10. 10. 10. 10C 11Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H5_OneQueryHoldsSeveralCopies) {
  Talk talk;
  talk.Client("Q d c d c Q");
  EXPECT_EQ(talk.Server("C G C H d c C G C T D C ZI C ZI"),
            "1C 1. 1C 1. 1. 1. 1C 1. 1C 1. 1. 1C 1Z 4C 4Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H5_EachCopyOfAQueryNeedsAnEndOfItsOwn) {
  Talk talk;
  talk.Client("Q S d c S");  // the second Sync stands where the second COPY will read
  EXPECT_EQ(talk.Server("G C G"), "1. 1C 1.");
  EXPECT_TRUE(talk.machine().copy_in());
  EXPECT_EQ(talk.Client("S f S"), "- - 5");
  EXPECT_EQ(talk.Server("C"), "1C");
  EXPECT_EQ(talk.Server("ZI ZI"), "1Z 5Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H5_EndOfCopySentForAStatementBeforeIsNotTheCopysOwn) {
  Talk talk;
  talk.Client("B E c B E");
  EXPECT_EQ(talk.Server("2 C 2 G"), "1. 2C 4. 5.");
  EXPECT_TRUE(talk.machine().copy_in());
  talk.Client("c S");
  EXPECT_EQ(talk.Server("C ZI"), "5C 6Z");
}

TEST(MachineCopyTest, H5_EndOfCopySentBehindAnotherFrameIsNotThatOfAFailedCopy) {
  Talk late;  // the error is under way while the next statements are sent
  late.Client("Q");
  EXPECT_EQ(late.Server("G"), "1.");
  EXPECT_EQ(late.Client("B E d c S"), "2 3 - 4 5");
  EXPECT_EQ(late.Server("E ZI 2 G C ZI"), "1E 1Z 2. 3. 3C 5Z");
  EXPECT_TRUE(late.machine().poolable());
  Talk early;
  early.Client("Q B E d c S");
  EXPECT_EQ(early.Server("G E ZI 2 G C ZI"), "1. 1E 1Z 2. 3. 3C 5Z");
  EXPECT_TRUE(early.machine().poolable());
}

TEST(MachineCopyTest, H5_QueryWithinCopyIsAnErrorAndThenFatal) {
  Talk talk;
  talk.Client("Q Q");
  EXPECT_EQ(talk.Server("G E E!"), "1. 1E 1E");
  EXPECT_TRUE(talk.machine().failed());
}

// ---- replication ----------------------------------------------------------------------------

TEST(MachineCopyTest, H7_CopyBothEndsWhenBothSidesHaveSaidCopyDone) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("W d d"), "1. 1. 1.");
  EXPECT_TRUE(talk.machine().copy_both());
  EXPECT_FALSE(talk.machine().copy_in());
  EXPECT_EQ(talk.Client("d d c"), "- - -");
  EXPECT_EQ(talk.Server("d"), "1.");
  EXPECT_TRUE(talk.machine().copy_both());
  EXPECT_EQ(talk.Server("c"), "1.");
  EXPECT_FALSE(talk.machine().copy_both());
  EXPECT_EQ(talk.Server("C C ZI"), "1C 1C 1Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineCopyTest, H7_ServerMayEndCopyBothFirstAndNameTheNextTimeline) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("W d c"), "1. 1. 1.");
  EXPECT_TRUE(talk.machine().copy_both());
  EXPECT_EQ(talk.Client("d c"), "- -");
  EXPECT_FALSE(talk.machine().copy_both());
  EXPECT_EQ(talk.Server("T D C C ZI"), "1. 1. 1C 1C 1Z");
}

TEST(MachineCopyTest, H7_AKeepaliveMayFollowTheWalsendersCopyDone) {
  Talk talk;
  talk.Client("Q c");
  EXPECT_EQ(talk.Server("W d c d C C ZI"), "1. 1. 1. 1. 1C 1C 1Z");
  talk.Client("Q");
  EXPECT_EQ(talk.Server("C d"), "3C -X");
}

TEST(MachineCopyTest, H7_WalsenderThatShutsDownSendsNoCopyDone) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("W d C"), "1. 1. 1C");
}

TEST(MachineCopyTest, H7_BaseBackupIsSeveralResultSetsAndCopies) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("T D C T D D C H d d c T D C C ZI"),
            "1. 1. 1C 1. 1. 1. 1C 1. 1. 1. 1. 1. 1. 1C 1C 1Z");
  talk.Client("Q");  // PostgreSQL 14: a COPY for each tablespace and the manifest
  EXPECT_EQ(talk.Server("T D C T D C H d c H d c H d c T D C C ZI").find('X'), std::string::npos);
  EXPECT_TRUE(talk.machine().poolable());
}

}  // namespace
}  // namespace turn
