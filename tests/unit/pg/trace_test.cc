#include "pg/trace.h"

#include <gtest/gtest.h>

#include "pg/builders.h"
#include "pg/frame_reader.h"
#include "pg/messages.h"

namespace pg {
namespace {

using std::string_literals::operator""s;

std::string TraceOf(Side side, std::string_view bytes, size_t chunk_bytes) {
  FrameReader reader(side, 1000, 64);
  Trace trace(side);
  std::string lines;
  Piece piece;
  while (!bytes.empty()) {
    const std::string chunk(bytes.substr(0, chunk_bytes));
    bytes.remove_prefix(chunk.size());
    reader.Feed(chunk);
    while (reader.Next(&piece) == ReadResult::kPiece) {
      trace.Add(piece, &lines);
    }
  }
  return lines;
}

std::string TraceOf(Side side, std::string_view bytes) {
  const std::string lines = TraceOf(side, bytes, bytes.size());
  EXPECT_EQ(TraceOf(side, bytes, 1), lines);
  return lines;
}

TEST(Messages, EveryTypeHasItsName) {
  EXPECT_EQ(Name(Side::kFrontend, 'S'), "Sync");
  EXPECT_EQ(Name(Side::kBackend, 'S'), "ParameterStatus");
  for (const Side side : {Side::kFrontend, Side::kBackend}) {
    for (int type = 0; type < 256; ++type) {
      EXPECT_EQ(Name(side, static_cast<char>(type)) != "unknown", RulesOf(side)[type].known())
          << type;
    }
  }
}

TEST(Trace, ALineHoldsSideLengthNameAndFields) {
  std::string bytes;
  ASSERT_TRUE(AppendQuery(&bytes, "select 'x'\n"));
  AppendSync(&bytes);
  EXPECT_EQ(TraceOf(Side::kFrontend, bytes),
            "F\t16\tQuery\t \"select 'x'\\x0a\"\nF\t4\tSync\n");
}

TEST(Trace, SecretsAreMasked) {
  std::string bytes;
  ASSERT_TRUE(AppendPasswordMessage(&bytes, "hunter2"));
  ASSERT_TRUE(AppendSaslResponse(&bytes, "hunter2"));
  ASSERT_TRUE(AppendQuery(&bytes, "alter role x PassWord 'hunter2'"));
  ASSERT_TRUE(AppendParse(&bytes, "", "alter role x password 'hunter2'", {}));
  const std::string lines = TraceOf(Side::kFrontend, bytes);
  EXPECT_EQ(lines.find("hunter2"), std::string::npos) << lines;
  EXPECT_NE(lines.find("\"alter role x PassWord\" ****"), std::string::npos) << lines;

  std::string replies;
  ASSERT_TRUE(AppendBackendKeyData(&replies, 4711, "kkkkkkkk"));
  replies += "R\0\0\0\14\0\0\0\5salt"s;
  EXPECT_EQ(TraceOf(Side::kBackend, replies),
            "B\t16\tBackendKeyData\t NNNN ****\nB\t12\tAuthenticationMD5Password\t ****\n");
}

TEST(Trace, ALongBodyIsCutTheSameHoweverItArrives) {
  std::string bytes;
  ASSERT_TRUE(AppendQuery(&bytes, std::string(10'000, 'q')));
  const std::string lines = TraceOf(Side::kFrontend, bytes);
  EXPECT_EQ(lines, "F\t10005\tQuery\t \"" + std::string(kTraceBodyMax, 'q') + "\" ...\n");
  EXPECT_EQ(TraceOf(Side::kFrontend, bytes, 777), lines);
}

TEST(Trace, D4_ABodyThatDoesNotFitIsShownAsFarAsItGoes) {
  EXPECT_EQ(TraceOf(Side::kBackend, "D\0\0\0\16\0\3\0\0\0\1x\xff\xff\xff"s),
            "B\t14\tDataRow\t 3 1 'x' ?\n");
  EXPECT_EQ(TraceOf(Side::kBackend, "D\0\0\0\12\0\1\xff\xff\xff\xfe"s),
            "B\t10\tDataRow\t 1 -2 ?\n");
  EXPECT_EQ(TraceOf(Side::kFrontend, "S\0\0\0\5x"s), "F\t5\tSync\t ?\n");
  EXPECT_EQ(TraceOf(Side::kFrontend, "Q\0\0\0\4"s), "F\t4\tQuery\t \"\" ?\n");
}

}  // namespace
}  // namespace pg
