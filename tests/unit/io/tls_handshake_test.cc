// Handshakes: who is accepted, who is not, and what is known afterwards.
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <tuple>
#include <vector>

#include "unit/io/tls_rig.h"

namespace io_test {
namespace {

class TlsHandshakeTest : public testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Engines, TlsHandshakeTest, testing::ValuesIn(Kinds()), ParamName);

// What both sides of a handshake between two streams came to.
struct Outcome {
  absl::Status accepted;
  absl::Status dialled;
  io::TlsFailure accepted_failure = io::TlsFailure::kNone;
  io::TlsFailure dialled_failure = io::TlsFailure::kNone;
  io::TlsFacts accepted_facts;
  io::TlsFacts dialled_facts;
  std::string fault;  // the dialled one's
};

Outcome Try(TlsRig* rig, const io::TlsContext* server, const io::TlsContext* client,
            const io::TlsOptions& options) {
  const Ends ends = TcpPair();
  io::Stream accepted(rig->loop());
  io::Stream dialled(rig->loop());
  accepted.Adopt(ends.ours, io::Traffic::kClient);
  dialled.Adopt(ends.theirs, io::Traffic::kServer);
  Outcome outcome;
  std::tie(outcome.accepted, outcome.dialled) =
      rig->Shake(&accepted, server, &dialled, client, options);
  outcome.fault = dialled.tls_fault();
  outcome.accepted_failure = accepted.tls_failure();
  outcome.dialled_failure = dialled.tls_failure();
  if (accepted.tls() != nullptr) {
    outcome.accepted_facts = *accepted.tls();
  }
  if (dialled.tls() != nullptr) {
    outcome.dialled_facts = *dialled.tls();
  }
  EXPECT_TRUE(rig->CloseAll({&accepted, &dialled}));
  return outcome;
}

std::string HashOf(const std::string& file, const EVP_MD* method) {
  BIO* const bio = BIO_new_file(file.c_str(), "r");
  X509* const certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
  BIO_free(bio);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned length = 0;
  EXPECT_EQ(X509_digest(certificate, method, digest.data(), &length), 1);
  X509_free(certificate);
  return std::string(reinterpret_cast<const char*>(digest.data()), length);
}

TEST_P(TlsHandshakeTest, BothSidesKnowTheSameFacts) {
  TlsRig rig(GetParam());
  const Outcome outcome = Try(&rig, rig.server(), rig.client(), rig.named());
  ASSERT_TRUE(outcome.accepted.ok() && outcome.dialled.ok()) << outcome.fault;
  const io::TlsFacts& ours = outcome.accepted_facts;
  const io::TlsFacts& theirs = outcome.dialled_facts;
  EXPECT_EQ(ours.version, "TLSv1.3");
  EXPECT_EQ(ours.cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(ours.bits, 128);
  EXPECT_FALSE(ours.alpn);
  EXPECT_FALSE(ours.peer_verified);
  EXPECT_EQ(theirs.version, ours.version);
  EXPECT_EQ(theirs.peer_common_name, "db.example");
  EXPECT_EQ(theirs.peer_name, "CN=db.example");
  EXPECT_TRUE(theirs.peer_verified);
  EXPECT_EQ(ours.server_end_point, HashOf(rig.authority().Certificate("server"), EVP_sha256()));
  EXPECT_EQ(theirs.server_end_point, ours.server_end_point);
  const io::TlsMetrics& metrics = rig.loop()->metrics().tls;
  EXPECT_EQ(metrics.accepted.handshakes.value(), 1u);
  EXPECT_EQ(metrics.dialled.handshakes.value(), 1u);
}

// RFC 5929: the hash is the signature's own, but SHA-256 for MD5 and SHA-1; without one, none.
TEST_P(TlsHandshakeTest, ChannelBindingTakesTheHashOfTheSignature) {
  TlsRig rig(GetParam());
  const auto without = Sound(io::TlsContext::ForClient({.ca = "", .certificate = "", .key = ""}));
  const std::vector<std::pair<std::string, const EVP_MD*>> hashes = {
      {"SHA384", EVP_sha384()}, {"SHA512", EVP_sha512()}, {"", nullptr}};
  for (const auto& [hash, expected] : hashes) {
    const std::string name = "signed" + hash;
    rig.authority().Issue(name, {.common_name = "db.example", .names = {}, .hash = hash});
    const auto server = Sound(io::TlsContext::ForServer(rig.Files(name)));
    const Outcome outcome = Try(&rig, server.get(), without.get(), rig.plain());
    ASSERT_TRUE(outcome.dialled.ok()) << hash << outcome.fault;
    EXPECT_EQ(outcome.accepted_facts.server_end_point, outcome.dialled_facts.server_end_point);
    EXPECT_EQ(outcome.dialled_facts.server_end_point,
              expected == nullptr ? "" : HashOf(rig.authority().Certificate(name), expected))
        << hash;
  }
  // OpenSSL would not serve this one of ours; another program may.
  rig.authority().Issue("weak", {.common_name = "db.example", .names = {}, .hash = "SHA1"});
  Half half(&rig,
            {.server = true,
             .certificate = rig.authority().Certificate("weak"),
             .key = rig.authority().Key("weak")},
            TcpPair());
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, without.get(), rig.plain()).ok());
  EXPECT_EQ(half.stream.tls()->server_end_point,
            HashOf(rig.authority().Certificate("weak"), EVP_sha256()));
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

// B5: verify-full for the name that was dialled.
TEST_P(TlsHandshakeTest, B5TheCertificateMustBeForTheName) {
  TlsRig rig(GetParam());
  struct Case {
    std::string common_name;
    std::vector<std::string> names;
    std::string dialled;
    bool accepted;
  };
  const std::vector<Case> cases = {
      {"x", {"DNS:db.example"}, "db.example", true},
      {"x", {"DNS:db.example"}, "DB.Example", true},
      {"x", {"DNS:db.example"}, "other.example", false},
      {"db.example", {"DNS:other.example"}, "db.example", false},
      {"db.example", {}, "db.example", true},
      {"db.example", {}, "db.example.evil", false},
      {"x", {"DNS:*.db.example"}, "a.db.example", true},
      {"x", {"DNS:*.db.example"}, "b.a.db.example", false},
      {"x", {"DNS:*.db.example"}, "db.example", false},
      {"x", {"DNS:d*.db.example"}, "da.db.example", false},
      {"x", {"DNS:*.example"}, "db.example", false},  // all of a top-level domain
      {"x", {"IP:10.0.0.1"}, "10.0.0.1", true},
      {"x", {"IP:10.0.0.1"}, "10.0.0.2", false},
      {"x", {"IP:::1"}, "::1", true},
      {"x", {"DNS:10.0.0.1"}, "10.0.0.1", false},
      {"10.0.0.1", {}, "10.0.0.1", false},
      {"", {"DNS:db.example"}, "db.example", true},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& one = cases[i];
    const std::string name = "case" + std::to_string(i);
    rig.authority().Issue(name, {.common_name = one.common_name, .names = one.names});
    const auto server = Sound(io::TlsContext::ForServer(rig.Files(name)));
    io::TlsOptions options;
    options.server_name = one.dialled;
    options.check_name = true;
    const Outcome outcome = Try(&rig, server.get(), rig.client(), options);
    EXPECT_EQ(outcome.dialled.ok(), one.accepted) << i << " " << base::Message(outcome.dialled);
    EXPECT_EQ(outcome.dialled_failure,
              one.accepted ? io::TlsFailure::kNone : io::TlsFailure::kCertificate);
    EXPECT_EQ(outcome.accepted_failure,
              one.accepted ? io::TlsFailure::kNone : io::TlsFailure::kRefused);
    options.check_name = false;  // verify-ca
    EXPECT_TRUE(Try(&rig, server.get(), rig.client(), options).dialled.ok()) << i;
  }
}

TEST_P(TlsHandshakeTest, B5UnknownAndExpiredAuthoritiesAreRefused) {
  TlsRig rig(GetParam());
  const Authority stranger(&rig.folder(), "stranger");
  stranger.Issue("theirs", {.common_name = "db.example", .names = {"DNS:db.example"}});
  rig.authority().Issue("old", {.common_name = "x", .names = {"DNS:db.example"}, .hours = -1});
  rig.authority().Issue("self", {.common_name = "x", .names = {"DNS:db.example"}, .hash = ""});
  const auto without = Sound(io::TlsContext::ForClient({.ca = "", .certificate = "", .key = ""}));
  for (const auto& [name, why] : std::vector<std::pair<std::string, std::string>>{
           {"theirs", "unable to get local issuer certificate"},
           {"old", "certificate has expired"},
           {"self", "self-signed certificate"}}) {
    const auto server = Sound(io::TlsContext::ForServer(rig.Files(name)));
    const Outcome outcome = Try(&rig, server.get(), rig.client(), rig.named());
    EXPECT_FALSE(outcome.dialled.ok());
    EXPECT_EQ(outcome.dialled_failure, io::TlsFailure::kCertificate);
    EXPECT_NE(outcome.fault.find(why), std::string::npos) << outcome.fault;
    // Who verifies nothing is let in, and knows nobody.
    const Outcome blind = Try(&rig, server.get(), without.get(), rig.plain());
    EXPECT_TRUE(blind.dialled.ok());
    EXPECT_FALSE(blind.dialled_facts.peer_verified);
    EXPECT_EQ(blind.dialled_facts.peer_common_name, "");
  }
  const io::TlsMetrics& metrics = rig.loop()->metrics().tls;
  EXPECT_EQ(metrics.dialled.failures[static_cast<size_t>(io::TlsFailure::kCertificate)].value(),
            3u);
}

TEST_P(TlsHandshakeTest, AnIntermediateAuthorityIsSentAlong) {
  TlsRig rig(GetParam());
  const Authority below(&rig.folder(), "below", &rig.authority());
  below.Issue("leaf", {.common_name = "x", .names = {"DNS:db.example"}});
  const auto server = Sound(io::TlsContext::ForServer(rig.Files("leaf")));
  EXPECT_TRUE(Try(&rig, server.get(), rig.client(), rig.named()).dialled.ok());
  // The intermediate one alone is no authority.
  const auto only =
      Sound(io::TlsContext::ForClient({.ca = below.file(), .certificate = "", .key = ""}));
  EXPECT_FALSE(Try(&rig, server.get(), only.get(), rig.named()).dialled.ok());
}

// B7: client certificates: none, another CA's, the right one.
TEST_P(TlsHandshakeTest, B7ClientCertificates) {
  TlsRig rig(GetParam());
  const Authority stranger(&rig.folder(), "stranger");
  stranger.Issue("mallory", {.common_name = "alice", .names = {}});
  rig.authority().Issue("alice", {.common_name = "alice", .names = {}});
  const auto as = [&](const std::string& who) {
    return Sound(io::TlsContext::ForClient(
        {.ca = rig.authority().file(),
         .certificate = who.empty() ? "" : rig.authority().Certificate(who),
         .key = who.empty() ? "" : rig.authority().Key(who)}));
  };
  for (const bool demanded : {false, true}) {
    io::TlsServerFiles files = rig.Files("server", rig.authority().file());
    files.demand_certificate = demanded;
    const auto server = Sound(io::TlsContext::ForServer(files));
    const Outcome none = Try(&rig, server.get(), as("").get(), rig.named());
    EXPECT_EQ(none.accepted.ok(), !demanded) << base::Message(none.accepted);
    EXPECT_EQ(none.accepted_facts.peer_verified, false);
    const Outcome wrong = Try(&rig, server.get(), as("mallory").get(), rig.named());
    EXPECT_FALSE(wrong.accepted.ok());
    EXPECT_EQ(wrong.accepted_failure, io::TlsFailure::kCertificate);
    const Outcome right = Try(&rig, server.get(), as("alice").get(), rig.named());
    ASSERT_TRUE(right.accepted.ok()) << base::Message(right.accepted);
    EXPECT_TRUE(right.accepted_facts.peer_verified);
    EXPECT_EQ(right.accepted_facts.peer_common_name, "alice");
    EXPECT_EQ(right.accepted_facts.peer_name, "CN=alice");
  }
}

// B8: old versions, weak suites, renegotiation.
TEST_P(TlsHandshakeTest, B8OldVersionsAndWeakSuitesAreRefused) {
  TlsRig rig(GetParam());
  const std::vector<RawOptions> refused = {
      {.version = TLS1_VERSION},
      {.version = TLS1_1_VERSION},
      {.version = TLS1_2_VERSION, .ciphers = "ECDHE-ECDSA-AES128-SHA256"},
      {.version = TLS1_2_VERSION, .ciphers = "AES128-GCM-SHA256"},
      {.version = TLS1_2_VERSION, .ciphers = "NULL:@SECLEVEL=0"},
  };
  for (const RawOptions& options : refused) {
    Half half(&rig, options, TcpPair());
    EXPECT_FALSE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
    EXPECT_EQ(half.stream.tls_failure(), io::TlsFailure::kProtocol);
    EXPECT_EQ(half.stream.tls(), nullptr);
    EXPECT_TRUE(rig.CloseAll({&half.stream}));
  }
  Half half(&rig, {.version = TLS1_2_VERSION}, TcpPair());
  ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain()).ok());
  EXPECT_EQ(half.stream.tls()->version, "TLSv1.2");
  EXPECT_EQ(SSL_get_current_compression(half.raw.ssl()), nullptr);
  std::string got;
  rig.scope().Spawn(ReadAll(&half.stream, &got));
  SSL_renegotiate(half.raw.ssl());
  ASSERT_TRUE(rig.Until([&] {
    static_cast<void>(half.raw.Shake());
    return half.raw.failed();
  }));
  EXPECT_EQ(half.raw.error(), "no renegotiation");
  shutdown(half.raw.descriptor(), SHUT_RDWR);
  ASSERT_TRUE(rig.Join());
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

