// T7: where io_uring is forbidden or missing. A child process installs a seccomp filter, as a
// container's profile would, and finds out what ProbeUring() and pgbraid itself make of it.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <string>

#include "io/uring_probe.h"

namespace io_test {
namespace {

// From now on `call` fails with `error` in this process and its children.
bool Refuse(long call, int error) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<uint32_t>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

std::string ReadToEnd(int descriptor) {
  std::string text;
  char part[4096];
  for (ssize_t got; (got = read(descriptor, part, sizeof part)) > 0;) {
    text.append(part, static_cast<size_t>(got));
  }
  return text;
}

struct Ended {
  std::string text;
  int status = 0;
};

// "usable" or the reason, as a child under the filter sees it.
Ended ProbeUnder(long call, int error) {
  int channel[2];
  EXPECT_EQ(pipe(channel), 0);
  const pid_t child = fork();
  if (child == 0) {
    const bool refused = Refuse(call, error);
    const io::UringSupport support = io::ProbeUring();
    const std::string text = !refused ? "no filter" : support.usable ? "usable" : support.reason;
    const ssize_t written = write(channel[1], text.data(), text.size());
    _exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  close(channel[1]);
  Ended ended;
  ended.text = ReadToEnd(channel[0]);
  close(channel[0]);
  waitpid(child, &ended.status, 0);
  return ended;
}

TEST(FallbackTest, T7ForbiddenSetupNamesTheSeccompProfile) {
  const Ended ended = ProbeUnder(SYS_io_uring_setup, EPERM);
  EXPECT_EQ(ended.status, 0);
  EXPECT_NE(ended.text.find("seccomp"), std::string::npos) << ended.text;
  EXPECT_NE(ended.text.find("io_uring_disabled"), std::string::npos) << ended.text;
}

TEST(FallbackTest, T7ForbiddenEnterIsFoundOutByTrying) {
  const Ended ended = ProbeUnder(SYS_io_uring_enter, EPERM);
  EXPECT_EQ(ended.status, 0);
  EXPECT_NE(ended.text.find("io_uring_enter does not"), std::string::npos) << ended.text;
}

TEST(FallbackTest, T7ForbiddenRegisterIsNotUsable) {
  const Ended ended = ProbeUnder(SYS_io_uring_register, EPERM);
  EXPECT_EQ(ended.status, 0);
  EXPECT_NE(ended.text, "usable");
  EXPECT_NE(ended.text, "");
}

TEST(FallbackTest, T7MissingIoUringNamesTheKernelItNeeds) {
  const Ended ended = ProbeUnder(SYS_io_uring_setup, ENOSYS);
  EXPECT_EQ(ended.status, 0);
  EXPECT_NE(ended.text.find("kernel 6.1"), std::string::npos) << ended.text;
}

TEST(FallbackTest, T7ShortOfLockedMemoryNamesTheLimit) {
  const Ended ended = ProbeUnder(SYS_io_uring_setup, ENOMEM);
  EXPECT_EQ(ended.status, 0);
  EXPECT_NE(ended.text.find("memlock"), std::string::npos) << ended.text;
}

// Runs pgbraid under the filter. Once it says `until` it gets a SIGTERM; "" lets it end by itself.
Ended ServeUnder(const char* io, std::string_view until) {
  int channel[2];
  EXPECT_EQ(pipe(channel), 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(channel[1], 1);
    dup2(channel[1], 2);
    close(channel[0]);
    if (Refuse(SYS_io_uring_setup, EPERM)) {
      execl(PGBRAID_PROGRAM, "pgbraid", "--listen", "127.0.0.1:0", "--primary",
            "postgres://127.0.0.1:1", "--shards", "2", "--io", io, nullptr);
    }
    _exit(127);
  }
  close(channel[1]);
  Ended ended;
  char part[4096];
  bool asked = until.empty();
  for (ssize_t got; (got = read(channel[0], part, sizeof part)) > 0;) {
    ended.text.append(part, static_cast<size_t>(got));
    if (!asked && ended.text.find(until) != std::string::npos) {
      asked = true;
      kill(child, SIGTERM);
    }
  }
  close(channel[0]);
  waitpid(child, &ended.status, 0);
  return ended;
}

int CountOf(const std::string& text, std::string_view what) {
  int count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++count;
  }
  return count;
}

TEST(FallbackTest, T7ServesByEpollWithOneWarning) {
  const Ended ended = ServeUnder("auto", "server.started");
  EXPECT_TRUE(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 0) << ended.text;
  EXPECT_EQ(CountOf(ended.text, "level=warn"), 1) << ended.text;
  EXPECT_EQ(CountOf(ended.text, "seccomp"), 1) << ended.text;
  EXPECT_EQ(CountOf(ended.text, "io=epoll"), 1) << ended.text;
}

TEST(FallbackTest, T7AskedForIoUringItSaysWhyNotAndEnds) {
  const Ended ended = ServeUnder("io_uring", "");
  EXPECT_TRUE(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 1) << ended.text;
  EXPECT_NE(ended.text.find("--io io_uring"), std::string::npos) << ended.text;
  EXPECT_NE(ended.text.find("seccomp"), std::string::npos) << ended.text;
}

}  // namespace
}  // namespace io_test
