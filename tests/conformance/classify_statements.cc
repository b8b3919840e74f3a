// classify_statements FILE: what sql/ says of each statement of a file.
//
// For tests/conformance/oracle. The statements end with a NUL byte; one line is printed for each,
// as tests/unit/sql/describe.h writes it. Exit status 2 if the file cannot be read.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "sql/classify.h"
#include "unit/sql/describe.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: classify_statements FILE\n", stderr);
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file.good() && !file.eof()) {
    std::fputs("classify_statements: the file cannot be read\n", stderr);
    return 2;
  }
  std::string_view rest = all;
  while (!rest.empty()) {
    const std::string_view text = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(text.size() + 1);
    std::string line = sql_test::Describe(sql::Classify(text));
    for (char& c : line) {
      c = c == '\n' ? ' ' : c;  // of an odd name
    }
    std::puts(line.c_str());
  }
  return 0;
}
