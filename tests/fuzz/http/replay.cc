// Runs the fuzz target on the files of the folders named on the command line, whole and cut at
// every length, where there is no libFuzzer. Fails if there was no file.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  int files = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      for (size_t length = 0; length <= text.size(); ++length) {
        const std::string part = text.substr(0, length);
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(part.data()), part.size());
      }
      ++files;
    }
  }
  std::printf("%d files replayed\n", files);
  return files == 0 ? 1 : 0;
}
