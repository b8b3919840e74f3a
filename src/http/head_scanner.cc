#include "http/head_scanner.h"

namespace http {

HeadScanner::Verdict HeadScanner::Reject(int status, std::string_view what) {
  rejection_ = {.status = status, .what = what};
  return Verdict::kRejected;
}

HeadScanner::Verdict HeadScanner::EndLine() {
  after_cr_ = false;
  if (line_bytes_ == 0) {
    return lines_ == 0 ? Reject(400, "empty request line") : Verdict::kEnd;
  }
  line_bytes_ = 0;
  ++lines_;
  return lines_ > 1 + limits_.fields ? Reject(431, "too many header fields") : Verdict::kMore;
}

HeadScanner::Verdict HeadScanner::Take(char byte) {
  if (++taken_ > limits_.head_bytes) {
    return lines_ == 0 ? Reject(414, "request line too long") : Reject(431, "header too large");
  }
  if (after_cr_) {
    return byte == '\n' ? EndLine() : Reject(400, "CR without LF");
  }
  if (byte == '\r') {
    after_cr_ = true;
    return Verdict::kMore;
  }
  const auto code = static_cast<unsigned char>(byte);
  if (code < ' ' || code == 0x7f) {
    return Reject(400, byte == '\n' ? "LF without CR" : "control byte in the header");
  }
  if (byte == ' ' && line_bytes_ == 0) {
    return Reject(400, lines_ == 0 ? "space before the method" : "folded header line");
  }
  ++line_bytes_;
  return Verdict::kMore;
}

}  // namespace http
