#include "http/request_parser.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace http {
namespace {

constexpr uint32_t kBodyMax = 1000;

struct Outcome {
  std::vector<Request> requests;
  int status = 0;  // of the rejection; 0: none
  bool in_request = false;
};

// Everything that comes of `bytes`, fed in pieces that end at the offsets in `cuts`.
Outcome Parse(std::string_view bytes, const std::vector<size_t>& cuts) {
  RequestParser parser(ParserLimits{.body_bytes = kBodyMax});
  Outcome outcome;
  size_t from = 0;
  for (size_t i = 0; i <= cuts.size() && outcome.status == 0; ++i) {
    const size_t to = i < cuts.size() ? cuts[i] : bytes.size();
    std::string_view piece = bytes.substr(from, to - from);
    from = to;
    while (!piece.empty() && outcome.status == 0) {
      const RequestParser::Progress progress = parser.Feed(&piece);
      if (progress == RequestParser::Progress::kRequest) {
        outcome.requests.push_back(parser.request());
      } else if (progress == RequestParser::Progress::kRejected) {
        outcome.status = parser.rejection().status;
        EXPECT_FALSE(parser.rejection().what.empty());
      } else {
        EXPECT_TRUE(piece.empty());
      }
    }
  }
  outcome.in_request = parser.in_request();
  return outcome;
}

std::string Text(const Outcome& outcome) {
  std::string text;
  for (const Request& request : outcome.requests) {
    text += request.method + " " + request.target + (request.keep_alive ? " keep" : " close");
    for (const Field& field : request.fields) {
      text += " " + field.name + "=" + field.value;
    }
    text += " [" + request.body + "]\n";
  }
  return text + std::to_string(outcome.status);
}

// Whole, byte by byte and cut in two everywhere: always the same.
Outcome ParseAllWays(const std::string& bytes) {
  const Outcome whole = Parse(bytes, {});
  std::vector<size_t> every;
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    every.push_back(cut);
    EXPECT_EQ(Text(Parse(bytes, {cut})), Text(whole)) << "cut at " << cut;
  }
  EXPECT_EQ(Text(Parse(bytes, every)), Text(whole)) << "byte by byte";
  return whole;
}

int StatusOf(const std::string& bytes) {
  const Outcome outcome = ParseAllWays(bytes);
  EXPECT_TRUE(outcome.requests.empty()) << Text(outcome);
  return outcome.status;
}

int StatusOfFields(const std::string& fields) {
  return StatusOf("POST /x HTTP/1.1\r\nHost: a\r\n" + fields + "\r\nabcde");
}

