// Folder: an empty folder of a test's own, gone with it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/check.h"

namespace io_test {

class Folder {
 public:
  Folder() : Folder(std::filesystem::temp_directory_path()) {}
  // On a filesystem whose syncs cost nothing, where there is one.
  static Folder InMemory() {
    const std::filesystem::path memory = "/dev/shm";
    return Folder(std::filesystem::is_directory(memory) ? memory
                                                        : std::filesystem::temp_directory_path());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  explicit Folder(const std::filesystem::path& root) : path_(root / "pgbraid-test-XXXXXX") {
    CHECK(mkdtemp(path_.data()) != nullptr);
  }
  std::string path_;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void WriteFile(const std::string& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  CHECK(file.good());
}

}  // namespace io_test