// B15: a ticket shortens the handshake and tells nobody who the client is.
TEST_P(TlsHandshakeTest, B15TicketsResumeAndCarryNoIdentity) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsRig rig(GetParam());
    Half first(&rig, {.version = version}, TcpPair());
    ASSERT_TRUE(rig.Shake(&first.stream, &first.raw, rig.server(), rig.plain()).ok());
    SSL_SESSION* ticket = nullptr;
    ASSERT_TRUE(rig.Until([&] {
      static_cast<void>(first.raw.Read());
      ticket = ticket == nullptr ? first.raw.TakeTicket() : ticket;
      return ticket != nullptr;
    }));
    EXPECT_FALSE(first.stream.tls()->resumed);
    Half second(&rig, {.version = version, .resume = ticket}, TcpPair());
    ASSERT_TRUE(rig.Shake(&second.stream, &second.raw, rig.server(), rig.plain()).ok());
    EXPECT_TRUE(second.stream.tls()->resumed);
    EXPECT_FALSE(second.stream.tls()->peer_verified);
    EXPECT_EQ(second.stream.tls()->server_end_point, first.stream.tls()->server_end_point);
    EXPECT_EQ(rig.loop()->metrics().tls.accepted.resumptions.value(), 1u);
    // Another context's ticket, of another configuration, is worth nothing.
    const auto other = Sound(io::TlsContext::ForServer(rig.Files("server")));
    Half third(&rig, {.version = version, .resume = ticket}, TcpPair());
    ASSERT_TRUE(rig.Shake(&third.stream, &third.raw, other.get(), rig.plain()).ok());
    EXPECT_FALSE(third.stream.tls()->resumed);
    SSL_SESSION_free(ticket);
    EXPECT_TRUE(rig.CloseAll({&first.stream, &second.stream, &third.stream}));
  }
}