int StatusOfChunks(const std::string& body) {
  return StatusOf("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body);
}

TEST(RequestParser, ReadsARequestWithoutBody) {
  const Outcome outcome =
      ParseAllWays("GET /metrics?a=b HTTP/1.1\r\nHost: a:1\r\nAccept:  */* \r\n\r\n");
  EXPECT_EQ(Text(outcome), "GET /metrics?a=b keep Host=a:1 Accept=*/* []\n0");
  EXPECT_FALSE(outcome.in_request);
}

TEST(RequestParser, KnowsWhenARequestHasBegun) {
  EXPECT_FALSE(Parse("", {}).in_request);
  EXPECT_TRUE(Parse("G", {}).in_request);
  EXPECT_TRUE(Parse("GET / HTTP/1.1\r\nHost: a\r\n\r\nG", {}).in_request);
}

TEST(RequestParser, ReadsBodies) {
  EXPECT_EQ(Text(ParseAllWays("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab\r\ne")),
            "POST /x keep Host=a Content-Length=5 [ab\r\ne]\n0");
  EXPECT_EQ(Text(ParseAllWays("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")),
            "POST /x keep Host=a Content-Length=0 []\n0");
  EXPECT_EQ(Text(ParseAllWays("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
                              "3\r\na\r\n\r\n00B\r\nhello world\r\n0\r\n\r\n")),
            "POST /x keep Host=a Transfer-Encoding=Chunked [a\r\nhello world]\n0");
}

TEST(RequestParser, TellsWhetherTheConnectionStays) {
  EXPECT_TRUE(Parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n", {}).requests[0].keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", {})
                   .requests[0]
                   .keep_alive);
  EXPECT_FALSE(Parse("GET / HTTP/1.0\r\n\r\n", {}).requests[0].keep_alive);
  EXPECT_TRUE(Parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", {}).requests[0].keep_alive);
}

TEST(RequestParser, P1RefusesLengthBesideTransferEncoding) {
  EXPECT_EQ(StatusOfFields("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400);
  EXPECT_EQ(StatusOfFields("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400);
  EXPECT_EQ(StatusOfFields("content-LENGTH: 5\r\ntransfer-ENCODING: CHUNKED\r\n"), 400);
  EXPECT_EQ(StatusOfFields("TRANSFER-encoding: chunked\r\nX: y\r\nContent-Length: 0\r\n"), 400);
}

TEST(RequestParser, P2RefusesDoubtfulLengths) {
  for (const char* value :
       {"5\r\nContent-Length: 5", "5\r\nContent-Length: 6", "5, 5", "5,5", "+5", "-5", "0x5", "05",
        "00", "5 5", "5a", "", "99999999999999999999", "18446744073709551616",
        "18446744073709551615", "5.0", "1e1", "\"5\""}) {
    EXPECT_EQ(StatusOfFields("Content-Length: " + std::string(value) + "\r\n"), 400) << value;
  }
}

TEST(RequestParser, P3RefusesOtherTransferCodings) {
  for (const char* value : {"chunkedx", "xchunked", "gzip", "gzip, chunked", "chunked, chunked",
                            "identity", "chunked;a=b", "\"chunked\"", "", "chunk", "chunked,"}) {
    const int status = StatusOfFields("Transfer-Encoding: " + std::string(value) + "\r\n");
    EXPECT_TRUE(status == 501 || status == 400) << value << ": " << status;
  }
  EXPECT_EQ(StatusOfFields("Transfer-Encoding:\tchunked\r\n"), 400);
  EXPECT_EQ(StatusOfFields("Transfer-Encoding: chunked\x0b\r\n"), 400);
  EXPECT_EQ(StatusOfFields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400);
  EXPECT_EQ(StatusOfFields("Transfer-Encoding:\r\n chunked\r\n"), 400);
  EXPECT_EQ(StatusOf("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
}

TEST(RequestParser, P4RefusesBareLineEndsControlBytesAndFolding) {
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\nHost: a\n\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\rHost: a\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(StatusOfFields("X: a\r\n b\r\n"), 400);
  EXPECT_EQ(StatusOfFields("X : a\r\n"), 400);
  EXPECT_EQ(StatusOfFields(": a\r\n"), 400);
  EXPECT_EQ(StatusOfFields("no colon\r\n"), 400);
  for (int code = 0; code < 256; ++code) {
    if ((code < ' ' && code != '\r') || code == 0x7f) {
      const std::string byte(1, static_cast<char>(code));
      EXPECT_EQ(StatusOfFields("X: a" + byte + "b\r\n"), 400) << code;
      EXPECT_EQ(StatusOf("GET /" + byte + " HTTP/1.1\r\nHost: a\r\n\r\n"), 400) << code;
    }
  }
}

TEST(RequestParser, P5RefusesDoubtfulChunks) {
  for (const char* body :
       {"+5\r\nabcde\r\n0\r\n\r\n", "0x5\r\nabcde\r\n0\r\n\r\n", "-1\r\n\r\n", " 5\r\nabcde\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n", "5;a=b\r\nabcde\r\n0\r\n\r\n", "5;\r\nabcde\r\n0\r\n\r\n",
        "5\nabcde\r\n0\r\n\r\n", "5\r\nabcdeX\r\n0\r\n\r\n", "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcde\r\n0\r\nX: y\r\n\r\n", "0\r\nContent-Length: 5\r\n\r\n", "0\r\nX\r\n\r\n",
        "\r\n5\r\nabcde\r\n", "0\r\n\rX", "g\r\n\r\n", "0\r\n\n", "0\rX\n\r\n",
        "000000000000000000000000005\r\nabcde\r\n"}) {
    EXPECT_EQ(StatusOfChunks(body), 400) << body;
  }
}

TEST(RequestParser, P5RefusesOverflowingChunkSizes) {
  for (const char* size : {"ffffffffffffffff", "fffffffffffffffff", "10000000000000005", "3e9",
                           "7fffffff", "80000000", "100000000"}) {
    const int status = StatusOfChunks(std::string(size) + "\r\nabcde\r\n0\r\n\r\n");
    EXPECT_TRUE(status == 413 || status == 400) << size << ": " << status;
  }
}

TEST(RequestParser, P6RefusesExpectations) {
  EXPECT_EQ(StatusOfFields("Content-Length: 5\r\nExpect: 100-continue\r\n"), 417);
}

TEST(RequestParser, P7RunsNothingBehindABadRequest) {
  std::string bytes;
  for (int i = 0; i < 200; ++i) {
    bytes += "GET /" + std::to_string(i) + (i == 100 ? " HTTP/1.1\n" : " HTTP/1.1\r\n") +
             "Host: a\r\n\r\n";
  }
  std::vector<size_t> sevenths;
  for (size_t cut = 7; cut < bytes.size(); cut += 7) {
    sevenths.push_back(cut);
  }
  for (const Outcome& outcome : {Parse(bytes, {}), Parse(bytes, sevenths)}) {
    ASSERT_EQ(outcome.requests.size(), 100u);
    EXPECT_EQ(outcome.requests[99].target, "/99");
    EXPECT_EQ(outcome.status, 400);
  }
}

TEST(RequestParser, StaysRejected) {
  RequestParser parser(ParserLimits{});
  std::string_view bad = "\n";
  EXPECT_EQ(parser.Feed(&bad), RequestParser::Progress::kRejected);
  std::string_view good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(parser.Feed(&good), RequestParser::Progress::kRejected);
}

TEST(RequestParser, P8BoundsTheHead) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(Parse(start + "X: " + std::string(100'000, 'a') + "\r\n\r\n", {}).status, 431);
  EXPECT_EQ(Parse("GET /" + std::string(1 << 20, 'a') + " HTTP/1.1\r\n\r\n", {}).status, 414);
  std::string many = start;
  for (int i = 0; i < 99; ++i) {
    many += "X: y\r\n";
  }
  EXPECT_EQ(Parse(many + "\r\n", {}).requests.at(0).fields.size(), 100u);
  EXPECT_EQ(Parse(many + "X: y\r\n\r\n", {}).status, 431);
}

TEST(RequestParser, P8TakesAHeadOfExactlyTheBound) {
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const std::string most(8192 - start.size() - 4, 'a');
  EXPECT_EQ(Parse(start + most + "\r\n\r\n", {}).requests.size(), 1u);
  EXPECT_EQ(Parse(start + most + "a\r\n\r\n", {}).status, 431);
}

TEST(RequestParser, P10BoundsTheBody) {
  const std::string most(kBodyMax, 'a');
  const std::string start = "POST / HTTP/1.1\r\nHost: a\r\n";
  EXPECT_EQ(Parse(start + "Content-Length: 1000\r\n\r\n" + most, {}).requests.at(0).body, most);
  EXPECT_EQ(StatusOfFields("Content-Length: 1001\r\n"), 413);
  EXPECT_EQ(StatusOfFields("Content-Length: 10000000000\r\n"), 413);
  const std::string chunked =
      start + "Transfer-Encoding: chunked\r\n\r\n3e7\r\n" + most.substr(1) + "\r\n";
  EXPECT_EQ(Parse(chunked + "1\r\na\r\n0\r\n\r\n", {}).requests.at(0).body, most);
  EXPECT_EQ(Parse(chunked + "2\r\naa\r\n0\r\n\r\n", {}).status, 413);
}

TEST(RequestParser, P18RefusesTheHttp2Preface) {
  EXPECT_EQ(StatusOf("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505);
}

TEST(RequestParser, A15RefusesOtherProtocolsAtTheFirstByteThatCannotBe) {
  EXPECT_EQ(StatusOf(std::string("\0\0\0\x08\x04\xd2\x16\x2f", 8)), 400);
  EXPECT_EQ(StatusOf("\x16\x03\x01"), 400);
}

TEST(RequestParser, RefusesAMissingOrRepeatedHost) {
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(StatusOf("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
}

TEST(RequestParser, RefusesMalformedRequestLines) {
  for (const char* line :
       {"GET /", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET / http/1.1", "GET", "GET / HTTP/1.2",
        "GET / HTTP/11", "G(T / HTTP/1.1", "GET / / HTTP/1.1"}) {
    const int status = StatusOf(std::string(line) + "\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(status == 400 || status == 505) << line << ": " << status;
  }
}

}  // namespace
}  // namespace http
