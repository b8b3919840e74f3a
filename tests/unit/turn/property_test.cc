// The machine against the model, many seeds: after all replies it owes what the model says, and
// each reply was attributed to the request, session and kind it had.
#include <gtest/gtest.h>

#include "model.h"

namespace turn {
namespace {

TEST(MachinePropertyTest, SaysWhatAModelServerKnows) {
  size_t replies = 0;
  size_t ambiguous = 0;
  constexpr uint64_t kSeeds = 20000;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Choices choices(seed);
    const Told told = Converse(&choices);
    ASSERT_EQ(told.failure, "") << "seed " << seed;
    replies += told.replies;
    ambiguous += told.ambiguous ? 1 : 0;
  }
  // The seeds have something to say, and mostly something certain.
  EXPECT_GT(replies, kSeeds * 10);
  EXPECT_GT(ambiguous, 0u);
  EXPECT_LT(ambiguous, kSeeds / 3);
}

}  // namespace
}  // namespace turn
