// Runs a fuzz target on every file of the folders given, whole and cut at every length: how a
// corpus is a test in a build without libFuzzer. Fails if a folder has no file or one cannot be
// read, and by the target's own checks.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// How many files there were; -1 if one cannot be read.
int Replay(const std::filesystem::path& folder) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(entry.path(), std::ios::binary);
    if (!file) {
      return -1;
    }
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    for (size_t length = 0; length <= bytes.size(); ++length) {
      const std::string part = bytes.substr(0, length);
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(part.data()), part.size());
    }
    ++count;
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const int count = Replay(argv[i]);
    std::printf("%s: %d inputs\n", argv[i], count);
    if (count <= 0) {
      return 1;
    }
  }
  return argc > 1 ? 0 : 1;
}