TEST_P(TlsHandshakeTest, B15WhoAsksForCertificatesGivesNoTickets) {
  TlsRig rig(GetParam());
  rig.authority().Issue("alice", {.common_name = "alice", .names = {}});
  const auto server = Sound(io::TlsContext::ForServer(rig.Files("server", rig.authority().file())));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    Half half(&rig,
              {.certificate = rig.authority().Certificate("alice"),
               .key = rig.authority().Key("alice"),
               .version = version},
              TcpPair());
    ASSERT_TRUE(rig.Shake(&half.stream, &half.raw, server.get(), rig.plain()).ok());
    EXPECT_TRUE(half.stream.tls()->peer_verified);
    half.stream.WriteCopy("behind any ticket");
    std::string got;
    ASSERT_TRUE(rig.Until([&] {
      got += half.raw.Read();
      return !got.empty();
    }));
    EXPECT_EQ(half.raw.TakeTicket(), nullptr);
    EXPECT_TRUE(rig.CloseAll({&half.stream}));
  }
}

TEST_P(TlsHandshakeTest, A15Alpn) {
  TlsRig rig(GetParam());
  const auto alpn = [&](const std::string& offered) {
    Half half(&rig, {.alpn = offered}, TcpPair());
    const absl::Status done = rig.Shake(&half.stream, &half.raw, rig.server(), rig.plain());
    const std::string result = !done.ok() ? "refused" : half.stream.tls()->alpn ? "agreed" : "none";
    EXPECT_TRUE(rig.CloseAll({&half.stream}));
    return result;
  };
  EXPECT_EQ(alpn("\x0apostgresql"), "agreed");
  EXPECT_EQ(alpn("\x02h2\x0apostgresql"), "agreed");
  EXPECT_EQ(alpn("\x02h2\x08http/1.1"), "refused");
  EXPECT_EQ(alpn(""), "none");
  // In the client's role, by direct TLS, a server that does not answer is not believed.
  io::TlsOptions direct = rig.named();
  direct.send_alpn = true;
  EXPECT_TRUE(Try(&rig, rig.server(), rig.client(), direct).dialled_facts.alpn);
  Half half(&rig,
            {.server = true,
             .certificate = rig.authority().Certificate("server"),
             .key = rig.authority().Key("server")},
            TcpPair());
  const absl::Status done = rig.Shake(&half.stream, &half.raw, rig.client(), direct);
  EXPECT_NE(base::Message(done).find("ALPN"), std::string_view::npos) << base::Message(done);
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

TEST_P(TlsHandshakeTest, WhatIsNotTlsIsRefused) {
  TlsRig rig(GetParam());
  for (const std::string& garbage : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(64, '\0'),
                                     std::string("\x16\x03\x01\xff\xff") + std::string(500, 'x')}) {
    const Ends ends = TcpPair();
    io::Stream stream(rig.loop());
    stream.Adopt(ends.ours, io::Traffic::kClient);
    SendAll(ends.theirs, garbage);
    std::optional<absl::Status> done;
    rig.scope().Spawn(Secure(&stream, rig.server(), &rig.plain(), rig.Soon(), &done));
    ASSERT_TRUE(rig.Join());
    EXPECT_EQ(stream.tls_failure(), io::TlsFailure::kProtocol);
    EXPECT_EQ(stream.error(), EPROTO);
    stream.WriteCopy("never sent");
    EXPECT_TRUE(rig.CloseAll({&stream}));
    EXPECT_EQ(ReadNow(ends.theirs, 4096).find("never sent"), std::string::npos);
    close(ends.theirs);
  }
}

