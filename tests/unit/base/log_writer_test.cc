#include "base/log_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/log.h"

namespace base {
namespace {

class LogWriterTest : public ::testing::Test {
 protected:
  LogWriterTest() {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    read_end_ = ends[0];
    write_end_ = ends[1];
    EXPECT_GT(fcntl(write_end_, F_SETPIPE_SZ, 4096), 0);
  }
  ~LogWriterTest() override {
    CloseReader();
    close(write_end_);
  }
  void CloseReader() {
    if (read_end_ >= 0) {
      close(read_end_);
      read_end_ = -1;
    }
  }
  std::string ReadSome() {
    char buffer[65536];
    const ssize_t count = read(read_end_, buffer, sizeof buffer);
    EXPECT_GT(count, 0);
    return {buffer, count > 0 ? static_cast<size_t>(count) : 0};
  }
  // Reads until `text` has come.
  std::string ReadUntil(std::string_view text) {
    std::string all;
    while (all.find(text) == std::string::npos) {
      const std::string more = ReadSome();
      if (more.empty()) {
        break;
      }
      all += more;
    }
    return all;
  }

  int read_end_ = -1;
  int write_end_ = -1;
};

TEST_F(LogWriterTest, WritesLinesInOrder) {
  LogWriter writer(write_end_, LogFormat::kLogfmt);
  writer.Write("first");
  writer.Write("second");
  EXPECT_TRUE(writer.Flush(absl::Seconds(60)));
  EXPECT_EQ(ReadSome(), "first\nsecond\n");
  EXPECT_EQ(writer.Dropped(), 0u);
}

TEST_F(LogWriterTest, FlushOfNothingReturnsAtOnce) {
  LogWriter writer(write_end_, LogFormat::kLogfmt);
  EXPECT_TRUE(writer.Flush(absl::ZeroDuration()));
}

TEST_F(LogWriterTest, DestructionWritesWhatIsQueued) {
  {
    LogWriter writer(write_end_, LogFormat::kLogfmt);
    writer.Write("last words");
  }
  EXPECT_EQ(ReadSome(), "last words\n");
}

// Nobody reads: Write must return, what does not fit the queue is counted, Flush gives up, and
// once there is a reader again the log says how many lines it lost.
TEST_F(LogWriterTest, ABlockedPipeBlocksNobodyAndTheLossIsTold) {
  LogWriter writer(write_end_, LogFormat::kLogfmt, 8);
  const std::string line(1000, 'x');
  for (int i = 0; i < 100; ++i) {
    writer.Write(line);
  }
  EXPECT_FALSE(writer.Flush(absl::Milliseconds(1)));
  EXPECT_GE(writer.Dropped(), 80u);
  const std::string text = ReadUntil("event=log.dropped");
  writer.Write("the end");
  const std::string rest = text + ReadUntil("the end\n");
  EXPECT_NE(rest.find(line), std::string::npos);  // before or behind what tells the loss
  EXPECT_NE(rest.find("lines="), std::string::npos);
  EXPECT_TRUE(writer.Flush(absl::Seconds(60)));
}

TEST_F(LogWriterTest, AReaderThatLeftIsCountedNotDied) {
  LogWriter writer(write_end_, LogFormat::kLogfmt);
  CloseReader();
  writer.Write("nobody hears this");
  EXPECT_TRUE(writer.Flush(absl::Seconds(60)));
  EXPECT_EQ(writer.Dropped(), 1u);
}

TEST_F(LogWriterTest, ANonBlockingDescriptorLosesNothing) {
  ASSERT_EQ(fcntl(write_end_, F_SETFL, O_NONBLOCK), 0);
  LogWriter writer(write_end_, LogFormat::kLogfmt);
  for (int i = 0; i < 100; ++i) {
    writer.Write(std::string(1000, 'y'));
  }
  writer.Write("the end");
  const std::string all = ReadUntil("the end\n");
  EXPECT_EQ(all.size(), 100u * 1001 + 8);
  EXPECT_EQ(writer.Dropped(), 0u);
}

// The process's log can be started once, so all of it is one test.
TEST(LogTest, LogsFromStartOnWithLevelAndRateLimit) {
  EXPECT_FALSE(LogEnabled(LogLevel::kError));
  Log(LogLevel::kError, "test.too_early");
  FlushLog();
  EXPECT_EQ(LogDropped(), 0u);

  const absl::Status refused = StartLog(LogLevel::kInfo, LogFormat::kLogfmt, "/nowhere/at/all");
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(refused.ToString().find("/nowhere/at/all"), std::string::npos);

  char path[] = "/tmp/pgbraid_log_test_XXXXXX";
  const int file = mkstemp(path);
  ASSERT_GE(file, 0);
  ASSERT_TRUE(StartLog(LogLevel::kInfo, LogFormat::kLogfmt, path).ok());
  EXPECT_EQ(StartLog(LogLevel::kInfo, LogFormat::kLogfmt, path).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo));
  EXPECT_FALSE(LogEnabled(LogLevel::kDebug));
  Log(LogLevel::kDebug, "test.silent");
  SetLogLevel(LogLevel::kDebug);
  Log(LogLevel::kDebug, "test.heard", {{"n", 1}});
  const uint64_t surprises = Surprises();
  Surprise("test.surprise", "what happened");
  EXPECT_EQ(Surprises(), surprises + 1);
  FlushLog();

  char buffer[4096];
  const ssize_t count = read(file, buffer, sizeof buffer);
  ASSERT_GT(count, 0);
  const std::string text(buffer, static_cast<size_t>(count));
  EXPECT_EQ(text.find("too_early"), std::string::npos);
  EXPECT_EQ(text.find("silent"), std::string::npos);
  EXPECT_NE(text.find("level=debug event=test.heard n=1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("level=error event=test.surprise what=\"what happened\"\n"),
            std::string::npos);
  EXPECT_EQ(LogDropped(), 0u);

  for (int i = 0; i < 1'000; ++i) {
    Log(LogLevel::kInfo, "test.flood");
  }
  FlushLog();
  std::string flood(1 << 20, '\0');
  const ssize_t flooded = read(file, flood.data(), flood.size());
  EXPECT_GT(flooded, 0);
  EXPECT_LT(flooded, 40'000);  // 1000 lines would be more than 50 kB
  close(file);
  unlink(path);
}

}  // namespace
}  // namespace base
