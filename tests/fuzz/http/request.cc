// Requests cut at places that the input chooses give what the whole gives, within the bounds.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/request_parser.h"

namespace {

constexpr http::ParserLimits kLimits{.head_bytes = 512, .fields = 8, .body_bytes = 64};

void Demand(bool holds) {
  if (!holds) {
    std::abort();
  }
}

// What comes of `bytes` in pieces of `step` bytes; 0: whole.
std::string Outcome(std::string_view bytes, size_t step) {
  http::RequestParser parser(kLimits);
  std::string outcome;
  while (!bytes.empty()) {
    std::string_view piece = step == 0 ? bytes : bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    while (!piece.empty()) {
      const http::RequestParser::Progress progress = parser.Feed(&piece);
      if (progress == http::RequestParser::Progress::kRejected) {
        return outcome + std::to_string(parser.rejection().status);
      }
      if (progress == http::RequestParser::Progress::kRequest) {
        const http::Request& request = parser.request();
        Demand(request.body.size() <= kLimits.body_bytes);
        Demand(request.fields.size() <= kLimits.fields);
        Demand(request.path().size() <= request.target.size() || request.path() == "/");
        outcome += request.method + " " + request.target + "\n" + request.body + "\n";
      } else {
        Demand(piece.empty());
      }
    }
  }
  return outcome + (parser.in_request() ? "more" : "none");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string whole = Outcome(bytes, 0);
  Demand(Outcome(bytes, 1) == whole);
  Demand(Outcome(bytes, 1 + size_t{data[0]}) == whole);
  return 0;
}
