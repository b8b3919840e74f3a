// SASLprep: the examples of RFC 4013, and what PostgreSQL leaves as it is.
#include "pg/saslprep.h"

#include <gtest/gtest.h>

#include <string>

#include "pg/scram.h"

namespace pg {
namespace {

// Section 3 of the RFC, and one more of each step.
TEST(SaslPrep, C15_TheExamplesOfTheRfc) {
  EXPECT_EQ(SaslPrep("I\xc2\xadX"), "IX");                 // SOFT HYPHEN maps to nothing
  EXPECT_EQ(SaslPrep("user"), "user");
  EXPECT_EQ(SaslPrep("USER"), "USER");                     // case is preserved
  EXPECT_EQ(SaslPrep("\xc2\xaa"), "a");                    // NFKC
  EXPECT_EQ(SaslPrep("\xe2\x85\xa8"), "IX");               // NFKC
  EXPECT_EQ(SaslPrep("a\xc2\xa0\xe3\x80\x80" "b"), "a  b");  // spaces of other kinds
  EXPECT_EQ(SaslPrep("cafe\xcc\x81"), "caf\xc3\xa9");      // composed
  EXPECT_EQ(SaslPrep("\xe1\x84\x80\xe1\x85\xa1"), "\xea\xb0\x80");  // Hangul
  EXPECT_EQ(SaslPrep("\xd7\x90 \xd7\x91"), "\xd7\x90 \xd7\x91");    // right to left
}

TEST(SaslPrep, C15_WhatIsForbiddenIsLeftAsItIs) {
  for (const std::string_view raw :
       {"\xc3\xa9\x07",          // a control character beside what is not ASCII
        "\xd8\xa7\x31",          // right to left must end so too
        "\xd7\x90" "a\xd7\x90",  // both directions
        "\xcd\x80",              // U+0340, deprecated, though it would normalise to U+0300
        "\xef\xbf\xbd\xc3\xa9",  // U+FFFD
        "\xf0\x9f\x98\x80" "e\xcc\x81",  // unassigned in Unicode 3.2
        "\xc2\xad",                      // nothing would be left
        "e\xcc\x81\xff",                 // no UTF-8
        "e\xcc\x81\xed\xa0\x80",         // a surrogate
        "e\xcc\x81\xc0\xaf",             // too long a form
        "e\xcc\x81\xe2\x82"}) {          // cut
    EXPECT_EQ(SaslPrep(raw), raw);
  }
}

TEST(SaslPrep, C15_AsciiIsNotLookedAt) {
  const std::string control("a\x01\x7f b");
  EXPECT_EQ(SaslPrep(control), control);
  EXPECT_EQ(SaslPrep(""), "");
  const std::string longest(65'535, 'p');
  EXPECT_EQ(SaslPrep(longest), longest);
}

TEST(SaslPrep, C15_LongOnesAreNotNormalised) {
  std::string text = "e\xcc\x81";
  text.resize(kSaslPrepMax, 'x');
  EXPECT_EQ(SaslPrep(text), "\xc3\xa9" + text.substr(3));
  text += 'x';
  EXPECT_EQ(SaslPrep(text), text);
}

TEST(SaslPrep, C15_TwoSpellingsHaveTheSameKeys) {
  const ScramKeys composed = DeriveScramKeys("caf\xc3\xa9", "salt", 4096);
  EXPECT_EQ(DeriveScramKeys("cafe\xcc\x81", "salt", 4096).stored_key, composed.stored_key);
  EXPECT_NE(DeriveScramKeys("cafe", "salt", 4096).stored_key, composed.stored_key);
}

}  // namespace
}  // namespace pg
