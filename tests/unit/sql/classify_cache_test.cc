#include "sql/classify_cache.h"

#include <gtest/gtest.h>

#include <string>

#include "unit/sql/describe.h"

namespace {

using sql::ClassifyCache;
using sql_test::Describe;

constexpr size_t kSmall = 64 * 1024;

TEST(ClassifyCache, AnswersAsClassifyDoesAndRemembers) {
  ClassifyCache cache(1 << 20);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(Describe(cache.Classify("select 1")), "read");
    EXPECT_EQ(Describe(cache.Classify("savepoint A")), "control:savepoint name=a");
    EXPECT_EQ(Describe(cache.Classify("")), "read empty");
  }
  EXPECT_EQ(cache.misses(), 3U);
  EXPECT_EQ(cache.hits(), 6U);
}

TEST(ClassifyCache, KeepsTheStringSettingApart) {
  ClassifyCache cache(1 << 20);
  const std::string text = "select 'a\\'; delete from t where x = ' or 1=1 --'";
  const sql::LexOptions off{.standard_conforming_strings = false};
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Describe(cache.Classify(text)), "unknown several");
    EXPECT_EQ(Describe(cache.Classify(text, off)), "read");
  }
  EXPECT_EQ(cache.hits(), 2U);
}

TEST(ClassifyCache, DoesNotKeepLongTexts) {
  ClassifyCache cache(1 << 20);
  const size_t before = cache.bytes();
  const std::string text = "select '" + std::string(ClassifyCache::kTextBytesMax, 'x') + "'";
  EXPECT_EQ(Describe(cache.Classify(text)), "read");
  EXPECT_EQ(Describe(cache.Classify(text)), "read");
  EXPECT_EQ(cache.hits(), 0U);
  EXPECT_EQ(cache.bytes(), before);
}

TEST(ClassifyCache, StaysWithinItsBytes) {
  for (const size_t length : {1, 50, 500, 4000}) {
    ClassifyCache cache(kSmall);
    for (int i = 0; i < 5000; ++i) {
      const std::string text =
          "delete from t where a = " + std::to_string(i) + std::string(length, ' ');
      ASSERT_EQ(Describe(cache.Classify(text)), "write");
      ASSERT_LE(cache.bytes(), kSmall);
    }
    EXPECT_GT(cache.bytes(), kSmall / 8) << "it holds something at length " << length;
  }
}

TEST(ClassifyCache, AStreamOfTextsSeenOnceDoesNotEvictAHotOne) {
  ClassifyCache cache(kSmall);
  cache.Classify("select hot");
  for (int i = 0; i < 20000; ++i) {
    cache.Classify("select " + std::to_string(i));
    cache.Classify("select hot");
  }
  EXPECT_EQ(cache.hits(), 20000U);
}

TEST(ClassifyCache, KeepsEncodingsApart) {
  ClassifyCache cache(1 << 20);
  const std::string text = "select E'\x95\x5c'; delete from t where x = 'b'";
  const sql::LexOptions sjis{.encoding = sql::EncodingOf("SJIS")};
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Describe(cache.Classify(text, sjis)), "unknown several");
    EXPECT_EQ(Describe(cache.Classify(text)), "unknown");
  }
  EXPECT_EQ(cache.hits(), 2U);
}

class LengthMarker final : public sql::Marker {
 public:
  uint64_t Mark(std::string_view text) const override {
    ++asked;
    return text.size();
  }
  mutable int asked = 0;
};

TEST(ClassifyCache, AsksItsMarkerOnceForEachText) {
  const LengthMarker marker;
  ClassifyCache cache(1 << 20, nullptr, &marker);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(cache.Classify("select 1").marks, 8U);
    EXPECT_EQ(cache.Classify("select 1; select 2").marks, 0U);  // each of them is asked for
  }
  EXPECT_EQ(marker.asked, 1);
}

TEST(ClassifyCache, KnowsFunctionsThatWrite) {
  sql::FunctionNames writing;
  ASSERT_TRUE(writing.Add("audit"));
  ClassifyCache cache(1 << 20, &writing);
  EXPECT_EQ(Describe(cache.Classify("select audit(1)")), "write");
  EXPECT_EQ(Describe(cache.Classify("select other(1)")), "read");
}

}  // namespace
