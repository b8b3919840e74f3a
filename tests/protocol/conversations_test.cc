// Golden conversations: each is read whole, byte by byte, and cut at every offset of every step;
// the trace must be that of traces/<name>.trace each time. `PGBRAID_WRITE_TRACES=<folder>` writes
// the traces of this run there, to be compared and checked in.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "pg/builders.h"
#include "pg/scram.h"
#include "protocol/conversation.h"
#include "support/pg_messages.h"

namespace protocol {
namespace {

using support::Be16;
using support::Be32;
using support::CommandComplete;
using support::CopyResponse;
using support::CString;
using support::DataRow;
using support::Frame;
using support::RowDescription;

// A builder's message as a string of its own.
template <typename Append, typename... Args>
std::string Made(Append append, Args&&... args) {
  std::string bytes;
  if constexpr (std::is_void_v<decltype(append(&bytes, args...))>) {
    append(&bytes, args...);
  } else {
    EXPECT_TRUE(append(&bytes, args...));
  }
  return bytes;
}

std::string Query(std::string_view text) { return Made(pg::AppendQuery, text); }
std::string Ready(char status) { return Made(pg::AppendReadyForQuery, status); }
std::string Sync() { return Made(pg::AppendSync); }
std::string Execute() { return Made(pg::AppendExecute, "", 0u); }
std::string Parse(std::string_view name, std::string_view text) {
  std::string bytes;
  const uint32_t types[] = {25};
  EXPECT_TRUE(pg::AppendParse(&bytes, name, text, types));
  return bytes;
}
std::string Bind(std::string_view statement, std::string_view value) {
  std::string bytes;
  const std::optional<std::string_view> values[] = {value};
  EXPECT_TRUE(pg::AppendBind(&bytes, {.statement = statement, .parameters = values}));
  return bytes;
}
std::string Error(std::string_view severity, std::string_view sqlstate, std::string_view message) {
  std::string bytes;
  pg::AppendErrorResponse(&bytes,
                          {.severity = severity, .sqlstate = sqlstate, .message = message});
  return bytes;
}
std::string StartupFor(std::string_view user) {
  std::string bytes;
  const pg::Setting parameters[] = {{"user", user}, {"database", "shop"}};
  EXPECT_TRUE(pg::AppendStartupMessage(&bytes, pg::kProtocol30, parameters));
  return bytes;
}
std::string LoggedIn() {
  return Made(pg::AppendAuthenticationOk) +
         Made(pg::AppendParameterStatus, "server_version", "15.4") +
         Made(pg::AppendBackendKeyData, 4711u, "\1\2\3\4") + Ready('I');
}

void ExpectGolden(const std::string& name, const Conversation& conversation) {
  const std::string whole = conversation.Read({});
  if (const char* folder = std::getenv("PGBRAID_WRITE_TRACES")) {
    std::ofstream(std::string(folder) + "/" + name + ".trace") << whole;
  }
  std::ifstream file(std::string(PGBRAID_TRACES) + "/" + name + ".trace");
  std::ostringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(whole, golden.str()) << name;
  EXPECT_EQ(whole.find('!'), std::string::npos);
  EXPECT_EQ(conversation.Read({.every_byte = true}), whole) << name << ", byte by byte";
  for (size_t step = 0; step < conversation.steps(); ++step) {
    for (size_t offset = 1; offset < conversation.bytes(step); ++offset) {
      ASSERT_EQ(conversation.Read({.step = step, .offset = offset}), whole)
          << name << ", step " << step << " cut at " << offset;
    }
  }
}

TEST(Conversations, SimpleQuery) {
  ExpectGolden("simple_query",
               Conversation()
                   .Startup(StartupFor("alice"))
                   .Server(LoggedIn())
                   .Client(Query("select a, b from t"))
                   .Server(RowDescription({"a", "b"}) + DataRow({"1", std::nullopt}) +
                           DataRow({"", "x\ty"}) + CommandComplete("SELECT 2") + Ready('I'))
                   .Client(Query(""))
                   .Server(Frame('I', "") + Ready('I'))
                   .Client(Made(pg::AppendTerminate)));
}

TEST(Conversations, MultiStatement) {
  ExpectGolden("multi_statement",
               Conversation()
                   .Client(Query("begin; insert into t values (1); select 1/0; select 2"))
                   .Server(CommandComplete("BEGIN") + CommandComplete("INSERT 0 1") +
                           Error("ERROR", "22012", "division by zero") + Ready('E'))
                   .Client(Query("rollback"))
                   .Server(CommandComplete("ROLLBACK") + Ready('I')));
}

TEST(Conversations, ExtendedQuery) {
  ExpectGolden("extended_query",
               Conversation()
                   .Client(Parse("s1", "select $1") + Made(pg::AppendDescribe, 'S', "s1") +
                           Made(pg::AppendFlush))
                   .Server(Frame('1', "") + Frame('t', Be16(1) + Be32(25)) +
                           RowDescription({"?column?"}))
                   .Client(Bind("s1", "one") + Made(pg::AppendExecute, "", 1u) + Sync())
                   .Server(Frame('2', "") + DataRow({"one"}) + Frame('s', "") + Ready('I'))
                   .Client(Made(pg::AppendClose, 'S', "s1") + Sync())
                   .Server(Frame('3', "") + Ready('I'))
                   .Client(Parse("", "set x = 1") + Made(pg::AppendDescribe, 'P', "") + Sync())
                   .Server(Frame('1', "") + Frame('n', "") + Ready('I')));
}

TEST(Conversations, PipelineWithError) {
  ExpectGolden("pipeline_with_error",
               Conversation()
                   .Client(Parse("", "select $1") + Bind("", "1") + Execute() +
                           Parse("", "select 1/0") + Bind("", "2") + Execute() +
                           Parse("", "select 3") + Bind("", "3") + Execute() + Sync() +
                           Parse("", "select $1") + Bind("", "4") + Execute() + Sync())
                   .Server(Frame('1', "") + Frame('2', "") + DataRow({"1"}) +
                           CommandComplete("SELECT 1") + Frame('1', "") + Frame('2', "") +
                           Error("ERROR", "22012", "division by zero") + Ready('I') +
                           Frame('1', "") + Frame('2', "") + DataRow({"4"}) +
                           CommandComplete("SELECT 1") + Ready('I')));
}

TEST(Conversations, CopyIn) {
  ExpectGolden("copy_in",
               Conversation()
                   .Client(Query("copy t from stdin"))
                   .Server(CopyResponse('G', 2))
                   .Client(Made(pg::AppendCopyData, "1\ta\n") +
                           Made(pg::AppendCopyData, std::string(300, 'x') + "\n") +
                           Made(pg::AppendCopyData, "") + Made(pg::AppendCopyDone))
                   .Server(CommandComplete("COPY 2") + Ready('I'))
                   .Client(Query("copy t from stdin"))
                   .Server(CopyResponse('G', 2))
                   .Client(Made(pg::AppendCopyData, "1\n") + Made(pg::AppendCopyFail, "no more"))
                   .Server(Error("ERROR", "57014", "COPY from stdin failed: no more") +
                           Ready('I')));
}

TEST(Conversations, CopyOut) {
  ExpectGolden("copy_out", Conversation()
                               .Client(Query("copy t to stdout"))
                               .Server(CopyResponse('H', 1) + Frame('d', "1\n") +
                                       Frame('d', "2\n") + Frame('c', "") +
                                       CommandComplete("COPY 2") + Ready('I')));
}

TEST(Conversations, CopyBoth) {
  ExpectGolden("copy_both",
               Conversation()
                   .Client(Query("START_REPLICATION SLOT s LOGICAL 0/0"))
                   .Server(CopyResponse('W', 0) + Frame('d', "k" + std::string(17, '\0')))
                   .Client(Made(pg::AppendCopyData, "r" + std::string(33, '\0')))
                   .Server(Frame('d', "w" + std::string(24, '\0') + "BEGIN 1") + Frame('c', ""))
                   .Client(Made(pg::AppendCopyDone))
                   .Server(CommandComplete("START_REPLICATION") + Ready('I')));
}

TEST(Conversations, FunctionCall) {
  ExpectGolden("function_call",
               Conversation()
                   .Client(Frame('F', Be32(1598) + Be16(1) + Be16(0) + Be16(2) +
                                          support::Value("7") + support::Value(std::nullopt) +
                                          Be16(0)))
                   .Server(Frame('V', support::Value("0.5")) + Ready('I'))
                   .Client(Frame('F', Be32(1) + Be16(0) + Be16(0) + Be16(1)))
                   .Server(Frame('V', support::Value(std::nullopt)) + Ready('I')));
}

TEST(Conversations, NoticeAndNotification) {
  std::string notice;
  pg::AppendNoticeResponse(
      &notice, {.severity = "NOTICE", .sqlstate = "00000", .message = "h\xc3\xa9", .hint = "hint"});
  ExpectGolden("notice_and_notification",
               Conversation()
                   .Client(Query("listen jobs"))
                   .Server(notice + CommandComplete("LISTEN") + Ready('I'))
                   .Server(Frame('A', Be32(4711) + CString("jobs") + CString("new")))
                   .Server(Made(pg::AppendParameterStatus, "TimeZone", "UTC")));
}

TEST(Conversations, Cancel) {
  ExpectGolden("cancel", Conversation().Startup(Made(pg::AppendCancelRequest, 4711u, "abcd")));
}

TEST(Conversations, StartupWithGssAndSslRequest) {
  ExpectGolden("startup_with_gss_and_ssl_request",
               Conversation()
                   .Startup(Made(pg::AppendGssEncRequest))
                   .Answer('N')
                   .Startup(Made(pg::AppendSslRequest))
                   .Answer('N')
                   .Startup(StartupFor("alice"))
                   .Server(LoggedIn())
                   .Client(Made(pg::AppendTerminate)));
}

TEST(Conversations, Md5Login) {
  const std::string salt = "salt";
  ExpectGolden("md5_login",
               Conversation()
                   .Startup(StartupFor("alice"))
                   .Server(Frame('R', Be32(5) + salt))
                   .Client(Made(pg::AppendPasswordMessage,
                                pg::Md5Response(pg::Md5Secret("alice", "secret"), salt)))
                   .Server(LoggedIn()));
}

// The exchange of RFC 7677, section 3.
TEST(Conversations, ScramLogin) {
  const std::string server_first =
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
  pg::ScramClient client("user", "rOprNGfwEbeRWgbNEkqO");
  const std::string first = client.First();
  const absl::StatusOr<pg::ScramChallenge> asked = client.OnServerFirst(server_first);
  ASSERT_TRUE(asked.ok());
  const std::string second =
      client.Final(pg::DeriveScramKeys("pencil", asked->salt, asked->iterations));
  ExpectGolden("scram_login",
               Conversation()
                   .Startup(StartupFor("user"))
                   .Server(Frame('R', Be32(10) + CString("SCRAM-SHA-256-PLUS") +
                                          CString("SCRAM-SHA-256") + CString("")))
                   .Client(Made(pg::AppendSaslInitialResponse, pg::kScramSha256, first))
                   .Server(Frame('R', Be32(11) + server_first))
                   .Client(Made(pg::AppendSaslResponse, second))
                   .Server(Frame('R', Be32(12) + "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") +
                           LoggedIn()));
}

TEST(Conversations, ErrorInStartup) {
  ExpectGolden("error_in_startup",
               Conversation()
                   .Startup(StartupFor("nobody"))
                   .Server(Error("FATAL", "28000", "role \"nobody\" does not exist")));
}

TEST(Conversations, VersionNegotiation) {
  std::string startup;
  const pg::Setting parameters[] = {{"user", "alice"}, {"_pq_.compression", "on"}};
  ASSERT_TRUE(pg::AppendStartupMessage(&startup, pg::kProtocol32, parameters));
  std::string negotiate;
  const std::string_view unknown[] = {"_pq_.compression"};
  ASSERT_TRUE(pg::AppendNegotiateProtocolVersion(&negotiate, pg::kProtocol30, unknown));
  ExpectGolden("version_negotiation",
               Conversation().Startup(startup).Server(negotiate + LoggedIn()));
}

}  // namespace
}  // namespace protocol
