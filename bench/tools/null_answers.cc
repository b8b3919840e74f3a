#include "bench/tools/null_answers.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace bench {

uint32_t Get32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return ntohl(v);
}

void Put16(std::string& out, uint32_t v) {
  out.push_back(static_cast<char>(v >> 8));
  out.push_back(static_cast<char>(v));
}

void Put32(std::string& out, uint32_t v) {
  Put16(out, v >> 16);
  Put16(out, v & 0xffff);
}

void PutFrame(std::string& out, char type, std::string_view body) {
  out.push_back(type);
  Put32(out, static_cast<uint32_t>(body.size() + 4));
  out.append(body);
}

void PutTag(std::string& out, std::string_view tag) {
  std::string body(tag);
  body.push_back('\0');
  PutFrame(out, 'C', body);
}

namespace {

std::string RowDescription(int columns, bool binary) {
  std::string body;
  Put16(body, static_cast<uint32_t>(columns));
  for (int i = 0; i < columns; ++i) {
    body.append("value");
    body.push_back('\0');
    Put32(body, 0);
    Put16(body, 0);
    Put32(body, 25);  // text: its binary form is its text form
    Put16(body, 0xffff);
    Put32(body, 0xffffffff);
    Put16(body, binary ? 1 : 0);
  }
  std::string out;
  PutFrame(out, 'T', body);
  return out;
}

std::string FirstWords(std::string_view text) {
  std::string words;
  size_t i = 0;
  while (i < text.size() && (std::isspace(static_cast<unsigned char>(text[i])) || text[i] == '(')) {
    ++i;
  }
  for (; i < text.size() && words.size() < 24; ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (std::isspace(c)) {
      words.push_back(' ');
    } else if (std::isalpha(c)) {
      words.push_back(static_cast<char>(std::toupper(c)));
    } else {
      break;
    }
  }
  return words;
}

std::string TagOf(const std::string& words, std::string_view first) {
  if (first == "DISCARD" || first == "CREATE" || first == "DROP" || first == "ALTER") {
    const size_t second = words.find(' ', first.size() + 1);
    return words.substr(0, second);
  }
  if (first == "INSERT") return "INSERT 0 1";
  if (first == "UPDATE" || first == "DELETE" || first == "MERGE") return std::string(first) + " 1";
  if (first == "START") return "START TRANSACTION";
  if (first == "END") return "COMMIT";
  if (first == "ABORT") return "ROLLBACK";
  if (first == "TRUNCATE") return "TRUNCATE TABLE";
  return std::string(first);
}

uint64_t StreamRows(std::string_view text) {
  constexpr std::string_view kCall = "nullrows";
  size_t at = text.find(kCall);
  if (at == std::string_view::npos) return 0;
  at = std::min(text.find_first_of("0123456789", at), text.size());  // psql adds blanks
  const uint64_t bytes = std::strtoull(std::string(text.substr(at, 20)).c_str(), nullptr, 10);
  return std::max<uint64_t>(1, (bytes + kStreamRow - 1) / kStreamRow);
}

}  // namespace

uint32_t HighestParameter(std::string_view text) {
  uint32_t highest = 0;
  for (size_t i = text.find('$'); i != std::string_view::npos; i = text.find('$', i + 1)) {
    uint32_t number = 0;
    for (size_t j = i + 1; j < text.size() && j < i + 6 && std::isdigit(text[j]) != 0; ++j) {
      number = number * 10 + static_cast<uint32_t>(text[j] - '0');
    }
    highest = std::max(highest, number);
  }
  return std::min<uint32_t>(highest, 65535);
}

Kind Classify(std::string_view text) {
  using Verb = Kind::Verb;
  Kind kind;
  const std::string words = FirstWords(text);
  const std::string_view first = std::string_view(words).substr(0, words.find(' '));
  if (first.empty()) return kind;
  kind.stream_rows = StreamRows(text);
  if (first == "SELECT" || first == "WITH" || first == "SHOW" || first == "VALUES" ||
      first == "TABLE") {
    // pgbench asks for the partitions of its table and reads three columns.
    const bool partitions = text.find("partstrat") != std::string_view::npos;
    kind.verb = kind.stream_rows > 0 ? Verb::kStream : partitions ? Verb::kPartitions : Verb::kRows;
  } else if (first == "COPY") {
    const std::string_view tail = text.substr(text.size() > 256 ? text.size() - 256 : 0);
    std::string upper(tail);
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    const bool out = upper.find("STDOUT") != std::string::npos;
    kind.verb = out ? Verb::kCopyOut : Verb::kCopyIn;
    if (kind.stream_rows == 0) kind.stream_rows = 1;
  } else {
    const bool savepoint = words.rfind("ROLLBACK TO", 0) == 0;
    const bool end = first == "COMMIT" || first == "END" || first == "ABORT" ||
                     (first == "ROLLBACK" && !savepoint);
    kind.verb = first == "BEGIN" || first == "START" ? Verb::kBegin
                : end                                ? Verb::kEnd
                                                     : Verb::kOther;
    kind.tag = TagOf(words, first);
  }
  return kind;
}

Answers::Answers()
    : rows_text(RowDescription(1, false)),
      rows_binary(RowDescription(1, true)),
      partitions_head(RowDescription(3, false)) {
  PutFrame(login, 'R', std::string_view("\0\0\0\0", 4));
  for (auto [name, value] : {std::pair{"server_version", "15.0 (null)"},
                             {"server_encoding", "UTF8"},
                             {"client_encoding", "UTF8"},
                             {"DateStyle", "ISO, MDY"},
                             {"TimeZone", "UTC"},
                             {"IntervalStyle", "postgres"},
                             {"integer_datetimes", "on"},
                             {"standard_conforming_strings", "on"},
                             {"is_superuser", "off"},
                             {"session_authorization", "null"},
                             {"application_name", ""},
                             {"in_hot_standby", "off"},
                             {"default_transaction_read_only", "off"}}) {
    std::string body(name);
    body.push_back('\0');
    body.append(value);
    body.push_back('\0');
    PutFrame(login, 'S', body);
  }
  PutFrame(one_row, 'D',
           std::string_view("\0\1\0\0\0\1"
                            "1",
                            7));
  PutFrame(partitions_row, 'D',
           std::string_view("\0\3\0\0\0\1"
                            "1"
                            "\xff\xff\xff\xff\0\0\0\1"
                            "0",
                            16));
  std::string row;
  Put16(row, 1);
  Put32(row, kStreamRow);
  row.append(kStreamRow, 'n');
  const std::string line = std::string(kStreamRow - 1, 'n') + "\n";
  for (size_t i = 0; i < kStreamRun; ++i) {
    PutFrame(stream_rows, 'D', row);
    PutFrame(copy_rows, 'd', line);
  }
}

}  // namespace bench
