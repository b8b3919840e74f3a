#include "pg/builders.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <vector>

#include "pg/frame_reader.h"
#include "pg/views.h"

namespace pg {
namespace {

using std::string_literals::operator""s;

// Addresses without memory: whoever reads a byte of them dies. For lengths over 4 GiB.
class Unreadable {
 public:
  static constexpr size_t kBytes = size_t{5} << 30;
  Unreadable()
      : memory_(::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                       0)) {
    EXPECT_NE(memory_, MAP_FAILED);
  }
  Unreadable(const Unreadable&) = delete;
  Unreadable& operator=(const Unreadable&) = delete;
  ~Unreadable() { ::munmap(memory_, kBytes); }
  std::string_view view(size_t bytes) const {
    return std::string_view(static_cast<const char*>(memory_), bytes);
  }

 private:
  void* const memory_;
};

// True if `bytes` is one frame of `type` for the receiver.
bool IsOneFrame(Side side, char type, const std::string& bytes) {
  FrameReader reader(side, 1 << 20, 64);
  reader.Feed(bytes);
  Piece piece;
  return reader.Next(&piece) == ReadResult::kPiece && piece.whole() && piece.type == type &&
         piece.bytes.size() == bytes.size();
}

TEST(Builders, ErrorResponseSaysEverything) {
  std::string bytes;
  AppendErrorResponse(&bytes, {.severity = "FATAL",
                               .sqlstate = "53300",
                               .message = "too many",
                               .detail = "d",
                               .hint = "h"});
  EXPECT_EQ(bytes.substr(5), "SFATAL\0VFATAL\0C53300\0Mtoo many\0Dd\0Hh\0\0"s);
  EXPECT_TRUE(IsOneFrame(Side::kBackend, 'E', bytes));
  std::string notice;
  AppendNoticeResponse(&notice, {.severity = "NOTICE", .sqlstate = "00000", .message = "m"});
  EXPECT_EQ(notice.substr(5), "SNOTICE\0VNOTICE\0C00000\0Mm\0\0"s);
  EXPECT_TRUE(IsOneFrame(Side::kBackend, 'N', notice));
}

TEST(Builders, D8_ErrorTextIsCutAtItsBoundAndAtANul) {
  std::string bytes;
  AppendErrorResponse(&bytes, {.severity = "ERROR",
                               .sqlstate = "XX000",
                               .message = std::string(1 << 20, 'm'),
                               .detail = "seen\0hidden"s});
  const ErrorView view = ReadError(std::string_view(bytes).substr(5));
  EXPECT_EQ(view.message.size(), kErrorFieldMax);
  EXPECT_EQ(view.detail, "seen");
}

TEST(Builders, BackendMessagesAreOneFrameEach) {
  std::string bytes;
  AppendReadyForQuery(&bytes, 'T');
  EXPECT_EQ(bytes, "Z\0\0\0\5T"s);
  bytes.clear();
  AppendAuthenticationOk(&bytes);
  EXPECT_EQ(bytes, "R\0\0\0\10\0\0\0\0"s);
  bytes.clear();
  ASSERT_TRUE(AppendParameterStatus(&bytes, "TimeZone", "UTC"));
  EXPECT_EQ(bytes, "S\0\0\0\21TimeZone\0UTC\0"s);
  bytes.clear();
  const std::string_view unknown[] = {"_pq_.a", "_pq_.b"};
  ASSERT_TRUE(AppendNegotiateProtocolVersion(&bytes, kProtocol30, unknown));
  EXPECT_EQ(bytes, "v\0\0\0\32\0\3\0\0\0\0\0\2_pq_.a\0_pq_.b\0"s);
}

TEST(Builders, BackendKeysOfEveryAllowedLength) {
  for (size_t length = 0; length <= 300; ++length) {
    std::string bytes;
    const bool appended = AppendBackendKeyData(&bytes, 7, std::string(length, 'k'));
    EXPECT_EQ(appended, length >= 4 && length <= 256) << length;
    EXPECT_EQ(appended, IsOneFrame(Side::kBackend, 'K', bytes));
    EXPECT_EQ(appended, !bytes.empty());
  }
}

TEST(Builders, FrontendMessagesHaveTheManualsLayout) {
  std::string bytes;
  ASSERT_TRUE(AppendQuery(&bytes, "select 1"));
  EXPECT_EQ(bytes, "Q\0\0\0\15select 1\0"s);
  bytes.clear();
  const uint32_t types[] = {23};
  ASSERT_TRUE(AppendParse(&bytes, "s", "x", types));
  EXPECT_EQ(bytes, "P\0\0\0\16s\0x\0\0\1\0\0\0\27"s);
  bytes.clear();
  const uint16_t formats[] = {1};
  const std::optional<std::string_view> values[] = {"ab", std::nullopt};
  ASSERT_TRUE(AppendBind(&bytes, {.portal = "p",
                                  .statement = "s",
                                  .formats = formats,
                                  .parameters = values,
                                  .result_formats = formats}));
  EXPECT_EQ(bytes, "B\0\0\0\34p\0s\0\0\1\0\1\0\2\0\0\0\2ab\xff\xff\xff\xff\0\1\0\1"s);
  bytes.clear();
  ASSERT_TRUE(AppendDescribe(&bytes, 'S', "s"));
  ASSERT_TRUE(AppendClose(&bytes, 'P', ""));
  ASSERT_TRUE(AppendExecute(&bytes, "p", 9));
  AppendSync(&bytes);
  AppendFlush(&bytes);
  AppendTerminate(&bytes);
  EXPECT_EQ(bytes,
            "D\0\0\0\7Ss\0C\0\0\0\6P\0E\0\0\0\12p\0\0\0\0\11S\0\0\0\4H\0\0\0\4X\0\0\0\4"s);
}

TEST(Builders, PasswordsAndCopyHaveTheManualsLayout) {
  std::string bytes;
  ASSERT_TRUE(AppendPasswordMessage(&bytes, "pw"));
  ASSERT_TRUE(AppendSaslInitialResponse(&bytes, "M", "xy"));
  ASSERT_TRUE(AppendSaslResponse(&bytes, "xy"));
  EXPECT_EQ(bytes, "p\0\0\0\7pw\0p\0\0\0\14M\0\0\0\0\2xyp\0\0\0\6xy"s);
  bytes.clear();
  ASSERT_TRUE(AppendCopyData(&bytes, "a\n"));
  AppendCopyDone(&bytes);
  ASSERT_TRUE(AppendCopyFail(&bytes, "no"));
  EXPECT_EQ(bytes, "d\0\0\0\6a\nc\0\0\0\4f\0\0\0\7no\0"s);
}

TEST(Builders, StartupPacketsHaveTheManualsLayout) {
  std::string bytes;
  const Setting parameters[] = {{"user", "alice"}, {"database", ""}};
  ASSERT_TRUE(AppendStartupMessage(&bytes, kProtocol30, parameters));
  EXPECT_EQ(bytes, "\0\0\0\36\0\3\0\0user\0alice\0database\0\0\0"s);
  bytes.clear();
  AppendSslRequest(&bytes);
  AppendGssEncRequest(&bytes);
  EXPECT_EQ(bytes, "\0\0\0\10\4\322\26\57\0\0\0\10\4\322\26\60"s);
  bytes.clear();
  ASSERT_TRUE(AppendCancelRequest(&bytes, 1, "abcd"));
  EXPECT_EQ(bytes, "\0\0\0\20\4\322\26\56\0\0\0\1abcd"s);
  EXPECT_FALSE(AppendCancelRequest(&bytes, 1, "abc"));
  EXPECT_FALSE(AppendCancelRequest(&bytes, 1, std::string(257, 'k')));
  EXPECT_EQ(bytes.size(), 16u);
}

TEST(Builders, A8_StartupValuesCannotSmuggleParameters) {
  const std::string root = "alice\0user\0root"s;
  const Setting smuggled[] = {{"user", root}};
  const Setting nameless[] = {{"", "x"}};
  const std::string long_text(10'000, 'x');
  const Setting long_value[] = {{"user", long_text}};
  std::string bytes;
  EXPECT_FALSE(AppendStartupMessage(&bytes, kProtocol30, smuggled));
  EXPECT_FALSE(AppendStartupMessage(&bytes, kProtocol30, nameless));
  EXPECT_FALSE(AppendStartupMessage(&bytes, kProtocol30, long_value));
  EXPECT_EQ(bytes, "");
}

TEST(Builders, D8_AnEmbeddedNulIsRefusedEverywhere) {
  const std::string_view nul("a\0b", 3);
  const std::string_view nuls[] = {nul};
  std::string bytes;
  EXPECT_FALSE(AppendQuery(&bytes, nul));
  EXPECT_FALSE(AppendParse(&bytes, nul, "x", {}));
  EXPECT_FALSE(AppendParse(&bytes, "x", nul, {}));
  EXPECT_FALSE(AppendBind(&bytes, {.portal = nul}));
  EXPECT_FALSE(AppendBind(&bytes, {.statement = nul}));
  EXPECT_FALSE(AppendDescribe(&bytes, 'S', nul));
  EXPECT_FALSE(AppendClose(&bytes, 'S', nul));
  EXPECT_FALSE(AppendExecute(&bytes, nul, 0));
  EXPECT_FALSE(AppendPasswordMessage(&bytes, nul));
  EXPECT_FALSE(AppendSaslInitialResponse(&bytes, nul, ""));
  EXPECT_FALSE(AppendCopyFail(&bytes, nul));
  EXPECT_FALSE(AppendParameterStatus(&bytes, nul, "x"));
  EXPECT_FALSE(AppendParameterStatus(&bytes, "x", nul));
  EXPECT_FALSE(AppendNegotiateProtocolVersion(&bytes, kProtocol30, nuls));
  EXPECT_EQ(bytes, "");
}

TEST(Builders, D2_LengthsNearFourGibibytesAreRefusedUnread) {
  const Unreadable unreadable;
  std::string bytes;
  for (const size_t length : {size_t{0x3ffffffa}, size_t{0x7fffffff}, size_t{0xfffffff0},
                              size_t{0xffffffff}, size_t{0x100000000}, size_t{0x100000005}}) {
    const std::string_view huge = unreadable.view(length);
    EXPECT_FALSE(AppendCopyData(&bytes, unreadable.view(length + 1))) << length;
    EXPECT_FALSE(AppendSaslResponse(&bytes, huge));
    EXPECT_FALSE(AppendSaslInitialResponse(&bytes, "M", huge));
    const std::optional<std::string_view> values[] = {huge};
    EXPECT_FALSE(AppendBind(&bytes, {.parameters = values}));
    if (length > kLargeMessageLimit) {
      EXPECT_FALSE(AppendQuery(&bytes, huge));
      EXPECT_FALSE(AppendParse(&bytes, huge, "x", {}));
      EXPECT_FALSE(AppendParse(&bytes, "x", huge, {}));
      EXPECT_FALSE(AppendBind(&bytes, {.portal = huge}));
      EXPECT_FALSE(AppendDescribe(&bytes, 'P', huge));
      EXPECT_FALSE(AppendExecute(&bytes, huge, 0));
      EXPECT_FALSE(AppendPasswordMessage(&bytes, huge));
      EXPECT_FALSE(AppendCopyFail(&bytes, huge));
      EXPECT_FALSE(AppendParameterStatus(&bytes, "x", huge));
    }
  }
  EXPECT_EQ(bytes, "");
}

// Each parameter is short, their sum is 2^32 and a little: the wrapped length would be right for
// a tiny Bind, and the rest would be read as messages.
TEST(Builders, D2_ParametersWhoseSumWrapsAreRefused) {
  const Unreadable unreadable;
  const std::vector<std::optional<std::string_view>> values(65'535, unreadable.view(65'536));
  std::string bytes;
  EXPECT_FALSE(AppendBind(&bytes, {.parameters = values}));
  EXPECT_EQ(bytes, "");
}

TEST(Builders, D2_CountsOverSixteenBitsAreRefused) {
  const std::vector<std::optional<std::string_view>> values(65'536);
  const std::vector<uint16_t> formats(65'536);
  const std::vector<uint32_t> types(65'536);
  std::string bytes;
  EXPECT_FALSE(AppendBind(&bytes, {.parameters = values}));
  EXPECT_FALSE(AppendBind(&bytes, {.formats = formats}));
  EXPECT_FALSE(AppendBind(&bytes, {.result_formats = formats}));
  EXPECT_FALSE(AppendParse(&bytes, "", "x", types));
  EXPECT_EQ(bytes, "");
  const std::vector<std::optional<std::string_view>> most(65'535);
  EXPECT_TRUE(AppendBind(&bytes, {.parameters = most}));
  EXPECT_EQ(ReadBind(std::string_view(bytes).substr(5))->parameter_count, 65'535);
}

// The longest that the server takes, and one byte more.
TEST(Builders, D2_LimitsAreTheReceivers) {
  std::string bytes;
  EXPECT_TRUE(AppendPasswordMessage(&bytes, std::string(65'530, 'p')));
  EXPECT_FALSE(AppendPasswordMessage(&bytes, std::string(65'531, 'p')));
  EXPECT_TRUE(IsOneFrame(Side::kFrontend, 'p', bytes));
  bytes.clear();
  EXPECT_TRUE(AppendCopyFail(&bytes, std::string(9'995, 'r')));
  EXPECT_FALSE(AppendCopyFail(&bytes, std::string(9'996, 'r')));
  EXPECT_TRUE(IsOneFrame(Side::kFrontend, 'f', bytes));
}

}  // namespace
}  // namespace pg