TEST_P(TlsHandshakeTest, APeerThatGoesOrDawdlesEndsIt) {
  TlsRig rig(GetParam());
  for (const bool goes : {true, false}) {
    const Ends ends = TcpPair();
    io::Stream stream(rig.loop());
    stream.Adopt(ends.ours, io::Traffic::kClient);
    SendAll(ends.theirs, "\x16\x03\x01");
    if (goes) {
      shutdown(ends.theirs, SHUT_WR);
    }
    std::optional<absl::Status> done;
    rig.scope().Spawn(Secure(&stream, rig.server(), &rig.plain(),
                             rig.loop()->now() + absl::Milliseconds(goes ? 20'000 : 50), &done));
    ASSERT_TRUE(rig.Join());
    EXPECT_EQ(done->code(),
              goes ? absl::StatusCode::kUnavailable : absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(stream.tls_failure(), goes ? io::TlsFailure::kClosed : io::TlsFailure::kTimeout);
    EXPECT_TRUE(rig.CloseAll({&stream}));
    close(ends.theirs);
  }
}

// A client that closes with the server's records unread resets the connection behind its alert.
TEST_P(TlsHandshakeTest, WhyThePeerWentIsHeardThoughItResets) {
  TlsRig rig(GetParam());
  Half half(&rig, {}, TcpPair());
  SSL_set_verify(half.raw.ssl(), SSL_VERIFY_PEER, nullptr);  // it knows no authority
  std::optional<absl::Status> done;
  rig.scope().Spawn(Secure(&half.stream, rig.server(), &rig.plain(), rig.Soon(), &done));
  ASSERT_TRUE(rig.Until([&] {
    static_cast<void>(half.raw.Shake());
    return half.raw.failed();
  }));
  ResetBeneath(half.raw.descriptor());
  ASSERT_TRUE(rig.Join());
  EXPECT_EQ(half.stream.tls_failure(), io::TlsFailure::kRefused) << base::Message(*done);
  EXPECT_TRUE(rig.CloseAll({&half.stream}));
}

TEST_P(TlsHandshakeTest, AbortEndsIt) {
  TlsRig rig(GetParam());
  const Ends ends = TcpPair();
  io::Stream stream(rig.loop());
  stream.Adopt(ends.ours, io::Traffic::kClient);
  std::optional<absl::Status> done;
  rig.scope().Spawn(Secure(&stream, rig.server(), &rig.plain(), rig.Soon(), &done));
  rig.loop()->RunOnce(rig.loop()->now());
  EXPECT_FALSE(done.has_value());
  stream.Abort();
  ASSERT_TRUE(rig.Join());
  EXPECT_FALSE(done->ok());
  EXPECT_TRUE(rig.CloseAll({&stream}));
  close(ends.theirs);
}

// B13: a storm takes a few steps in each round, and everybody gets in.
TEST_P(TlsHandshakeTest, B13AStormIsSpreadOverRounds) {
  base::Limits limits;
  limits.tls_handshakes_per_round = 2;
  TlsRig rig(GetParam(), Sizes(), limits);
  constexpr int kClients = 40;
  std::vector<std::unique_ptr<Half>> halves;
  std::vector<std::optional<absl::Status>> done(kClients);
  for (int i = 0; i < kClients; ++i) {
    halves.push_back(std::make_unique<Half>(&rig, RawOptions(), TcpPair()));
    static_cast<void>(halves.back()->raw.Shake());  // the ClientHello
    rig.scope().Spawn(Secure(&halves.back()->stream, rig.server(), &rig.plain(), rig.Soon(),
                             &done[static_cast<size_t>(i)]));
  }
  const auto answered = [&] {
    int count = 0;
    for (const auto& half : halves) {
      char byte;
      count += recv(half->raw.descriptor(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1 ? 1 : 0;
    }
    return count;
  };
  // A round sends what the round before it was allowed to compute; nobody's ServerHello jumps.
  int before = answered();
  for (int round = 0; round < 10; ++round) {
    rig.loop()->RunOnce(rig.loop()->now());
    const int now = answered();
    EXPECT_LE(now - before, 4);  // two of one round, and two that a slow socket kept back
    before = now;
  }
  EXPECT_LT(before, kClients);
  ASSERT_TRUE(rig.Until([&] {
    bool all = true;
    for (size_t i = 0; i < halves.size(); ++i) {
      static_cast<void>(halves[i]->raw.Shake());
      all = all && done[i].has_value();
    }
    return all;
  }));
  std::vector<io::Stream*> streams;
  for (size_t i = 0; i < halves.size(); ++i) {
    EXPECT_TRUE(done[i]->ok());
    streams.push_back(&halves[i]->stream);
  }
  EXPECT_TRUE(rig.CloseAll(streams));
}

}  // namespace
}  // namespace io_test
