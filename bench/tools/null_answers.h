// What null_backend answers: the kinds of statement it tells apart by their text, its ready-made
// frames, and the writers for the rest. Pure; used by every loop's thread, nothing is shared but
// the immutable Answers. A text it does not know is a command that succeeds. Bound: one frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bench {

constexpr size_t kStreamRow = 1000;  // payload bytes of one row of nullrows()
constexpr size_t kStreamRun = 64;    // rows built at once

uint32_t Get32(const char* p);
void Put16(std::string& out, uint32_t v);
void Put32(std::string& out, uint32_t v);
void PutFrame(std::string& out, char type, std::string_view body);
void PutTag(std::string& out, std::string_view tag);

// What a statement's text asks for; decided once, at Parse or Query.
struct Kind {
  enum class Verb { kEmpty, kRows, kPartitions, kStream, kCopyOut, kCopyIn, kBegin, kEnd, kOther };
  Verb verb = Verb::kEmpty;
  uint64_t stream_rows = 0;
  uint32_t parameters = 0;
  std::string tag;  // of kBegin, kEnd and kOther
};

Kind Classify(std::string_view text);

// The highest $n in `text`, at most 65535; 0 when there is none.
uint32_t HighestParameter(std::string_view text);

// Answers that never change, built once and shared read-only by all threads.
struct Answers {
  Answers();

  std::string login;  // AuthenticationOk and every ParameterStatus a driver looks for
  std::string rows_text;
  std::string rows_binary;
  std::string partitions_head;
  std::string one_row;
  std::string partitions_row;
  std::string stream_rows;  // kStreamRun DataRow frames
  std::string copy_rows;    // kStreamRun CopyData frames
};

}  // namespace bench

