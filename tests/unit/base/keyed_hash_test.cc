// Row R10 of the catalogue: who chooses names does not choose where they fall.
#include "base/keyed_hash.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <vector>

namespace base {
namespace {

// What a new process draws: that of a child that has not asked before.
uint64_t KeyOfAChild() {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const uint64_t key = ProcessHashKey();
    _exit(write(ends[1], &key, sizeof key) == sizeof key ? 0 : 1);
  }
  uint64_t key = 0;
  EXPECT_EQ(read(ends[0], &key, sizeof key), static_cast<ssize_t>(sizeof key));
  int status = 0;
  waitpid(child, &status, 0);
  close(ends[0]);
  close(ends[1]);
  return key;
}

size_t Fullest(const std::vector<std::string>& names, uint64_t key, size_t buckets) {
  std::vector<size_t> filled(buckets);
  for (const std::string& name : names) {
    ++filled[KeyedHashOf(name, key) % buckets];
  }
  return *std::max_element(filled.begin(), filled.end());
}

// Must be the first to ask for the key: the children then draw keys of their own.
TEST(R10KeyedHash, EveryProcessHasAKeyOfItsOwn) {
  std::set<uint64_t> keys;
  for (int i = 0; i < 4; ++i) {
    keys.insert(KeyOfAChild());
  }
  keys.insert(ProcessHashKey());
  EXPECT_EQ(keys.size(), 5u);
  EXPECT_EQ(ProcessHashKey(), ProcessHashKey());
}

TEST(R10KeyedHash, NamesThatFallTogetherUnderOneKeyDoNotUnderAnother) {
  constexpr size_t kBuckets = 64;
  std::vector<std::string> chosen;
  for (int i = 0; chosen.size() < 1000; ++i) {
    std::string name = "user" + std::to_string(i);
    if (KeyedHashOf(name, 1) % kBuckets == 0) {
      chosen.push_back(std::move(name));
    }
  }
  EXPECT_EQ(Fullest(chosen, 1, kBuckets), 1000u);
  EXPECT_LT(Fullest(chosen, 2, kBuckets), 60u);
}

}  // namespace
}  // namespace base
