#include "http/request_parser.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <utility>

// GCC 12 with sanitizers calls an empty boost::optional uninitialised.
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/field.hpp>
#pragma GCC diagnostic pop

#include "http/head_scanner.h"

namespace http {
namespace {

namespace beast = boost::beast;
using beast::error_code;

// Line ends and sizes between chunks: the longest that a client needs is CRLF, 16
// digits, CRLF, CRLF.
constexpr size_t kChunkLineBytes = 22;
constexpr size_t kLengthDigits = 18;  // fewer than what could overflow

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

bool IsLength(std::string_view text) {
  const bool digits =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits && !text.empty() && text.size() <= kLengthDigits &&
         (text[0] != '0' || text.size() == 1);
}

enum class ChunkLine : uint8_t { kPart, kWhole, kBad };

// `held` is a chunk's size line, behind the CRLF of the chunk before it, if any; behind the last
// size comes an empty line. Beast 1.74 asserts, on a peer's bytes, that the last size and what
// follows it never come to fewer than five bytes: it gets them together or not at all.
ChunkLine JudgeChunkLine(std::string_view held) {
  if (held.starts_with("\r\n")) {
    held.remove_prefix(2);
  }
  const size_t end = held.find('\n');
  if (end == std::string_view::npos) {
    return ChunkLine::kPart;
  }
  if (end < 2 || held[end - 1] != '\r') {
    return ChunkLine::kBad;
  }
  if (held.find_first_not_of('0') != end - 1) {
    return ChunkLine::kWhole;
  }
  const std::string_view behind = held.substr(end + 1);
  if (behind == "\r\n") {
    return ChunkLine::kWhole;
  }
  return behind.empty() || behind == "\r" ? ChunkLine::kPart : ChunkLine::kBad;
}

// Beast's grammar, with our own refusals in its callbacks.
class Grammar final : public beast::http::basic_parser<true> {
 public:
  explicit Grammar(const ParserLimits& limits) : body_bytes_max_(limits.body_bytes) {
    header_limit(limits.head_bytes + 1);  // HeadScanner counts
    body_limit(uint64_t{limits.body_bytes});
  }
  Request& request() { return request_; }
  const std::optional<Rejection>& refused() const { return refused_; }
  uint64_t chunk_left() const { return chunk_left_; }

 private:
  void Refuse(int status, std::string_view what, error_code& error) {
    refused_ = Rejection{.status = status, .what = what};
    error = beast::http::error::bad_field;
  }

  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target,
                       int version, error_code&) override {
    version_ = version;
    request_.method = View(method);
    request_.target = View(target);
  }

  void on_response_impl(int, beast::string_view, int, error_code&) override {}

  void on_field_impl(beast::http::field field, beast::string_view name, beast::string_view value,
                     error_code& error) override {
    if (field == beast::http::field::host && std::exchange(host_, true)) {
      return Refuse(400, "Host twice", error);
    }
    if (field == beast::http::field::content_length) {
      if (std::exchange(length_, true) || coded_) {
        return Refuse(400, "Content-Length twice or with Transfer-Encoding", error);
      }
      if (!IsLength(View(value))) {
        return Refuse(400, "Content-Length is not a number", error);
      }
    }
    if (field == beast::http::field::transfer_encoding) {
      if (std::exchange(coded_, true) || length_) {
        return Refuse(400, "Transfer-Encoding twice or with Content-Length", error);
      }
      if (!beast::iequals(value, "chunked")) {
        return Refuse(501, "Transfer-Encoding other than chunked", error);
      }
    }
    if (field == beast::http::field::expect) {
      return Refuse(417, "Expect is not supported", error);
    }
    request_.fields.push_back({std::string(View(name)), std::string(View(value))});
  }

  void on_header_impl(error_code& error) override {
    if (version_ == kHttp11 && !host_) {
      return Refuse(400, "no Host", error);
    }
    if (version_ != kHttp11 && coded_) {
      return Refuse(400, "Transfer-Encoding in HTTP/1.0", error);
    }
    request_.keep_alive = keep_alive();
  }

  void on_body_init_impl(const boost::optional<uint64_t>& length, error_code& error) override {
    if (length.has_value() && *length > body_bytes_max_) {
      Refuse(413, "body too large", error);
    }
  }

  size_t on_body_impl(beast::string_view body, error_code&) override {
    request_.body += View(body);
    return body.size();
  }

  void on_chunk_header_impl(uint64_t size, beast::string_view extensions,
                            error_code& error) override {
    if (!extensions.empty()) {
      return Refuse(400, "chunk extension", error);
    }
    if (size > body_bytes_max_ - request_.body.size()) {
      return Refuse(413, "body too large", error);
    }
    chunk_left_ = size;
  }

  size_t on_chunk_body_impl(uint64_t, beast::string_view body, error_code&) override {
    chunk_left_ -= body.size();
    request_.body += View(body);
    return body.size();
  }

  void on_finish_impl(error_code&) override {}

  static constexpr int kHttp11 = 11;
  const uint32_t body_bytes_max_;
  Request request_;
  std::optional<Rejection> refused_;
  uint64_t chunk_left_ = 0;  // bytes of the current chunk that have not come
  int version_ = 0;
  bool host_ = false;
  bool length_ = false;
  bool coded_ = false;
};

Rejection FromError(const error_code& error) {
  if (error == beast::http::error::bad_version) {
    return {.status = 505, .what = "not HTTP/1.0 or HTTP/1.1"};
  }
  if (error == beast::http::error::body_limit) {
    return {.status = 413, .what = "body too large"};
  }
  return {.status = 400, .what = "malformed request"};
}

}  // namespace

