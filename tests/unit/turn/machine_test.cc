// The turn machine against transcripts: who is answered by what, and what is still owed.
#include "turn/machine.h"

#include <gtest/gtest.h>

#include <string>

#include "talk.h"

namespace turn {
namespace {

// ---- plain turns ----------------------------------------------------------------------------

TEST(MachineTest, StartupIsOneEntryUntilTheFirstReadyForQuery) {
  Talk talk = Talk::Starting();
  EXPECT_TRUE(talk.machine().starting());
  EXPECT_TRUE(talk.machine().owes());
  EXPECT_EQ(talk.Client("p"), "-");
  EXPECT_EQ(talk.Server("R R v S N K"), "0. 0. 0. -~ -~ 0.");
  EXPECT_FALSE(talk.machine().poolable());
  EXPECT_EQ(talk.Server("ZI"), "0Z");
  EXPECT_FALSE(talk.machine().starting());
  EXPECT_EQ(talk.machine().status(), 'I');
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, AnyErrorDuringStartupEndsTheConnection) {
  Talk talk = Talk::Starting();
  EXPECT_EQ(talk.Server("R E"), "0. 0E");
  EXPECT_TRUE(talk.machine().failed());
}

TEST(MachineTest, SimpleTurnEndsAtReadyForQuery) {
  Talk talk;
  EXPECT_EQ(talk.Client("Q"), "1");
  EXPECT_EQ(talk.Server("T D D C"), "1. 1. 1. 1C");
  EXPECT_TRUE(talk.machine().owes());
  EXPECT_EQ(talk.Server("ZT"), "1Z");
  EXPECT_FALSE(talk.machine().owes());
  EXPECT_EQ(talk.machine().status(), 'T');
  EXPECT_FALSE(talk.machine().poolable());
}

TEST(MachineTest, ExtendedTurnAnswersEachFrame) {
  Talk talk;
  EXPECT_EQ(talk.Client("P B D D E C S"), "1 2 3 4 5 6 7");
  EXPECT_EQ(talk.Server("1 2 t T n D D C 3 ZI"), "1. 2. 3. 3. 4. 5. 5. 5C 6. 7Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, EmptyQueryIsAnAnswerInBothProtocols) {
  Talk talk;
  talk.Client("Q P B E S");
  EXPECT_EQ(talk.Server("I ZI 1 2 I ZI"), "1I 1Z 2. 3. 4I 5Z");
}

TEST(MachineTest, RulesMayAddResultSetsToAStatement) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("T D T D C ZI"), "1. 1. 1. 1. 1C 1Z");
}

TEST(MachineTest, ErrorOfSyncIsFollowedByItsReadyForQuery) {
  Talk talk;
  talk.Client("P B E S Q");
  EXPECT_EQ(talk.Server("1 2 C E ZI C ZI"), "1. 2. 3C 4E 4Z 5C 5Z");
}

TEST(MachineTest, RepliesNameTheSessionOfTheirRequest) {
  Talk talk;
  talk.Client("P@8 B@8 S@8 Q@9");
  EXPECT_EQ(talk.Owners("1 N 2 ZI A C ZI N"), "8 8 8 8 9 9 9 0");
}

TEST(MachineTest, FullLedgerRefusesWithoutAChange) {
  Talk talk(2);
  EXPECT_EQ(talk.Client("P B E S Q"), "1 2 full full full");
  EXPECT_EQ(talk.machine().last_request(), 3u);
  EXPECT_EQ(talk.Server("1"), "1.");
  EXPECT_EQ(talk.Client("S Q d H"), "3 full - -");
  EXPECT_EQ(talk.Server("2 ZI"), "2. 3Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, LedgerGivesItsMemoryBackWhenItEmpties) {
  Talk talk;
  EXPECT_EQ(talk.machine().memory(), 0u);
  for (int i = 0; i < 100; ++i) talk.Client("Q@1 Q@2");
  EXPECT_GT(talk.machine().memory(), 200u);
  for (int i = 0; i < 200; ++i) talk.Server("C ZI");
  EXPECT_EQ(talk.machine().memory(), 0u);
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, FrameHalfForwardedIsNotPoolable) {
  Talk talk;
  pg::Piece piece;
  piece.type = 'd';
  piece.first = true;
  talk.machine().OnRequest(piece, 7);
  EXPECT_FALSE(talk.machine().poolable());
  talk.machine().OnRequestEnd();
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, AnsweredLongQueryWasForwardedWhole) {
  Talk talk;
  pg::Piece piece;
  piece.type = 'Q';
  piece.first = true;
  talk.machine().OnRequest(piece, 7);
  EXPECT_EQ(talk.Server("C ZI"), "1C 1Z");
  EXPECT_TRUE(talk.machine().poolable());
}

// ---- skip until Sync ------------------------------------------------------------------------

TEST(MachineTest, ErrorDropsWhatStandsBeforeTheNextSync) {
  Talk talk;
  talk.Client("P B D E C Q F S P S");
  EXPECT_EQ(talk.Server("1 E ZI 1 ZI"), "1. 2E 8Z 9. 10Z");
  EXPECT_FALSE(talk.machine().owes());
}

TEST(MachineTest, QueryAfterErrorWithoutSyncIsSwallowed) {
  Talk talk;
  talk.Client("P");
  EXPECT_EQ(talk.Server("E"), "1E");
  EXPECT_TRUE(talk.machine().skipping());
  EXPECT_FALSE(talk.machine().poolable());
  EXPECT_EQ(talk.Client("Q F B E H c S Q"), "- - - - - - 2 3");
  EXPECT_FALSE(talk.machine().skipping());
  EXPECT_EQ(talk.Server("ZI C ZI"), "2Z 3C 3Z");
}

TEST(MachineTest, FlushIsOwedNothing) {
  Talk talk;
  EXPECT_EQ(talk.Client("H P H B H S H"), "- 1 - 2 - 3 -");
  EXPECT_EQ(talk.Server("1 2 ZI"), "1. 2. 3Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, FlushWithABodyIsOwedAnError) {
  Talk talk;
  EXPECT_EQ(talk.Client("H* Q S"), "1 2 3");
  EXPECT_EQ(talk.Server("E ZI"), "1E 3Z");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, FlushWithABodyIsHarmlessInCopy) {
  Talk early;
  EXPECT_EQ(early.Client("Q H* d c"), "1 2 - 3");
  EXPECT_EQ(early.Server("G C ZI"), "1. 1C 1Z");
  EXPECT_TRUE(early.machine().poolable());
  Talk late;
  late.Client("Q");
  late.Server("G");
  EXPECT_EQ(late.Client("H* d c"), "- - -");
  EXPECT_EQ(late.Server("C ZI"), "1C 1Z");
  EXPECT_TRUE(late.machine().poolable());
}

TEST(MachineTest, ErrorInASimpleQueryDoesNotSkip) {
  Talk talk;
  talk.Client("Q P S");
  EXPECT_EQ(talk.Server("T D E ZI 1 ZI"), "1. 1. 1E 1Z 2. 3Z");
}

// ---- the reliability catalogue ---------------------------------------------------------------

TEST(MachineTest, D9_ServerThatSpeaksUnaskedIsAMismatchButForAsyncFrames) {
  for (const std::string word : {"T", "D", "C", "1", "ZI", "R", "G", "I", "V"}) {
    Talk talk;
    EXPECT_EQ(talk.Server("S N A"), "-~ -~ -~");
    EXPECT_EQ(talk.Server(word), "-X") << word;
    EXPECT_TRUE(talk.machine().failed()) << word;
    EXPECT_FALSE(talk.machine().poolable()) << word;
  }
}

TEST(MachineTest, D9_ErrorThatNobodyAskedForEndsTheConnection) {
  Talk talk;
  EXPECT_EQ(talk.Server("E"), "-E");
  EXPECT_TRUE(talk.machine().failed());
}

TEST(MachineTest, D10_AsyncFramesMayComeBetweenAnyTwo) {
  Talk talk = Talk::Starting();
  EXPECT_EQ(talk.Server("N R N S K A ZI N"), "-~ 0. -~ -~ 0. -~ 0Z -~");
  talk.Client("Q P B E S");
  EXPECT_EQ(talk.Server("N T N D A C S ZI N 1 A 2 N H N d S c A C N ZI"),
            "-~ 1. -~ 1. -~ 1C -~ 1Z -~ 2. -~ 3. -~ 4. -~ 4. -~ 4. -~ 4C -~ 5Z");
}

TEST(MachineTest, D11_HostileServerIsAMismatch) {
  struct Case {
    const char* client;
    const char* server;
  };
  for (const Case& c : {
           Case{"Q", "T D C D"},          // a row behind the end
           Case{"Q", "D"},                // a row without a description
           Case{"Q", "T D ZI"},           // no CommandComplete
           Case{"Q", "ZI"},               // no answer at all
           Case{"Q", "T C ZI ZI"},        // a second ReadyForQuery
           Case{"Q Q", "T C ZI ZI"},      // even when another is due later
           Case{"Q", "C ZQ"},             // unknown status
           Case{"Q", "C Z"},              // no status
           Case{"Q", "C ZII"},            // two
           Case{"P B E S", "1 2 T"},      // a description nobody asked for
           Case{"P B E S", "2"},          // out of order
           Case{"P B E S", "1 2 C C"},    // one too many
           Case{"P B E S", "1 2 C ZI 1"},
           Case{"P D S", "1 t t"},
           Case{"P S", "1 K"},            // start-up frames later
           Case{"P S", "ZI"},             // ReadyForQuery before the answers
           Case{"Q", "E C"},              // goes on after its error
           Case{"Q", "H D"},              // a row within COPY
           Case{"Q", "H d C"},            // COPY without CopyDone
           Case{"Q", "d"},
           Case{"Q", "c"},
           Case{"Q", "G C"},              // ends before the client has
           Case{"Q", "G d"},
           Case{"F", "ZI"},
           Case{"F", "V V"},
           Case{"Q", "s"},
           Case{"Q", "x"},
           Case{"P B E S", "1 2 W"},
       }) {
    Talk talk;
    talk.Client(c.client);
    const std::string told = talk.Server(c.server);
    EXPECT_TRUE(told.ends_with("-X")) << c.client << " | " << c.server << ": " << told;
    EXPECT_EQ(told.find('X'), told.size() - 1) << c.client << " | " << c.server << ": " << told;
    EXPECT_TRUE(talk.machine().failed());
  }
}

TEST(MachineTest, D12_FunctionCallWorksLikeAQuery) {
  Talk talk;
  talk.Client("F F P F S");
  EXPECT_EQ(talk.Server("V ZI E ZE"), "1. 1Z 2E 2Z");
  EXPECT_EQ(talk.Server("E ZI"), "3E 5Z");  // swallowed
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, D13_FramesOfTheWrongPhaseHaveTheReactionOfPostgres) {
  Talk starting = Talk::Starting();
  EXPECT_EQ(starting.Client("Q S p X"), "unexpected unexpected - -");
  Talk talk;
  EXPECT_EQ(talk.Client("p"), "unexpected");
  EXPECT_EQ(talk.Client("d c c f d"), "- - - - -");  // ignored outside COPY
  EXPECT_TRUE(talk.machine().poolable());
  EXPECT_EQ(talk.Client("Q c c f Q"), "1 2 3 4 5");
  EXPECT_EQ(talk.Server("C ZI C ZI"), "1C 1Z 5C 5Z");
  EXPECT_TRUE(talk.machine().poolable());
  EXPECT_EQ(talk.Client("X"), "-");
}

TEST(MachineTest, E1_ErrorAtEachPositionOfAPipelineSkipsToTheSync) {
  const std::string replies[] = {"1", "2", "T", "D", "C", "3", "1", "2", "n", "C", "3"};
  for (size_t bad = 0; bad <= std::size(replies); ++bad) {
    for (const bool sync_early : {true, false}) {
      Talk talk;
      talk.Client("P B D E C P B D E C");
      if (sync_early) talk.Client("S Q");
      for (size_t i = 0; i < bad; ++i) talk.Server(replies[i]);
      if (bad < std::size(replies)) {
        EXPECT_TRUE(talk.Server("E").ends_with("E"));
        EXPECT_EQ(talk.machine().skipping(), !sync_early);
      }
      if (!sync_early) talk.Client("S Q");
      const std::string told = talk.Server("ZI C ZI");
      EXPECT_EQ(told.find('X'), std::string::npos) << bad << ": " << told;
      EXPECT_TRUE(talk.machine().poolable()) << bad;
    }
  }
}

TEST(MachineTest, E2_SimpleQueryBehindAPipelineWithoutSync) {
  Talk fine;
  fine.Client("B E Q S");
  EXPECT_EQ(fine.Server("2 C T D C ZI ZI"), "1. 2C 3. 3. 3C 3Z 4Z");
  Talk failed;
  failed.Client("B E Q S");
  EXPECT_EQ(failed.Server("2 E ZI"), "1. 2E 4Z");
  EXPECT_TRUE(failed.machine().poolable());
}

TEST(MachineTest, E3_OwnRepliesStayInOrderWithRealOnes) {
  Talk talk;
  Machine& machine = talk.machine();
  talk.Client("P");
  EXPECT_EQ(machine.AddOwnReply("[1]", 7), RequestResult::kOk);
  EXPECT_EQ(machine.AddOwnReply("[3]", 7), RequestResult::kOk);
  talk.Client("B");
  machine.AddOwnReply("[late]", 7);
  talk.Client("S");
  EXPECT_EQ(talk.TakeOwn(), "");
  EXPECT_EQ(talk.Server("1"), "1.");
  EXPECT_EQ(talk.TakeOwn(), "[1][3]");
  EXPECT_EQ(talk.TakeOwn(), "");
  EXPECT_EQ(talk.Server("2"), "4.");
  EXPECT_EQ(talk.TakeOwn(), "[late]");
  EXPECT_EQ(talk.Server("ZI"), "6Z");
  machine.AddOwnReply("[idle]", 7);
  EXPECT_FALSE(machine.poolable());  // not sent yet
  EXPECT_EQ(talk.TakeOwn(), "[idle]");
  EXPECT_TRUE(machine.poolable());
}

TEST(MachineTest, E3_OwnRepliesAreSwallowedLikeTheFramesTheyStandFor) {
  Talk talk;
  talk.Client("P");
  talk.machine().AddOwnReply("[dropped]", 7);
  talk.Client("B");
  EXPECT_EQ(talk.Server("E"), "1E");
  EXPECT_EQ(talk.machine().AddOwnReply("[dropped too]", 7), RequestResult::kOk);
  EXPECT_EQ(talk.TakeOwn(), "");
  talk.Client("S");
  talk.machine().AddOwnReply("[kept]", 7);
  EXPECT_EQ(talk.TakeOwn(), "");
  EXPECT_EQ(talk.Server("ZI"), "4Z");
  EXPECT_EQ(talk.TakeOwn(), "[kept]");
  EXPECT_TRUE(talk.machine().poolable());
}

TEST(MachineTest, E3_OwnRepliesCountAgainstTheBound) {
  Talk talk(2);
  talk.Client("P");
  EXPECT_EQ(talk.machine().AddOwnReply("[1]", 7), RequestResult::kOk);
  EXPECT_EQ(talk.machine().AddOwnReply("[2]", 7), RequestResult::kFull);
  talk.Server("1");
  EXPECT_EQ(talk.TakeOwn(), "[1]");
}

TEST(MachineTest, E4_SuspendedPortalIsExecutedAgain) {
  Talk talk;
  talk.Client("P B E H");
  EXPECT_EQ(talk.Server("1 2 D D s"), "1. 2. 3. 3. 3s");
  EXPECT_FALSE(talk.machine().owes());
  EXPECT_EQ(talk.machine().status(), 'I');  // of the last turn: this one has not ended
  talk.Client("E C S");
  EXPECT_EQ(talk.Server("D C 3 ZI"), "4. 4C 5. 6Z");
}

TEST(MachineTest, E5_DescribeIsAnsweredInBothForms) {
  Talk talk;
  talk.Client("P D S B D S");
  EXPECT_EQ(talk.Server("1 t n ZI 2 T ZI"), "1. 2. 2. 3Z 4. 5. 6Z");
}

TEST(MachineTest, E6_CloseOfNothingIsAnswered) {
  Talk talk;
  talk.Client("C C S");
  EXPECT_EQ(talk.Server("3 3 ZI"), "1. 2. 3Z");
}

TEST(MachineTest, E7_FailedParseAndTheSameNameAgainInTheNextBatch) {
  Talk talk;
  talk.Client("P B E S P B E S");
  EXPECT_EQ(talk.Server("E ZI 1 2 C ZI"), "1E 4Z 5. 6. 7C 8Z");
}

TEST(MachineTest, E13_ManyStatementsInOneQueryAreOneTurn) {
  Talk talk;
  talk.Client("Q");
  EXPECT_EQ(talk.Server("C C C C C ZI"), "1C 1C 1C 1C 1C 1Z");
  talk.Client("Q");
  EXPECT_EQ(talk.Server("C C E ZE"), "2C 2C 2E 2Z");
  EXPECT_EQ(talk.machine().status(), 'E');
}

TEST(MachineTest, E14_FatalInThePipelineIsOneErrorAndTheEnd) {
  Talk talk;
  talk.Client("P B E S P B E S");
  EXPECT_EQ(talk.Server("1 E!"), "1. 2E");
  EXPECT_TRUE(talk.machine().failed());
  EXPECT_EQ(talk.Client("Q p"), "- -");
  EXPECT_EQ(talk.Server("ZI"), "-X");
}

TEST(MachineTest, E14_SeverityIsFieldVAndElseFieldS) {
  using std::string_view_literals::operator""sv;
  struct Case {
    std::string_view body;
    bool fatal;
  };
  for (const Case& c : {Case{"SFATAL\0C57P01\0\0"sv, true}, Case{"SPANIC\0\0"sv, true},
                        Case{"SERROR\0C42601\0\0"sv, false}, Case{"SFATAL\0VERROR\0\0"sv, false},
                        Case{"SFEHLER\0VPANIC\0\0"sv, true}, Case{"SERROR\0VFATAL"sv, true},
                        Case{""sv, false}, Case{"\0"sv, false}, Case{"S"sv, false}}) {
    Talk talk;
    talk.Client("Q");
    pg::Piece piece;
    piece.type = 'E';
    piece.first = true;
    piece.body = c.body;
    EXPECT_EQ(talk.machine().OnReply(piece).kind, ReplyKind::kFailed);
    EXPECT_EQ(talk.machine().failed(), c.fatal) << c.body;
  }
}

}  // namespace
}  // namespace turn
