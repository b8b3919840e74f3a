// TLS streams on every engine: bytes in both directions, records cut anywhere, back-pressure, key
// updates, and the ways in which a connection ends.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "unit/io/tls_rig.h"

namespace io_test {
namespace {

class TlsStreamTest : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Engines, TlsStreamTest, testing::ValuesIn(Kinds()), ParamName);

// Two streams of one loop, shaken hands.
struct Pair {
  explicit Pair(TlsRig* rig) : accepted(rig->loop()), dialled(rig->loop()) {
    const Ends ends = TcpPair();
    accepted.Adopt(ends.ours, io::Traffic::kClient);
    dialled.Adopt(ends.theirs, io::Traffic::kServer);
    const auto [ours, theirs] =
        rig->Shake(&accepted, rig->server(), &dialled, rig->client(), rig->named());
    EXPECT_TRUE(ours.ok()) << base::Message(ours);
    EXPECT_TRUE(theirs.ok()) << base::Message(theirs);
  }
  io::Stream accepted;
  io::Stream dialled;
};

TEST_P(TlsStreamTest, EchoesRandomSizesExactly) {
  TlsRig rig(GetParam());
  Pair pair(&rig);
  std::string got;
  rig.scope().Spawn(ReadAll(&pair.dialled, &got));
  rig.scope().Spawn(EchoBack(&pair.accepted));
  base::Prng prng(7);
  std::string sent;
  while (sent.size() < 3'000'000) {
    const std::string part = Pattern(1, sent.size(), 1 + prng.Below(prng.OneIn(4) ? 100'000 : 64));
    prng.OneIn(2) ? pair.dialled.WriteCopy(part) : pair.dialled.Write(base::Slice::CopyOf(part));
    sent += part;
    if (prng.OneIn(3)) {
      rig.loop()->RunOnce(rig.loop()->now());
    }
  }
  pair.dialled.FinishSend();
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(got == sent);
  EXPECT_EQ(pair.dialled.error(), 0);
  EXPECT_EQ(pair.accepted.error(), 0);
  EXPECT_EQ(pair.dialled.queued(), 0u);
  EXPECT_TRUE(rig.CloseAll({&pair.accepted, &pair.dialled}));
}

// Ciphertext that arrives in pieces of every size, and records of one byte each.
TEST_P(TlsStreamTest, RecordsOfOneByteCutAnywhere) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsRig rig(GetParam());
    Half half(&rig, {.version = version}, TcpPair());
    ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
    std::string got;
    rig.scope().Spawn(ReadAll(&half.stream, &got));
    // The client's records go into memory first, to be cut.
    BIO* const records = BIO_new(BIO_s_mem());
    SSL_set0_wbio(half.raw.ssl(), records);
    const std::string bytes = Pattern(2, 0, 3000);
    for (size_t at = 0; at < bytes.size(); ++at) {
      ASSERT_EQ(half.raw.Write(std::string_view(bytes).substr(at, 1)), 1u);
    }
    char* data = nullptr;
    const auto length = static_cast<size_t>(BIO_get_mem_data(records, &data));
    size_t step = 0;
    for (size_t at = 0; at < length; at += step) {
      step = std::min(length - at, step % 61 + 1);
      SendAll(half.raw.descriptor(), std::string_view(data + at, step));
      rig.loop()->RunOnce(rig.loop()->now());
    }
    ASSERT_TRUE(rig.Until([&] { return got.size() >= bytes.size(); }));
    EXPECT_TRUE(got == bytes);
    shutdown(half.raw.descriptor(), SHUT_WR);
    ASSERT_TRUE(rig.Join());
    EXPECT_EQ(half.stream.error(), ECONNRESET);  // no close_notify
    EXPECT_TRUE(rig.CloseAll({&half.stream}));
  }
}

// What was queued in a round leaves as one record, up to 16 KiB.
TEST_P(TlsStreamTest, ManyPiecesLeaveAsOneRecord) {
  TlsRig rig(GetParam());
  Half half(&rig, {.version = TLS1_3_VERSION}, TcpPair());
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
  static_cast<void>(half.raw.Read());  // the ticket
  const auto records = [&](size_t pieces, size_t size) {
    for (size_t i = 0; i < pieces; ++i) {
      const std::string piece(size, 'x');
      i % 2 == 0 ? half.stream.WriteCopy(piece) : half.stream.Write(base::Slice::CopyOf(piece));
    }
    std::string wire;
    EXPECT_TRUE(rig.Until([&] {
      wire += ReadNow(half.raw.descriptor(), 1 << 20);
      return half.stream.queued() == 0;
    }));
    wire += ReadNow(half.raw.descriptor(), 1 << 20);
    int count = 0;
    for (size_t at = 0; at + 5 <= wire.size(); ++count) {
      at += 5 + static_cast<size_t>(static_cast<unsigned char>(wire[at + 3])) * 256 +
            static_cast<unsigned char>(wire[at + 4]);
    }
    return count;
  };
  EXPECT_EQ(records(7, 50), 1);
  EXPECT_EQ(records(1, 300), 1);
  EXPECT_EQ(records(64, 256), 1);  // 16 KiB
  EXPECT_EQ(records(65, 256), 2);
  EXPECT_EQ(records(3, 16'384), 3);
  EXPECT_EQ(records(2, 20'000), 3);
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

// Relays what `from` receives to `to`, as sessions do.
io::Task<void> Relay(io::Stream* from, io::Stream* to, uint32_t* most) {
  io::Event event(from->loop());
  from->NotifyReadable(&event, 1);
  to->NotifyDrained(&event, 2);
  while (!from->ended() && !from->broken() && !to->broken()) {
    co_await event.Wait();
    while (from->has_input()) {
      to->Write(from->TakeInput());
    }
    *most = std::max(*most, to->queued());
    if (to->over_high()) {
      from->PauseReceive();
    } else {
      from->ResumeReceive();
    }
  }
  from->NotifyReadable(nullptr, 0);
  to->NotifyDrained(nullptr, 0);
  to->FinishSend();
}

// Both directions at once, each through two TLS streams, to a reader that takes its time.
TEST_P(TlsStreamTest, LargeTransfersBothWaysAtOnceStayBounded) {
  TlsRig rig(GetParam());
  const Ends left = UnixPair();
  const Ends right = UnixPair();
  SetBuffers(left.ours, 8192, 8192);
  SetBuffers(right.ours, 8192, 8192);
  Half client(&rig, {}, left);
  Half server(&rig,
              {.server = true,
               .certificate = rig.authority().Certificate("server"),
               .key = rig.authority().Key("server")},
              right);
  ASSERT_TRUE(rig.Shake(&client.stream, &client.raw, rig.server(), rig.plain()).ok());
  ASSERT_TRUE(rig.Shake(&server.stream, &server.raw, rig.client(), rig.named()).ok());
  uint32_t most = 0;
  rig.scope().Spawn(Relay(&client.stream, &server.stream, &most));
  rig.scope().Spawn(Relay(&server.stream, &client.stream, &most));
  constexpr size_t kTotal = 6'000'000;
  const std::string up = Pattern(3, 0, kTotal);
  const std::string down = Pattern(4, 0, kTotal);
  size_t up_sent = 0;
  size_t down_sent = 0;
  const auto give = [](RawTls* raw, const std::string& bytes, size_t* sent) {
    for (size_t wrote = 1; wrote > 0 && *sent < bytes.size(); *sent += wrote) {
      wrote = raw->Write(std::string_view(bytes).substr(*sent, 40'000));
    }
  };
  // Nobody reads: both sources come to a stand.
  ASSERT_TRUE(rig.Until([&] {
    give(&client.raw, up, &up_sent);
    give(&server.raw, down, &down_sent);
    return client.stream.over_high() && server.stream.over_high();
  }));
  std::string up_got;
  std::string down_got;
  ASSERT_TRUE(rig.Until([&] {
    give(&client.raw, up, &up_sent);
    give(&server.raw, down, &down_sent);
    up_got += server.raw.Read(7'000);
    down_got += client.raw.Read(11'000);
    return up_got.size() == kTotal && down_got.size() == kTotal;
  }));
  EXPECT_TRUE(up_got == up);
  EXPECT_TRUE(down_got == down);
  const base::Limits limits;
  EXPECT_LT(most, 2 * limits.queue_high + 512 * 1024);
  client.raw.SendClose();
  server.raw.SendClose();
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(client.stream.error(), 0);
  EXPECT_EQ(server.stream.error(), 0);
  EXPECT_TRUE(rig.CloseAll({&client.stream, &server.stream}));
}

TEST_P(TlsStreamTest, PausedReceiveDecryptsNothingMore) {
  TlsRig rig(GetParam());
  Half half(&rig, {}, TcpPair());
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
  half.stream.PauseReceive();
  ASSERT_EQ(half.raw.Write("before"), 6u);
  for (int i = 0; i < 20; ++i) {
    rig.loop()->RunOnce(rig.loop()->now());
  }
  EXPECT_FALSE(half.stream.has_input());
  half.raw.SendClose();
  shutdown(half.raw.descriptor(), SHUT_WR);
  for (int i = 0; i < 20; ++i) {
    rig.loop()->RunOnce(rig.loop()->now());
  }
  EXPECT_FALSE(half.stream.ended());
  std::string got;
  half.stream.ResumeReceive();
  rig.scope().Spawn(ReadAll(&half.stream, &got));
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(got, "before");
  EXPECT_EQ(half.stream.error(), 0);
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

// B9: the client asks for new keys while its socket is full; both directions go on.
TEST_P(TlsStreamTest, B9KeyUpdateWhileTheSocketIsFull) {
  TlsRig rig(GetParam());
  const Ends ends = UnixPair();
  SetBuffers(ends.ours, 8192, 8192);
  Half half(&rig, {.version = TLS1_3_VERSION}, ends);
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
  const std::string words = Pattern(5, 0, 2'000'000);
  half.stream.WriteCopy(words);
  ASSERT_TRUE(rig.Until([&] { return half.stream.queued() > 1'000'000; }));
  rig.loop()->RunOnce(rig.loop()->now());
  std::string heard;
  rig.scope().Spawn(ReadAll(&half.stream, &heard));
  half.raw.AskForKeys();
  ASSERT_EQ(half.raw.Write("still talking"), 13u);
  ASSERT_TRUE(rig.Until([&] { return heard == "still talking"; }));
  half.stream.WriteCopy("under the new key");
  std::string got;
  ASSERT_TRUE(rig.Until([&] {
    got += half.raw.Read();
    return got.size() == words.size() + 17 || half.raw.failed();
  })) << half.raw.error();
  EXPECT_TRUE(got == words + "under the new key");
  half.raw.SendClose();
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(half.stream.error(), 0);
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

// Who asks for ever and never reads the answers is cut.
TEST_P(TlsStreamTest, B9AnswersToKeyUpdatesAreBounded) {
  TlsRig rig(GetParam());
  const Ends ends = UnixPair();
  SetBuffers(ends.ours, 4096, 212'992);
  Half half(&rig, {.version = TLS1_3_VERSION}, ends);
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
  half.stream.WriteCopy(std::string(100'000, 'x'));
  std::string heard;
  rig.scope().Spawn(ReadAll(&half.stream, &heard));
  uint32_t most = 0;
  ASSERT_TRUE(rig.Until([&] {
    for (int i = 0; i < 20 && half.raw.Write("x") == 1; ++i) {
      half.raw.AskForKeys();
    }
    most = std::max(most, half.stream.queued());
    return half.stream.ended();
  }));
  EXPECT_EQ(half.stream.error(), EPROTO);
  EXPECT_EQ(half.stream.tls_fault(), "the peer asks for key updates and does not read the answers");
  EXPECT_LT(most, 400'000u);
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

// B11: the end of TCP without close_notify is an error, whatever came before.
TEST_P(TlsStreamTest, B11AnEndWithoutCloseNotifyIsAnError) {
  for (const bool polite : {true, false}) {
    TlsRig rig(GetParam());
    Half half(&rig, {}, TcpPair());
    ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
    std::string got;
    rig.scope().Spawn(ReadAll(&half.stream, &got));
    ASSERT_EQ(half.raw.Write("half a result"), 13u);
    if (polite) {
      half.raw.SendClose();
    }
    shutdown(half.raw.descriptor(), SHUT_WR);
    ASSERT_TRUE(rig.Join());
    EXPECT_EQ(got, "half a result");
    EXPECT_EQ(half.stream.error(), polite ? 0 : ECONNRESET);
    EXPECT_EQ(rig.loop()->metrics().tls.broken.value(), polite ? 0u : 1u);
    EXPECT_TRUE(rig.CloseAll({&half.stream}));
  }
}

TEST_P(TlsStreamTest, B11AResetIsAnError) {
  TlsRig rig(GetParam());
  Half half(&rig, {}, TcpPair());
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
  std::string got;
  rig.scope().Spawn(ReadAll(&half.stream, &got));
  ResetBeneath(half.raw.descriptor());
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(half.stream.error(), ECONNRESET);
  EXPECT_TRUE(half.stream.broken());
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

// B12: garbage on one connection breaks that one; OpenSSL's errors are this thread's, not its.
TEST_P(TlsStreamTest, B12AnErrorStaysWithItsConnection) {
  TlsRig rig(GetParam());
  Half bad(&rig, {}, TcpPair());
  Half good(&rig, {}, TcpPair());
  ASSERT_TRUE(rig.Shake(&bad.stream, &bad.raw, rig.server(), rig.plain()).ok());
  ASSERT_TRUE(rig.Shake(&good.stream, &good.raw, rig.server(), rig.plain()).ok());
  std::string bad_got;
  std::string good_got;
  rig.scope().Spawn(ReadAll(&bad.stream, &bad_got));
  rig.scope().Spawn(ReadAll(&good.stream, &good_got));
  SendAll(bad.raw.descriptor(), std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'g'));
  ASSERT_EQ(good.raw.Write("well"), 4u);
  ASSERT_TRUE(rig.Until([&] { return bad.stream.ended() && good_got == "well"; }));
  EXPECT_EQ(bad.stream.error(), EPROTO);
  good.stream.WriteCopy("and good");
  std::string answer;
  ASSERT_TRUE(rig.Until([&] {
    answer += good.raw.Read();
    return answer == "and good";
  }));
  // The alert reaches the one that sent garbage.
  ASSERT_TRUE(rig.Until([&] {
    static_cast<void>(bad.raw.Read());
    return bad.raw.failed();
  }));
  EXPECT_EQ(bad.raw.error(), "sslv3 alert bad record mac");
  good.raw.SendClose();
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(good.stream.error(), 0);
  EXPECT_TRUE(rig.CloseAll({&bad.stream, &good.stream}));
}

TEST_P(TlsStreamTest, CloseSendsTheLastWordsAndCloseNotify) {
  TlsRig rig(GetParam());
  Half half(&rig, {}, TcpPair());
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
  ASSERT_EQ(half.raw.Write("never read"), 10u);
  const std::string words = Pattern(6, 0, 500'000);
  half.stream.WriteCopy(words);
  rig.scope().Spawn(CloseOne(&half.stream, rig.Soon()));
  std::string got;
  ASSERT_TRUE(rig.Until([&] {
    got += half.raw.Read();
    return half.raw.ended() || half.raw.failed();
  }));
  EXPECT_EQ(half.raw.error(), "");
  EXPECT_TRUE(got == words);
  shutdown(half.raw.descriptor(), SHUT_WR);
  EXPECT_TRUE(rig.Join());
}

TEST_P(TlsStreamTest, HalfCloseStillHearsTheAnswer) {
  TlsRig rig(GetParam());
  Pair pair(&rig);
  std::string asked;
  std::string answer;
  rig.scope().Spawn(ReadAll(&pair.accepted, &asked));
  rig.scope().Spawn(ReadAll(&pair.dialled, &answer));
  pair.dialled.WriteCopy("question");
  pair.dialled.FinishSend();
  ASSERT_TRUE(rig.Until([&] { return pair.accepted.ended(); }));
  EXPECT_EQ(asked, "question");
  pair.accepted.WriteCopy("answer");
  pair.accepted.FinishSend();
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(answer, "answer");
  EXPECT_EQ(pair.accepted.error(), 0);
  EXPECT_EQ(pair.dialled.error(), 0);
  EXPECT_TRUE(rig.CloseAll({&pair.accepted, &pair.dialled}));
}

// B10: twice the bytes take about twice the records and as many sends; nothing is copied again.
TEST_P(TlsStreamTest, B10SixtyFourMebibytesAreLinearAndBounded) {
  TlsRig rig(GetParam());
  Pair pair(&rig);
  constexpr size_t kTotal = 64 << 20;
  const std::string block = Pattern(8, 0, 1 << 16);
  size_t given = 0;
  size_t got = 0;
  bool same = true;
  uint32_t most = 0;
  ASSERT_TRUE(rig.Until([&] {
    while (given < kTotal && !pair.accepted.over_high()) {
      pair.accepted.WriteCopy(block);
      given += block.size();
    }
    most = std::max(most, pair.accepted.queued());
    while (pair.dialled.has_input()) {
      const base::Slice slice = pair.dialled.TakeInput();
      for (size_t at = 0; at < slice.size() && same; at += 4096) {
        same = slice.data()[at] == block[(got + at) % block.size()];
      }
      got += slice.size();
    }
    return got == kTotal;
  }));
  EXPECT_TRUE(same);
  const base::Limits limits;
  EXPECT_LT(most, limits.queue_high + 2 * block.size());
  EXPECT_TRUE(rig.CloseAll({&pair.accepted, &pair.dialled}));
}

}  // namespace
}  // namespace io_test