// One request at a time: head into `held_`, then the body straight through.
class RequestParser::Machine {
 public:
  explicit Machine(const ParserLimits& limits) : limits_(limits) { Begin(); }

  Progress Feed(std::string_view* bytes);
  bool in_request() const { return phase_ != Phase::kDone && scanner_->taken() > 0; }
  const Request& request() const { return request_; }
  const Rejection& rejection() const { return rejection_; }

 private:
  enum class Phase : uint8_t { kHead, kBody, kChunkLine, kDone, kRejected };

  void Begin();
  void TakeHead(std::string_view* bytes);
  void TakeBody(std::string_view* bytes);
  void TakeChunkLine(std::string_view* bytes);
  // What the grammar took of `bytes`; moves to the phase that follows.
  size_t Put(std::string_view bytes);
  void PutHeld();
  void Reject(const Rejection& rejection);

  const ParserLimits limits_;
  Phase phase_ = Phase::kHead;
  std::optional<HeadScanner> scanner_;
  std::optional<Grammar> grammar_;
  std::string held_;  // the head, or the line between two chunks, so far
  Request request_;
  Rejection rejection_;
};

void RequestParser::Machine::Begin() {
  phase_ = Phase::kHead;
  scanner_.emplace(limits_);
  grammar_.emplace(limits_);
  held_.clear();
}

void RequestParser::Machine::Reject(const Rejection& rejection) {
  rejection_ = rejection;
  phase_ = Phase::kRejected;
}

RequestParser::Progress RequestParser::Machine::Feed(std::string_view* bytes) {
  if (phase_ == Phase::kDone) {
    Begin();
  }
  while (!bytes->empty() && phase_ != Phase::kDone && phase_ != Phase::kRejected) {
    if (phase_ == Phase::kHead) {
      TakeHead(bytes);
    } else if (phase_ == Phase::kBody) {
      TakeBody(bytes);
    } else {
      TakeChunkLine(bytes);
    }
  }
  if (phase_ == Phase::kDone) {
    request_ = std::move(grammar_->request());
    return Progress::kRequest;
  }
  return phase_ == Phase::kRejected ? Progress::kRejected : Progress::kMore;
}

void RequestParser::Machine::TakeHead(std::string_view* bytes) {
  size_t taken = 0;
  HeadScanner::Verdict verdict = HeadScanner::Verdict::kMore;
  while (taken < bytes->size() && verdict == HeadScanner::Verdict::kMore) {
    verdict = scanner_->Take((*bytes)[taken++]);
  }
  if (verdict == HeadScanner::Verdict::kRejected) {
    return Reject(scanner_->rejection());
  }
  held_.append(bytes->substr(0, taken));
  bytes->remove_prefix(taken);
  if (verdict == HeadScanner::Verdict::kEnd) {
    PutHeld();
  }
}

// Bytes whose number is known: they pass without being held.
void RequestParser::Machine::TakeBody(std::string_view* bytes) {
  const std::string_view part =
      grammar_->chunked() ? bytes->substr(0, grammar_->chunk_left()) : *bytes;
  const size_t taken = Put(part);
  if (taken == 0 && phase_ == Phase::kBody) {
    Reject({.status = 400, .what = "malformed body"});
  }
  bytes->remove_prefix(taken);
}

void RequestParser::Machine::TakeChunkLine(std::string_view* bytes) {
  held_.push_back(bytes->front());
  bytes->remove_prefix(1);
  const ChunkLine line = JudgeChunkLine(held_);
  if (line == ChunkLine::kBad) {
    return Reject({.status = 400, .what = "malformed chunk"});
  }
  if (line == ChunkLine::kWhole) {
    PutHeld();
  }
  if (phase_ == Phase::kChunkLine && held_.size() > kChunkLineBytes) {
    Reject({.status = 400, .what = "malformed chunk"});
  }
}

// Until the grammar wants more than what is held.
void RequestParser::Machine::PutHeld() {
  size_t taken = 1;
  while (taken > 0 && !held_.empty() && phase_ != Phase::kDone && phase_ != Phase::kRejected) {
    taken = Put(held_);
    held_.erase(0, taken);
  }
}

size_t RequestParser::Machine::Put(std::string_view bytes) {
  error_code error;
  size_t taken = 0;
  try {
    taken = grammar_->put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  } catch (const std::exception&) {
    Reject({.status = 400, .what = "malformed request"});
    return 0;
  }
  if (error && error != beast::http::error::need_more) {
    Reject(grammar_->refused().value_or(FromError(error)));
    return 0;
  }
  if (grammar_->is_done()) {
    phase_ = Phase::kDone;
  } else if (grammar_->is_header_done()) {
    const bool line = grammar_->chunked() && grammar_->chunk_left() == 0;
    phase_ = line ? Phase::kChunkLine : Phase::kBody;
  }
  return taken;
}

RequestParser::RequestParser(const ParserLimits& limits)
    : machine_(std::make_unique<Machine>(limits)) {}

RequestParser::~RequestParser() = default;

RequestParser::Progress RequestParser::Feed(std::string_view* bytes) {
  return machine_->Feed(bytes);
}

bool RequestParser::in_request() const { return machine_->in_request(); }
const Request& RequestParser::request() const { return machine_->request(); }
const Rejection& RequestParser::rejection() const { return machine_->rejection(); }

}  // namespace http
